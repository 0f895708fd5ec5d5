"""Tests embeddings of any size, and far from the origin."""

import dataclasses

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import select_examples
from datadiet.selection.scaling import in_float32, scaled
from datadiet.selection.submodular import greedy_facilities
from tests.selection.embedded import by_class, gradients, make_inputs
from tests.selection.gradient_matching_test import _slow_pursuit
from tests.selection.k_center_test import _apart, _slow
from tests.selection.neighbours_test import _neighbours, _slow_d2
from tests.selection.submodular_test import SLOW

# None of them may depend on the unit that features are in.
INVARIANT = (
  'k_center',
  'herding',
  'craig',
  'facility_location',
  'graph_cut',
  'cal',
  'infomax',
  'zcore',
  'moderate',
  'prototypes',
)


def test_no_digit_changes():
  values = np.random.default_rng(0).normal(size=(3000, 4)) * 3e20
  rows, scale = scaled(values.astype(np.float32))
  assert 0.5 <= np.abs(rows).max() <= 1 and np.log2(scale) % 1 == 0
  np.testing.assert_array_equal(rows / scale, values.astype(np.float32))
  rows, scale = scaled(values * 1e-60)  # Below what float32 holds.
  found = rows.astype(np.float64) / scale
  np.testing.assert_allclose(found, values * 1e-60, rtol=1e-6)
  assert scaled(np.zeros((3, 2)))[1] == 1


def test_numbers_of_few_digits_stay_such():
  values = np.random.default_rng(0).integers(0, 3, (500, 8)) + 1000
  rows, scale = scaled(values, centred=True)
  moved = rows.astype(np.float64) / scale
  np.testing.assert_array_equal(moved - moved[0], values - values[0])
  assert np.abs(moved).max() <= 2 and not (moved * 16 % 1).any()
  constant, _ = scaled(np.full((5, 1), 0.1), centred=True)
  assert not constant.any()


@pytest.mark.parametrize('policy', INVARIANT)
@pytest.mark.parametrize('size', [1e20, 1e-25, 1e-60])
def test_the_size_of_features_changes_no_pick(policy, size):
  inputs = make_inputs(0, num_examples=60, embeddings='features')
  features = inputs.features.astype(np.float64) * size
  resized = dataclasses.replace(inputs, features=features)
  np.testing.assert_array_equal(
    select_examples(policy, resized, 20), select_examples(policy, inputs, 20)
  )


@pytest.mark.parametrize('size', [1e20, 1e-25])
@pytest.mark.parametrize('policy', ['craig', 'facility_location'])
def test_gradients_of_any_size_are_those_multiplied_out(policy, size):
  """Beside large features the bias counts nothing; beside small, all."""
  inputs = make_inputs(1, num_examples=45)
  inputs = dataclasses.replace(
    inputs, features=inputs.features.astype(np.float64) * size
  )
  kept = select_examples(policy, inputs, 15)
  # Beside 1 features of 1e-25 are rounding in float64 too.
  if size > 1:
    assert kept.tolist() == by_class(inputs, 15, SLOW[policy])
  else:
    flat = dataclasses.replace(inputs, features=inputs.features * 0)
    assert kept.tolist() == select_examples(policy, flat, 15).tolist()


@pytest.mark.parametrize('policy', ['craig', 'facility_location', 'glister'])
def test_predictions_that_are_all_but_certain_are_told_apart(policy):
  """Their errors' squares are no float32 numbers."""
  inputs = make_inputs(2, num_examples=45)
  right = np.eye(3)[inputs.labels]
  probs = np.where(right, 1, inputs.pred_probs * 1e-6)
  kept = []
  for size in (1.0, 1e-20):
    probs = np.where(right, 1, probs * size)
    certain = dataclasses.replace(inputs, pred_probs=probs.astype(np.float32))
    kept.append(select_examples(policy, certain, 15).tolist())
  first = by_class(inputs, 15, lambda part, number: np.arange(number))
  assert kept[0] == kept[1] != first


@pytest.mark.parametrize('size', [1e20, 1e15, 1e-15])
def test_the_regularization_keeps_its_unit(size):
  inputs = make_inputs(3, num_examples=45)
  inputs = dataclasses.replace(
    inputs, features=inputs.features.astype(np.float64) * size
  )
  # Of large gradients it is rounding: up to as many as a class has dimensions.
  kept = select_examples('grad_match', inputs, 12)
  assert kept.tolist() == by_class(
    inputs, 12, lambda part, number: _slow_pursuit(gradients(part), number, 0.5)
  )
  options = {'learning_rate': size**-2}
  assert len(select_examples('glister', inputs, 12, options=options)) == 12


@pytest.mark.parametrize('offset', [1000, 3000])
def test_features_far_from_the_origin_keep_their_distances(offset):
  inputs = make_inputs(4, num_examples=300, embeddings='features')
  moved = (inputs.features + offset).astype(np.float32)
  inputs = dataclasses.replace(inputs, features=moved)
  rows = moved.astype(np.float64)
  (first,) = select_examples('k_center', inputs, 1)
  kept = select_examples('k_center', inputs, 50)
  assert kept.tolist() == sorted(_slow(_apart(rows), first, 50))
  for policy in ('herding', 'd2', 'cal'):
    expected = {
      'herding': lambda: by_class(inputs, 50, SLOW['herding']),
      'd2': lambda: _slow_d2(inputs, 50, 10, 1.0, 0.1),
      'cal': lambda: _slow_cal(inputs, 50),
    }[policy]()
    kept = select_examples(policy, inputs, 50)
    assert kept.tolist() == expected, policy
  near = dataclasses.replace(inputs, features=(rows - offset).astype('f4'))
  np.testing.assert_array_equal(
    select_examples('craig', inputs, 50), select_examples('craig', near, 50)
  )


def _slow_cal(inputs, num_keep):
  """As in the tests of Cal."""
  probs = inputs.pred_probs.astype(float)
  nearest, _ = _neighbours(inputs.features.astype(float), 10)
  gaps = np.log(probs)[nearest] - np.log(probs)[:, None]
  divergence = (probs[nearest] * gaps).sum(2).mean(1)
  return sorted(np.argsort(divergence)[::-1][:num_keep].tolist())


@pytest.mark.parametrize('bad', [1e39, -1e200, np.inf, np.nan])
def test_what_float32_does_not_hold_is_refused(bad):
  inputs = make_inputs(5)
  features = inputs.features.astype(np.float64)
  features[7, 2] = bad
  with pytest.raises(
    DataDietError, match='finite in float32, but those of example_index 7 '
  ):
    select_examples(
      'k_center', dataclasses.replace(inputs, features=features), 5
    )
  assert in_float32(np.array([2**62, -(2**63)])).all()
  assert in_float32(np.array([60000], np.float16)).all()


def test_a_search_that_would_never_end_is_refused():
  similar = np.ones((4, 4), np.float32)
  similar[2, 2] = np.nan
  with pytest.raises(DataDietError, match='have to be finite'):
    greedy_facilities(similar, 2)
