"""Tests how many of each class are kept."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import class_budgets, select_examples
from datadiet.selection.budgets import (
  class_difficulties,
  class_errors,
  proportional_quotas,
  weighted_quotas,
)
from tests.selection.embedded import make_inputs


def test_quotas_are_proportional_and_never_fall():
  sizes = np.array([50, 30, 0, 20])
  assert proportional_quotas(10, sizes).tolist() == [5, 3, 0, 2]
  assert proportional_quotas(100, sizes).tolist() == sizes.tolist()
  rng = np.random.default_rng(0)
  sizes = rng.integers(1, 40, 7)
  before = np.zeros(7, int)
  for num_keep in range(1, sizes.sum() + 1):
    quotas = proportional_quotas(num_keep, sizes)
    assert quotas.sum() == num_keep and (quotas <= sizes).all()
    assert (quotas >= before).all()
    exact = num_keep * sizes / sizes.sum()
    assert np.abs(quotas - exact).max() < 1.5
    before = quotas


def _drop(density, sizes, recalls):
  """Algorithm 1 of DRoP: densities of classes, float64[num_classes]."""
  densities, open_classes = np.zeros(len(sizes)), {*range(len(sizes))}
  excess = density * sizes.sum()
  while excess > 1e-9:
    total = sum(sizes[k] * (1 - recalls[k]) for k in open_classes)
    share = excess / total
    excess = 0.0
    for k in sorted(open_classes):
      densities[k] += share * (1 - recalls[k])
      if densities[k] > 1:
        open_classes.remove(k)
        excess += sizes[k] * (densities[k] - 1)
        densities[k] = 1
  return densities


@pytest.mark.parametrize('density', [0.1, 0.5, 0.9])
def test_the_worst_classes_keep_as_many_as_drop_says(density):
  rng = np.random.default_rng(1)
  for _ in range(5):
    sizes = rng.integers(50, 400, 8)
    recalls = rng.uniform(0.2, 0.98, 8)
    num_keep = round(density * sizes.sum())
    found = class_budgets('worst_class', num_keep, sizes, 1 - recalls)
    exact = sizes * _drop(num_keep / sizes.sum(), sizes, recalls)
    assert found.sum() == num_keep and (found <= sizes).all()
    assert np.abs(found - exact).max() <= 1.5
  assert (found < proportional_quotas(num_keep, sizes)).any()


def test_no_class_is_all_or_nothing_for_want_of_errors():
  """One example of 5,000 that is wrong is no reason to empty nine classes."""
  labels = np.repeat(np.arange(10), 500)
  probs = np.eye(10)[labels]
  probs[1500] = np.eye(10)[0]
  sizes = np.full(10, 500)
  errors = class_errors(probs, labels, 10)
  found = class_budgets('worst_class', 1500, sizes, errors)
  # Class 3 has two elevenths, and the others one each.
  assert found[3] == 273
  assert {136, 137} == {*np.delete(found, 3).tolist()}
  # In proportion where all are learned, as in-sample predictions are.
  errors = class_errors(np.eye(10)[labels], labels, 10)
  found = class_budgets('worst_class', 1500, sizes, errors)
  assert (found == 150).all()


def test_classes_of_weight_zero_share_what_is_left():
  weights = np.zeros(10)
  weights[3] = 0.002
  found = class_budgets('worst_class', 1500, np.full(10, 500), weights)
  assert found.tolist() == [112, 111, 111, 500, *[111] * 6]
  sizes, weights = np.array([10, 30, 20]), np.array([0.0, 0.0, 1.0])
  assert weighted_quotas(24, sizes, weights).tolist() == [1, 3, 20]


def test_a_class_of_weight_zero_comes_last():
  sizes, weights = np.array([5, 5, 5]), np.array([1.0, 0.0, 2.0])
  assert weighted_quotas(6, sizes, weights).tolist() == [2, 0, 4]
  assert weighted_quotas(12, sizes, weights).tolist() == [5, 2, 5]
  nothing = class_budgets('difficulty', 6, sizes, np.zeros(3))
  assert nothing.tolist() == [2, 2, 2]


def test_difficulty_is_the_winsorized_mean_of_the_scores():
  rng = np.random.default_rng(2)
  labels = np.repeat([0, 2], 40)
  scores = rng.uniform(size=80)
  scores[3] = 9.0  # An outlier, of which two at either end are brought in.
  found = class_difficulties(scores, 'harder', labels, 3)
  values = (scores - scores.min()) / (scores.max() - scores.min())
  for label in (0, 2):
    own = np.sort(values[labels == label])
    own[:2], own[-2:] = own[2], own[-3]
    assert found[label] == pytest.approx(own.mean())
  assert found[1] == 0
  turned = class_difficulties(-scores, 'easier', labels, 3)
  np.testing.assert_allclose(turned, found)


def test_errors_are_shares_of_the_class():
  probs = np.eye(3)[[0, 0, 1, 1, 1]]
  found = class_errors(probs, np.array([0, 1, 1, 1, 0]), 3)
  np.testing.assert_allclose(found, [2 / 4, 2 / 5, 1 / 2])
  labels = np.arange(10_000) % 4
  wrong = (labels + (np.arange(10_000) < 2000)) % 4
  found = class_errors(np.eye(4)[wrong], labels, 4)
  np.testing.assert_allclose(found, 0.2, atol=3e-4)


def test_balanced_classes_have_to_be_large_enough():
  with pytest.raises(DataDietError, match='needs 4 of class 1, which has 3'):
    class_budgets('balanced', 8, np.array([9, 3]))
  assert class_budgets('balanced', 5, np.array([9, 3])).tolist() == [3, 2]
  assert class_budgets('proportional', 4, np.array([9, 3])).tolist() == [3, 1]


def test_any_policy_keeps_the_quotas():
  inputs = make_inputs(0, num_examples=60)
  sizes = np.bincount(inputs.labels)
  quotas = np.array([2, 9, 4])
  for policy in ('keep_max', 'random', 'k_center', 'craig', 'ccs'):
    kept = select_examples(policy, inputs, 15, quotas=quotas)
    assert np.bincount(inputs.labels[kept]).tolist() == quotas.tolist()
  for wrong, message in (
    (quotas + 1, 'that sum to 15'),
    (quotas[:2], 'each of 3 classes'),
    ([-1, 9, 7], 'quota of class 0 is -1'),
    ([sizes[0] + 1, 14 - sizes[0], 0], f'its examples, {sizes[0]}'),
  ):
    with pytest.raises(DataDietError, match=message):
      select_examples('random', inputs, 15, quotas=np.array(wrong))
