"""Tests GradMatch and GLISTER by their definitions."""

import numpy as np
import pytest

from datadiet.selection import POLICIES, gradient_matching, select_examples
from tests.selection.embedded import by_class, gradients, make_inputs


def _slow_pursuit(rows, number, regularization):
  """Orthogonal matching pursuit of the mean row, solved anew at each pick."""
  target, residual, kept = rows.mean(0), rows.mean(0), []
  for _ in range(number):
    along = rows @ residual
    along[kept] = -np.inf
    kept.append(int(along.argmax()))
    atoms = rows[kept]
    weights = np.linalg.solve(
      atoms @ atoms.T + regularization * np.eye(len(kept)), atoms @ target
    )
    residual = target - weights @ atoms
  return kept


@pytest.mark.parametrize('regularization', [0.5, 0.01])
@pytest.mark.parametrize('num_keep', [1, 10, 25, 60])
def test_grad_match_is_matching_pursuit_of_the_mean_gradient(
  num_keep, regularization, monkeypatch
):
  monkeypatch.setattr(gradient_matching, '_PANEL', 4)
  for seed in range(2):
    inputs = make_inputs(seed, num_examples=60)
    options = {'regularization': regularization}
    kept = select_examples('grad_match', inputs, num_keep, options=options)
    expected = by_class(
      inputs,
      num_keep,
      lambda part, number: _slow_pursuit(
        gradients(part), number, regularization
      ),
    )
    assert kept.tolist() == expected


def test_panels_change_no_pick(monkeypatch):
  inputs = make_inputs(3, num_examples=300)
  kept = [select_examples('grad_match', inputs, 200)]
  monkeypatch.setattr(gradient_matching, '_PANEL', 3)
  kept.append(select_examples('grad_match', inputs, 200))
  np.testing.assert_array_equal(*kept)


def _slow_glister(part, number, learning_rate, num_rounds):
  """With the last layer's weights, which start anywhere, moved in full."""
  rows = gradients(part)
  inputs = np.c_[part.features.astype(float), np.ones(part.num_examples)]
  logits = np.log(part.pred_probs.astype(float))
  right = np.eye(part.num_classes)[part.labels]
  kept, step = [], np.zeros((inputs.shape[1], part.num_classes))
  for number_of_round in range(1, num_rounds + 1):
    moved = np.exp(logits - learning_rate * inputs @ step)
    errors = moved / moved.sum(1, keepdims=True) - right
    validation = (inputs.T @ errors / len(inputs)).ravel()
    gains = rows @ validation
    gains[kept] = -np.inf
    missing = number * number_of_round // num_rounds - len(kept)
    kept += np.argsort(-gains, kind='stable')[:missing].tolist()
    if kept:
      step = rows[kept].mean(0).reshape(step.shape)
  return kept


@pytest.mark.parametrize('num_rounds', [1, 4, 15])
def test_glister_goes_along_the_validation_gradient(num_rounds):
  differs = False
  for seed in range(3):
    inputs = make_inputs(seed, num_examples=60)
    options = {'learning_rate': 2.0, 'num_rounds': num_rounds}
    kept = select_examples('glister', inputs, 31, options=options)
    expected = by_class(
      inputs,
      31,
      lambda part, number: _slow_glister(part, number, 2.0, num_rounds),
    )
    assert kept.tolist() == expected
    options['num_rounds'] = 1
    once = select_examples('glister', inputs, 31, options=options)
    differs |= kept.tolist() != once.tolist()
  assert differs == (num_rounds > 1)


def test_only_grad_match_is_nested():
  inputs = make_inputs(4)
  smaller, larger = (
    {*select_examples('grad_match', inputs, number)} for number in (9, 22)
  )
  assert smaller < larger
  assert POLICIES['grad_match'].nested and not POLICIES['glister'].nested
