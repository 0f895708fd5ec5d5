"""Tests how sizes are given and selections named."""

import re

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import POLICIES, num_kept, selection_name
from datadiet.selection.naming import name_of_file


@pytest.mark.parametrize(
  'asked, expected',
  [
    (0.5, 25000),
    (1.0, 50000),
    (1, 1),
    (50000, 50000),
    (np.int64(12), 12),
    (np.float32(0.25), 12500),
    (0.29, 14500),
    (1e-5, 1),
  ],
)
def test_fractions_are_rounded_and_sizes_kept(asked, expected):
  size = num_kept(asked, 50000)
  assert size == expected
  assert type(size) is int


def test_halves_are_rounded_up():
  assert num_kept(0.5, 5) == 3
  assert num_kept(0.5, 1) == 1


@pytest.mark.parametrize(
  'asked', [0.0, -0.5, 1.01, float('nan'), float('inf'), '0.5', True, None]
)
def test_what_is_neither_fraction_nor_size_is_refused(asked):
  with pytest.raises(DataDietError, match='fraction above 0.0 and up to 1.0'):
    num_kept(asked, 100)


@pytest.mark.parametrize('asked', [0, -3, 101])
def test_a_size_out_of_range_is_refused(asked):
  with pytest.raises(
    DataDietError, match='from 1 to the number of examples, 100'
  ):
    num_kept(asked, 100)


def test_a_fraction_that_keeps_nothing_is_refused():
  with pytest.raises(DataDietError, match='0.004 of 100 examples keeps none'):
    num_kept(0.004, 100)


@pytest.mark.parametrize(
  'arguments, expected',
  [
    (('el2n', 7800, 'keep_max', 25000), 'el2n_step_7800_keep_max_25000'),
    (('el2n', 0, 'keep_min_scores', 5), 'el2n_step_0_keep_min_5'),
    (('grand', 20, 'random', 15000), 'random_15000'),
    ((None, None, 'random', 15000, True), 'random_15000_balanced'),
    (
      ('aum', 9, 'ccs', 50, True, {'cutoff_fraction': 0.3, 'num_strata': 50}),
      'aum_step_9_ccs_50_balanced_cutoff_fraction_0.3',
    ),
    (('el2n', 9, 'offset', 50, False, {'offset': 0}), 'el2n_step_9_offset_50'),
    (
      ('el2n', 9, 'offset', 50, False, {'offset': 70}),
      'el2n_step_9_offset_50_offset_70',
    ),
    (('el2n', 9, 'moderate', 50), 'features_step_9_moderate_50'),
    (
      (None, 9, 'prototypes', 50, False, {'keep': 'easiest'}),
      'features_step_9_prototypes_50_keep_easiest',
    ),
    (('el2n', 9, 'craig', 50), 'gradients_step_9_craig_50'),
    ((None, 9, 'cal', 50), 'features_step_9_cal_50'),
    (
      (None, 9, 'contextual_diversity', 5),
      'pred_probs_step_9_contextual_diversity_5',
    ),
    (
      (None, 9, 'k_center', 50, False, {}, 'gradients'),
      'gradients_step_9_k_center_50',
    ),
    ((None, None, 'zcore', 50, False, {}, 'dino'), 'dino_zcore_50'),
    (('aum', 9, 'd2', 5, False, {}, 'dino'), 'aum_dino_step_9_d2_5'),
    (
      (None, 9, 'random', 5, False, {}, '', 'proportional'),
      'random_5_proportional',
    ),
    (
      ('aum', 9, 'craig', 5, False, {}, '', 'worst_class'),
      'gradients_step_9_craig_5_worst_class',
    ),
    (
      ('aum', 9, 'random', 5, False, {}, '', 'difficulty'),
      'aum_step_9_random_5_difficulty',
    ),
    (('my scores/v2', None, 'keep_max', 7), 'my-scores-v2_keep_max_7'),
    (('dual', 9, 'beta', 7, False, {'c_d': 11}), 'dual_step_9_beta_7_c_d_11.0'),
  ],
)
def test_names(arguments, expected):
  assert selection_name(*arguments) == expected


@pytest.mark.parametrize('score', ['../../etc', '.', 'a\nb', 'Zürich', 'a b*'])
def test_names_are_safe_in_a_file_system(score):
  for policy in POLICIES:
    name = selection_name(score, 1, policy, 2)
    assert re.fullmatch(r'[A-Za-z0-9_-][A-Za-z0-9._-]*', name)


def test_files_are_called_as_selections_by_them():
  for path in ('a/my scores.npy', 'my-scores.npz'):
    assert name_of_file(path) == 'my-scores'
    assert selection_name(name_of_file(path), None, 'keep_max', 7).startswith(
      'my-scores_keep_max'
    )


def test_equal_options_give_equal_names():
  zero = selection_name('a', 1, 'ccs', 2, options={'cutoff_fraction': 0})
  assert zero == selection_name(
    'a', 1, 'ccs', 2, options={'cutoff_fraction': 0.0}
  )
  assert zero.endswith('cutoff_fraction_0.0')


def test_a_policy_by_scores_needs_the_score_s_name():
  with pytest.raises(DataDietError, match='needs the name of a score'):
    selection_name(None, 1, 'keep_max', 2)
  with pytest.raises(DataDietError, match='unknown selection policy'):
    selection_name('el2n', 1, 'keep', 2)
