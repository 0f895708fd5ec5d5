"""Tests the greedy policies by the definitions of what they maximise."""

import numpy as np
import pytest

from datadiet.selection import POLICIES, SelectionInputs, select_examples
from datadiet.selection.submodular import greedy_cut, greedy_facilities, herd
from tests.selection.embedded import (
  by_class,
  cosines,
  gradients,
  greedy,
  make_inputs,
)


def _covered(similar, kept):
  return similar[:, kept].max(1).sum()


def _cut(similar, kept):
  return similar[:, kept].sum() - similar[np.ix_(kept, kept)].sum()


def _slow_facilities(part, number):
  similar = 0.5 + 0.5 * cosines(gradients(part))
  return greedy(len(similar), number, lambda kept: _covered(similar, kept))


def _slow_cut(part, number):
  similar = 0.5 + 0.5 * cosines(gradients(part))
  return greedy(len(similar), number, lambda kept: _cut(similar, kept))


def _slow_craig(part, number):
  rows = gradients(part)
  apart = np.linalg.norm(rows[:, None] - rows, axis=2)
  return greedy(
    len(rows),
    number,
    # With the auxiliary element, at the largest distance from all.
    lambda kept: -np.minimum(apart[:, kept].min(1), apart.max()).sum(),
  )


def _slow_herding(part, number):
  rows = part.features.astype(float)
  return greedy(
    len(rows),
    number,
    lambda kept: -np.linalg.norm(rows.mean(0) - rows[kept].mean(0)),
  )


SLOW = {
  'facility_location': _slow_facilities,
  'graph_cut': _slow_cut,
  'craig': _slow_craig,
  'herding': _slow_herding,
}


@pytest.mark.parametrize('num_keep', [1, 7, 20, 39])
@pytest.mark.parametrize('policy', SLOW)
def test_policies_are_greedy_within_classes(policy, num_keep):
  for seed in range(3):
    inputs = make_inputs(seed)
    kept = select_examples(policy, inputs, num_keep)
    expected = by_class(inputs, num_keep, SLOW[policy])
    assert kept.tolist() == expected


@pytest.mark.parametrize('policy', SLOW)
def test_smaller_subsets_are_part_of_larger_ones(policy):
  assert POLICIES[policy].nested
  inputs = make_inputs(5, num_examples=60)
  before = set()
  for num_keep in (6, 13, 30, 60):
    options = {'part_size': 9}
    kept = {*select_examples(policy, inputs, num_keep, options=options)}
    assert before <= kept and len(kept) == num_keep
    before = kept


def test_the_user_s_kind_of_embedding_is_looked_at():
  inputs = make_inputs(1)
  kept = {
    kind: select_examples(
      'craig',
      SelectionInputs(
        inputs.labels,
        3,
        features=inputs.features,
        pred_probs=inputs.pred_probs,
        embeddings=kind,
      ),
      12,
    ).tolist()
    for kind in ('', 'features', 'gradients')
  }
  assert kept[''] == kept['gradients'] != kept['features']


def _grid(seed, num_examples=30):
  """Similarities of few values, so that many gains are exactly equal."""
  rng = np.random.default_rng(seed)
  half = rng.integers(0, 3, (num_examples, num_examples))
  return ((half + half.T) / 4).astype(np.float32)


def test_ties_go_to_the_first_example():
  for seed in range(5):
    similar = _grid(seed)
    kept = greedy_facilities(similar, 30).tolist()
    assert kept == greedy(30, 30, lambda s, of=similar: _covered(of, s))
    kept = greedy_cut(similar, 30, 1.0).tolist()
    assert kept == greedy(30, 30, lambda s, of=similar: _cut(of, s))
  equal = np.ones((6, 6), np.float32)
  assert herd(equal, 6).tolist() == list(range(6))
  assert greedy_facilities(equal, 6).tolist() == list(range(6))


def test_coverage_weighs_the_similarity_to_all():
  inputs = make_inputs(2)
  options = {'coverage': 30.0}
  kept = select_examples('graph_cut', inputs, 9, options=options)
  # So much that only the sums of similarities count.
  expected = by_class(
    inputs,
    9,
    lambda part, number: np.argsort(
      -cosines(gradients(part)).sum(1), kind='stable'
    )[:number],
  )
  assert kept.tolist() == expected


def test_examples_that_cover_only_each_other_tie():
  """Rounded unlike, one of every such pair would be kept by chance."""
  features = np.random.default_rng(7).normal(size=(120, 40))
  inputs = SelectionInputs(
    np.zeros(120, np.int32),
    1,
    features=features.astype(np.float32),
    embeddings='features',
  )
  kept = select_examples('facility_location', inputs, 70)
  similar = 0.5 + 0.5 * cosines(inputs.features.astype(float))
  expected = greedy(120, 70, lambda kept: _covered(similar, kept))
  assert kept.tolist() == sorted(expected)
