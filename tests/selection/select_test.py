"""Tests what holds for every policy: balance, nesting, bad input."""

import dataclasses
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import POLICIES, SelectionInputs, select_examples
from datadiet.selection.budgets import class_quotas
from datadiet.selection.interface import ARRAYS

# Where a default would leave too few examples to keep all of a class.
_KEEP_ALL = {
  'top_window': {'drop_fraction': 0.0},
  'ccs': {'cutoff_fraction': 0.0},
}


# The others have no list of examples to give.
STATIC = [name for name, policy in POLICIES.items() if policy.function]


def _inputs(seed=0, num_examples=90, num_classes=4):
  rng = np.random.default_rng(seed)
  probs = rng.dirichlet(np.ones(num_classes), num_examples)
  return SelectionInputs(
    pred_probs=probs.astype(np.float32),
    labels=rng.integers(0, num_classes, num_examples).astype(np.int32),
    num_classes=num_classes,
    scores=rng.integers(0, 6, num_examples).astype(np.float32) / 4,
    higher_is='harder',
    features=rng.normal(size=(num_examples, 5)).astype(np.float32),
    mean_confidence=rng.random(num_examples).astype(np.float32),
  )


@pytest.mark.parametrize('policy', STATIC)
@pytest.mark.parametrize('class_balanced', [False, True])
def test_keeps_exactly_as_many_ascending_and_unique(policy, class_balanced):
  inputs = _inputs()
  for num_keep in (1, 2, 5, 33, 56):
    kept = select_examples(
      policy, inputs, num_keep, class_balanced=class_balanced
    )
    assert kept.dtype == np.int64
    assert kept.shape == (num_keep,)
    assert (np.diff(kept) > 0).all()
    assert kept.min() >= 0 and kept.max() < 90


@pytest.mark.parametrize('policy', STATIC)
def test_keeping_all_keeps_all(policy):
  kept = select_examples(policy, _inputs(), 90, options=_KEEP_ALL.get(policy))
  assert kept.tolist() == list(range(90))


@pytest.mark.parametrize('policy', STATIC)
def test_class_balance_is_exact_to_one(policy):
  inputs = _inputs()
  for num_keep in (3, 4, 30, 41, 55):
    kept = select_examples(policy, inputs, num_keep, class_balanced=True)
    counts = np.bincount(inputs.labels[kept], minlength=4)
    slow = [num_keep // 4 + (label < num_keep % 4) for label in range(4)]
    assert counts.tolist() == slow


@pytest.mark.parametrize(
  # Those that draw have draws of their own for each class.
  'policy',
  [name for name in STATIC if 'seed' not in POLICIES[name].needs],
)
def test_class_balance_applies_the_policy_within_each_class(policy):
  inputs = _inputs()
  kept = select_examples(policy, inputs, 41, class_balanced=True)
  for label, quota in enumerate(class_quotas(41, 4)):
    members = np.flatnonzero(inputs.labels == label)
    alone = dataclasses.replace(
      inputs,
      labels=inputs.labels[members],
      scores=inputs.scores[members],
      features=inputs.features[members],
      mean_confidence=inputs.mean_confidence[members],
      pred_probs=inputs.pred_probs[members],
    )
    within = members[select_examples(policy, alone, int(quota))]
    assert kept[inputs.labels[kept] == label].tolist() == within.tolist()


@pytest.mark.parametrize('policy', STATIC)
def test_nested_policies_are_nested_and_only_these(policy):
  inputs = _inputs()
  options = {
    'offset': {'offset': 2},
    'glister': {'learning_rate': 30.0},
    'infomax': {'redundancy_weight': 2.0},
    'zcore': {'draws_per_example': 2},
  }.get(policy)
  always = True
  for seed, class_balanced in itertools.product(range(3), (False, True)):
    smaller = set()
    for num_keep in range(2, 57, 3):
      kept = select_examples(
        policy,
        inputs,
        num_keep,
        class_balanced=class_balanced,
        seed=seed,
        options=options,
      )
      always = always and smaller <= set(kept.tolist())
      smaller = set(kept.tolist())
  assert always == POLICIES[policy].nested


@pytest.mark.parametrize('policy', STATIC)
def test_only_policies_that_need_a_seed_depend_on_it(policy):
  inputs = _inputs()
  draws = {tuple(select_examples(policy, inputs, 20, seed=s)) for s in range(6)}
  assert (len(draws) > 1) == ('seed' in POLICIES[policy].needs)
  again = {tuple(select_examples(policy, inputs, 20, seed=s)) for s in range(6)}
  assert draws == again


@pytest.mark.parametrize('policy', STATIC)
def test_a_policy_reads_what_it_says_it_needs_and_no_more(policy):
  inputs = _inputs()
  needs = POLICIES[policy].needs
  read = POLICIES[policy].arrays()
  bare = dataclasses.replace(inputs, **dict.fromkeys(ARRAYS.keys() - read))
  if 'higher_is' not in needs:
    bare = dataclasses.replace(bare, higher_is='neither')
  kept = select_examples(policy, bare, 20)
  assert kept.tolist() == select_examples(policy, inputs, 20).tolist()
  for what in read:
    missing = dataclasses.replace(inputs, **{what: None})
    with pytest.raises(DataDietError, match=f'{policy!r} needs {what}'):
      select_examples(policy, missing, 20)
  if 'higher_is' in needs:
    unknown = dataclasses.replace(inputs, higher_is='neither')
    with pytest.raises(DataDietError, match="'harder' or 'easier'"):
      select_examples(policy, unknown, 20)


def test_two_policies_do_not_share_their_draws():
  inputs = dataclasses.replace(_inputs(), scores=np.ones(90, np.float32))
  options = {'cutoff_fraction': 0.0}
  assert (
    select_examples('random', inputs, 40).tolist()
    != select_examples('ccs', inputs, 40, options=options).tolist()
  )


def test_one_class_does_not_move_the_draws_of_another():
  inputs = _inputs()
  kept = select_examples('random', inputs, 20, class_balanced=True)
  # One more example of class 0 at the end changes what class 0 draws from.
  longer = SelectionInputs(np.append(inputs.labels, 0).astype(np.int32), 4)
  other = select_examples('random', longer, 20, class_balanced=True)
  of_others = kept[inputs.labels[kept] > 0]
  assert other[longer.labels[other] > 0].tolist() == of_others.tolist()


def test_classes_of_one_size_do_not_share_their_draws():
  inputs = SelectionInputs(np.repeat(np.arange(4, dtype=np.int32), 20), 4)
  kept = select_examples('random', inputs, 40, class_balanced=True)
  assert len({tuple(ranks) for ranks in (kept % 20).reshape(4, 10)}) == 4


@pytest.mark.parametrize('num_keep', [0, -1, 91])
def test_a_size_that_cannot_be_is_refused(num_keep):
  with pytest.raises(
    DataDietError, match='from 1 to the number of examples, 90'
  ):
    select_examples('keep_max', _inputs(), num_keep)


@pytest.mark.parametrize('num_keep', [0.5, True, '3'])
def test_a_size_that_is_no_integer_is_refused(num_keep):
  with pytest.raises(DataDietError, match='num_keep has to be an integer'):
    select_examples('keep_max', _inputs(), num_keep)


def test_a_negative_seed_is_refused():
  with pytest.raises(DataDietError, match='seed is -1'):
    select_examples('random', _inputs(), 5, seed=-1)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_name_the_first_example(value):
  inputs = _inputs()
  scores = inputs.scores.copy()
  scores[[31, 7]] = value
  with pytest.raises(DataDietError, match='example_index 7 '):
    select_examples('keep_max', dataclasses.replace(inputs, scores=scores), 5)


@pytest.mark.parametrize(
  'scores, message',
  [
    (np.zeros(89, np.float32), r'shape \[90\].*shape \[89\]'),
    (np.zeros((90, 1), np.float32), r'shape \[90\].*shape \[90, 1\]'),
    (np.full(90, 'a'), 'real numbers'),
    (np.zeros(90, bool), 'real numbers'),
  ],
)
def test_scores_of_another_form_are_refused(scores, message):
  inputs = dataclasses.replace(_inputs(), scores=scores)
  with pytest.raises(DataDietError, match=message):
    select_examples('keep_max', inputs, 5)


def test_unsigned_scores_are_ranked_by_value():
  scores = np.array([0, 3, 1], np.uint8)
  inputs = SelectionInputs(np.zeros(3, np.int32), 1, scores)
  assert select_examples('keep_max', inputs, 2).tolist() == [1, 2]


def test_labels_out_of_range_name_the_example():
  inputs = _inputs()
  labels = inputs.labels.copy()
  labels[12] = 4
  with pytest.raises(DataDietError, match='example_index 12 is 4.*from 0 to 3'):
    select_examples('random', dataclasses.replace(inputs, labels=labels), 5)
  with pytest.raises(DataDietError, match='array of integers'):
    select_examples('random', SelectionInputs(np.zeros(5), 1), 2)


def test_an_unknown_higher_is_is_refused():
  inputs = dataclasses.replace(_inputs(), higher_is='hard')
  with pytest.raises(DataDietError, match="higher_is is 'hard'"):
    select_examples('keep_max', inputs, 5)


def test_a_class_too_small_to_balance_is_named():
  labels = np.array([0] * 10 + [1] * 3 + [2] * 10, np.int32)
  inputs = SelectionInputs(labels, 3)
  message = 'of 12 examples needs 4 of class 1, which has 3'
  with pytest.raises(DataDietError, match=message):
    select_examples('random', inputs, 12, class_balanced=True)
  # A class that nobody has: it can only be left out of very small subsets.
  inputs = SelectionInputs(labels, 4)
  kept = select_examples('random', inputs, 3, class_balanced=True)
  assert labels[kept].tolist() == [0, 1, 2]
  with pytest.raises(DataDietError, match='1 of class 3, which has 0'):
    select_examples('random', inputs, 4, class_balanced=True)


def test_an_error_within_a_class_names_the_class():
  labels = np.array([0] * 10 + [1] * 4, np.int32)
  inputs = SelectionInputs(labels, 2, np.arange(14.0))
  with pytest.raises(DataDietError, match="in class 1, policy 'offset'"):
    select_examples(
      'offset', inputs, 6, class_balanced=True, options={'offset': 2}
    )


@pytest.mark.parametrize(
  'alias, name',
  [
    ('keep_max_scores', 'keep_max'),
    ('keep_min_scores', 'keep_min'),
    ('keep_max_abs_scores', 'keep_max_abs'),
    ('keep_min_abs_scores', 'keep_min_abs'),
    ('offset_subset', 'offset'),
    ('random_subset', 'random'),
  ],
)
def test_an_alias_selects_the_same(alias, name):
  inputs = _inputs()
  kept = select_examples(alias, inputs, 20, seed=3)
  assert kept.tolist() == select_examples(name, inputs, 20, seed=3).tolist()


def test_the_inputs_are_left_as_they_are():
  inputs = _inputs()
  before = {
    field.name: np.copy(getattr(inputs, field.name))
    for field in dataclasses.fields(inputs)
  }
  for policy in STATIC:
    select_examples(policy, inputs, 20, class_balanced=True)
  for name, value in before.items():
    np.testing.assert_array_equal(getattr(inputs, name), value)


def test_the_room_needs_neither_jax_nor_scikit_learn_to_start():
  code = (
    'import sys, datadiet.selection; '
    "assert not {'jax', 'sklearn', 'tensorflow'} & set(sys.modules)"
  )
  subprocess.run(
    [sys.executable, '-c', code],
    check=True,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
  )
