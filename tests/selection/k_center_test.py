"""Tests k-center and contextual diversity by their definitions."""

import numpy as np
import pytest

from datadiet.selection import POLICIES, select_examples
from datadiet.selection.k_center import divergences, farthest_first
from tests.selection.embedded import gradients, make_inputs


def _slow(distances, first, num_keep):
  """float64[N, N] distances -> positions in the order picked."""
  kept = [first]
  while len(kept) < num_keep:
    nearest = np.round(distances[:, kept].min(1), 9)
    nearest[kept] = -1
    kept.append(int(nearest.argmax()))
  return kept


def _apart(rows):
  return np.linalg.norm(rows[:, None] - rows, axis=2)


@pytest.fixture(params=[(4, 8, 16), (256, 4096, 2048)])
def sizes(request, monkeypatch):
  for name, size in zip(('_FEWEST', '_MOST', '_BLOCK'), request.param):
    monkeypatch.setattr(f'datadiet.selection.k_center.{name}', size)


@pytest.mark.parametrize('kind', ['features', 'gradients'])
def test_k_center_keeps_the_furthest(sizes, kind):
  for seed in range(3):
    inputs = make_inputs(seed, num_examples=80, embeddings=kind)
    rows = inputs.features.astype(float)
    if kind == 'gradients':
      rows = gradients(inputs)
    (first,) = select_examples('k_center', inputs, 1, seed=seed)
    for num_keep in (2, 33, 80):
      kept = select_examples('k_center', inputs, num_keep, seed=seed)
      assert kept.tolist() == sorted(_slow(_apart(rows), first, num_keep))


def test_contextual_diversity_is_by_the_symmetric_divergence(sizes):
  inputs = make_inputs(3, num_examples=60, num_classes=4, features=None)
  probs = inputs.pred_probs.astype(float)
  distances = np.array(
    [[0.5 * ((p - q) * np.log(p / q)).sum() for q in probs] for p in probs]
  )
  found = divergences(inputs.pred_probs)(slice(None), np.arange(60))
  np.testing.assert_allclose(found, distances, atol=1e-6)
  (first,) = select_examples('contextual_diversity', inputs, 1)
  kept = select_examples('contextual_diversity', inputs, 25)
  assert kept.tolist() == sorted(_slow(distances, first, 25))


def test_predictions_of_zero_are_far_but_finite():
  probs = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
  found = divergences(probs)(slice(None), np.arange(3))
  assert np.isfinite(found).all()
  assert found[0, 2] > found[0, 1] > found[0, 0] == 0


def test_ties_go_to_the_first_example(sizes):
  rng = np.random.default_rng(4)
  for _ in range(3):
    rows = rng.integers(0, 3, (90, 3)).astype(np.float32)
    rows = np.concatenate([rows, rows])
    squares = _apart(rows.astype(float)) ** 2
    kept = farthest_first(
      lambda one, other, squares=squares: squares[one][:, other].astype('f4'),
      180,
      150,
      17,
    )
    # Once every place is taken, the rest is in order.
    assert kept.tolist() == _slow(squares, 17, 150)


def test_both_are_drawn_from_the_seed_and_nested():
  inputs = make_inputs(6)
  for policy in ('k_center', 'contextual_diversity'):
    assert POLICIES[policy].nested
    firsts = {
      int(select_examples(policy, inputs, 1, seed=seed)[0])
      for seed in range(12)
    }
    assert len(firsts) > 4
    smaller, larger = (
      {*select_examples(policy, inputs, number, seed=1)} for number in (8, 20)
    )
    assert smaller < larger
