"""Tests of the select stage: which examples are kept, and where it says so."""

import dataclasses
import json

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.errors import ConfigError, DataDietError
from datadiet.selection import SelectionInputs, select_examples
from datadiet.selection.budgets import (
  class_difficulties,
  class_errors,
  weighted_quotas,
)
from datadiet.stages import draws, due, select
from datadiet.stages.checks import check_against_data
from datadiet.stages.context import Context
from datadiet.workdir import artifacts
from tests import running


def _with(context, **changes) -> Context:
  config = config_lib.resolve(running.tiny_config(**changes))
  return Context(config, context.workdir, context.dataset)


def _kept(context, name, run=None):
  folder = context.workdir.selection(name, run)
  return np.load(folder / 'example_index.npy')


def test_keep_max_keeps_the_largest_scores(finished):
  scores = np.load(finished.workdir.scores(None, 44) / 'el2n.npy')
  kept = _kept(finished, 'el2n_step_44_keep_max_719')
  expected = np.sort(np.argsort(-scores, kind='stable')[:719])
  assert kept.dtype == np.int64
  np.testing.assert_array_equal(kept, expected)


def test_random_draws_differ_by_run(finished):
  draws = [_kept(finished, 'random_719', run) for run in (0, 1)]
  for draw in draws:
    assert len(np.unique(draw)) == len(draw) == 719
    assert (np.diff(draw) > 0).all()
  assert len(np.intersect1d(*draws)) < 700


def test_manifests_say_how_a_subset_was_made(finished):
  folder = finished.workdir.selection('el2n_step_44_keep_max_719')
  manifest = json.loads((folder / 'manifest.json').read_text())
  assert manifest['policy'] == 'keep_max'
  assert (manifest['score'], manifest['step']) == ('el2n', 44)
  assert manifest['num_kept'] == 719
  assert manifest['fingerprint'] == finished.dataset.fingerprint


def test_more_subsets_can_be_asked_for(own):
  before = running.all_bytes(own.workdir.root / 'selections')
  wider = _with(
    own,
    select__fractions=(0.5, 0.3),
    select__sizes=(100,),
    select__policies=('keep_max', 'keep_min', 'offset'),
    select__options__offset=10,
    select__baselines=('random', 'random_balanced'),
  )
  assert select.plan(wider) == '15 subsets (2 done)'
  select.run(wider)
  assert select.plan(wider) == '15 subsets (15 done)'
  after = running.all_bytes(own.workdir.root / 'selections')
  assert before.items() <= after.items()
  scores = np.load(own.workdir.scores(None, 44) / 'el2n.npy')
  order = np.argsort(scores, kind='stable')
  np.testing.assert_array_equal(
    _kept(wider, 'el2n_step_44_keep_min_100'), np.sort(order[:100])
  )
  (offset,) = [
    one
    for one in wider.selections
    if one.policy == 'offset' and one.num_kept == 100
  ]
  np.testing.assert_array_equal(
    _kept(wider, offset.name), np.sort(order[10:110])
  )


def test_a_size_that_a_fraction_gives_too_is_made_once(finished):
  twice = _with(finished, select__sizes=(719,))
  names = [one.name for one in twice.selections]
  assert names == [one.name for one in finished.selections]


def test_a_policy_of_features_goes_by_no_score(finished):
  context = _with(
    finished,
    select__policies=('moderate',),
    select__scores=('el2n', 'aum'),
    select__baselines=(),
  )
  (one,) = context.selections
  assert (one.name, one.score) == ('features_step_44_moderate_719', None)


def _looking(own, **changes):
  """Small subsets by policies that look at embeddings."""
  settings = {'sizes': (60,), 'fractions': (), 'baselines': (), **changes}
  return _with(own, **{f'select__{key}': v for key, v in settings.items()})


def test_a_user_s_embeddings_are_taken_for_the_features(own, tmp_path):
  rows = np.random.default_rng(0).normal(size=(1437, 3))
  np.save(tmp_path / 'dino.npy', rows)
  settings = {
    'policies': ('herding', 'craig', 'glister', 'd2'),
    'embeddings_path': str(tmp_path / 'dino.npy'),
  }
  context = _looking(own, **settings)
  assert [one.name for one in context.selections] == [
    'dino_herding_60',
    'dino_craig_60',
    'dino_step_44_glister_60',
    'el2n_dino_step_44_d2_60',
  ]
  select.run(context)
  labels, dataset = own.dataset.train.labels, own.dataset
  inputs = SelectionInputs(
    labels, dataset.num_classes, features=rows, embeddings='features'
  )
  for policy in ('herding', 'craig'):
    np.testing.assert_array_equal(
      _kept(own, f'dino_{policy}_60'), select_examples(policy, inputs, 60)
    )
  (herding,) = _looking(
    own, **settings | {'policies': ('herding',)}, budget='proportional'
  ).selections
  assert herding.name == 'dino_herding_60_proportional'
  # Of the file's rows and the network's predictions.
  both = _looking(
    own, **settings | {'policies': ('craig',)}, embeddings='gradients'
  )
  (one,) = both.selections
  assert one.name == 'dino_gradients_step_44_craig_60'
  select.run(both)
  inputs = dataclasses.replace(
    inputs,
    embeddings='gradients',
    pred_probs=np.load(own.workdir.scores(0, 44) / 'pred_probs.npy'),
  )
  np.testing.assert_array_equal(
    _kept(own, one.name), select_examples('craig', inputs, 60)
  )
  # Other rows: other subsets.
  np.save(tmp_path / 'dino.npy', -rows[::-1])
  assert select.plan(_looking(own, **settings)) == '4 subsets (0 done)'


@pytest.mark.parametrize(
  'array, message',
  [
    (np.zeros((1436, 3)), r'has shape \(1436, 3\).*1437 examples'),
    (np.zeros(1437), r'holds float64\[1437\]; allowed: a row of numbers'),
    (np.full((1437, 2), 'a'), 'a row of numbers'),
    (
      np.where(np.arange(1437)[:, None] % 500 == 499, np.nan, np.ones(2)),
      'has 2 rows not finite in float32, the first that of example_index 499',
    ),
    (np.full((1437, 2), 1e39), 'not finite in float32.*up to 3.4e'),
    (np.full((1437, 2), None), 'holds Python objects'),
  ],
)
def test_bad_embeddings_are_refused_before_anything_is_made(
  own, tmp_path, array, message
):
  np.save(tmp_path / 'mine.npy', array, allow_pickle=array.dtype == object)
  context = _looking(
    own, policies=('zcore',), embeddings_path=str(tmp_path / 'mine.npy')
  )
  with pytest.raises(DataDietError, match=message):
    check_against_data(context, ['select'])


def test_embeddings_that_no_policy_looks_at_are_refused(own):
  for settings, named in (
    ({'embeddings': 'gradients', 'policies': ('moderate',)}, 'embeddings:'),
    ({'embeddings_path': 'x', 'policies': ('keep_max',)}, 'embeddings_path:'),
  ):
    changes = {f'select__{key}': value for key, value in settings.items()}
    with pytest.raises(ConfigError, match=f'config.select.{named}.*of which'):
      config_lib.check(running.tiny_config(**changes))


def test_what_policies_look_at_is_kept_by_the_score_stage(own):
  context = _looking(own, policies=('craig',))
  assert due.extra_arrays(context) == ('features', 'pred_probs')
  with pytest.raises(DataDietError, match='features.npy, which the policies'):
    select.run(context)


def test_budgets_by_class_go_by_scores_or_predictions(own):
  labels = own.dataset.train.labels
  sizes = np.bincount(labels)
  difficult = _looking(
    own, policies=('keep_min', 'random'), budget='difficulty'
  )
  assert [one.name for one in difficult.selections] == [
    'el2n_step_44_keep_min_60_difficulty',
    'el2n_step_44_random_60_difficulty',
  ]
  select.run(difficult)
  scores = np.load(own.workdir.scores(None, 44) / 'el2n.npy')
  weights = class_difficulties(scores, 'harder', labels, 10)
  expected = weighted_quotas(60, sizes, weights).tolist()
  for name, run in (('keep_min', None), ('random', 1)):
    kept = _kept(own, f'el2n_step_44_{name}_60_difficulty', run)
    assert np.bincount(labels[kept], minlength=10).tolist() == expected
  assert select.plan(difficult) == '2 subsets (2 done)'
  worst = _looking(own, policies=('random',), budget='worst_class')
  (one,) = worst.selections
  assert one.name == 'pred_probs_step_44_random_60_worst_class'
  select.run(worst)
  path = own.workdir.scores(0, 44) / 'pred_probs.npy'
  errors = class_errors(np.load(path), labels, 10)
  kept = _kept(own, one.name, 0)
  assert np.bincount(labels[kept], minlength=10).tolist() == (
    weighted_quotas(60, sizes, errors).tolist()
  )
  # Other predictions: another budget.
  others = np.eye(10, dtype=np.float32)[(labels + (labels < 3)) % 10]
  np.save(path, others)
  with pytest.raises(DataDietError, match='pred_probs.npy is damaged'):
    select.plan(_looking(own, policies=('random',), budget='worst_class'))
  manifest = artifacts.read_manifest(path.parent)
  manifest['checksums']['pred_probs'] = artifacts.checksum(others)
  artifacts.write_manifest(path.parent, manifest)
  assert select.plan(
    _looking(own, policies=('random',), budget='worst_class')
  ) == ('1 subsets (0 done)')


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'budget': 'difficulty', 'class_balanced': True}, 'with select.class_bal'),
    (
      {'budget': 'worst_class', 'policies': ('rs2',)},
      "budget: 'worst_class' is",
    ),
    ({'class_balanced': True, 'policies': ('rs2',)}, 'class_balanced: True is'),
    (
      {'budget': 'difficulty', 'scores': ('input_norm',)},
      "'input_norm', of which no end is hard",
    ),
  ],
)
def test_budgets_that_cannot_be_told_are_refused(settings, message):
  changes = {f'select__{key}': value for key, value in settings.items()}
  with pytest.raises(ConfigError, match=message):
    config_lib.check(running.tiny_config(**changes))


def test_a_subset_of_scores_that_changed_is_not_taken_for_theirs(own):
  before = running.all_bytes(own.workdir.root / 'selections')
  folder = own.workdir.scores(None, 44)
  scores = np.load(folder / 'el2n.npy')[::-1].copy()
  manifest = json.loads((folder / 'manifest.json').read_text())
  manifest['checksums']['el2n'] = artifacts.checksum(scores)
  np.save(folder / 'el2n.npy', scores)
  (folder / 'manifest.json').write_text(json.dumps(manifest))
  with pytest.raises(ConfigError, match='saw other subsets') as caught:
    select.run(own)
  assert 'retrain/el2n_step_44_keep_max_719/run_01' in str(caught.value)
  assert running.all_bytes(own.workdir.root / 'selections') == before


def test_a_damaged_mean_score_is_named(own):
  path = own.workdir.scores(None, 44) / 'el2n.npy'
  path.write_bytes(b'\x93NUMPY nonsense')
  (
    own.workdir.selection('el2n_step_44_keep_max_719') / 'manifest.json'
  ).unlink()
  with pytest.raises(DataDietError, match='is damaged') as caught:
    select.run(own)
  assert str(path) in str(caught.value)


def _by_file(own, path, **changes):
  return _with(own, select__scores_path=str(path), **changes)


def test_scores_from_a_file_select_as_the_workdir_s_own(own, tmp_path):
  scores = np.load(own.workdir.scores(None, 44) / 'el2n.npy')
  path = tmp_path / 'mine.npy'
  np.save(path, scores.astype(np.float64))
  context = _by_file(own, path, select__baselines=())
  assert [one.name for one in context.selections] == ['mine_keep_max_719']
  select.run(context)
  np.testing.assert_array_equal(
    _kept(own, 'mine_keep_max_719'), _kept(own, 'el2n_step_44_keep_max_719')
  )
  # Nothing was trained on it: it is made anew of other scores.
  np.save(path, -scores)
  select.run(_by_file(own, path, select__baselines=()))
  kept = _kept(own, 'mine_keep_max_719')
  np.testing.assert_array_equal(kept, np.sort(np.argsort(scores)[:719]))


def test_classes_that_lose_all_examples_are_named(own, tmp_path, caplog):
  labels = own.dataset.train.labels
  path = tmp_path / 'mine.npy'
  np.save(path, np.where(np.isin(labels, (3, 7)), 0.0, 1.0))
  caplog.set_level('WARNING')
  select.run(_by_file(own, path, select__baselines=()))
  assert 'mine_keep_max_719 keeps no example of 3, 7' in caplog.text


def test_a_manifest_beside_a_file_says_what_is_hard(own):
  path = own.workdir.scores(None, 44) / 'aum.npy'
  context = _by_file(own, path, select__policies=('top_window',))
  select.run(context)
  kept = _kept(own, 'aum_top_window_719')
  hardest = np.argsort(np.load(path), kind='stable')
  np.testing.assert_array_equal(kept, np.sort(hardest[144 : 144 + 719]))
  context = _by_file(own, path, select__budget='difficulty')
  assert context.score_file.higher_is == 'easier'
  path = path.with_name('input_norm.npy')
  context = _by_file(own, path, select__policies=('top_window',))
  with pytest.raises(ConfigError, match="'top_window'.* says that no end of"):
    check_against_data(context, ['select'])


@pytest.mark.parametrize(
  'scores, changes, message',
  [
    (np.zeros(1436), {}, r'shape \(1436,\), the data set has 1437 examples'),
    (np.zeros((1437, 2)), {}, r'float64\[1437, 2\]; allowed: one number'),
    (np.full(1437, np.nan), {}, 'mine of example_index 0 is nan'),
    (np.full(1437, 'a'), {}, 'allowed: one number an example'),
    (
      np.zeros(1437),
      {'select__policies': ('ccs',)},
      "config.select.higher_is: '' .*'ccs'.*allowed: harder, easier",
    ),
    (
      np.zeros(1437),
      {'select__budget': 'difficulty'},
      "higher_is: '' .*budget='difficulty' and .*mine.npy, as no manifest besi",
    ),
  ],
)
def test_files_that_do_not_fit_are_refused_at_the_start(
  finished, tmp_path, scores, changes, message
):
  path = tmp_path / 'mine.npy'
  np.save(path, scores)
  context = _by_file(finished, path, **changes)
  with pytest.raises(DataDietError, match=message):
    check_against_data(context, ['select'])


def test_a_file_of_other_data_is_refused(own, tmp_path):
  np.save(tmp_path / 'el2n.npy', np.zeros(1437))
  (tmp_path / 'manifest.json').write_text('{"fingerprint": "other"}')
  with pytest.raises(DataDietError, match='was made for other data'):
    check_against_data(_by_file(own, tmp_path / 'el2n.npy'), ['select'])
  (tmp_path / 'mine.npy').write_bytes(b'nonsense')
  with pytest.raises(DataDietError, match=r'mine.npy is no readable .npy'):
    # Nobody but the user could make it anew.
    check_against_data(_by_file(own, tmp_path / 'mine.npy'), ['select'])
  with pytest.raises(DataDietError, match='does not exist'):
    check_against_data(_by_file(own, tmp_path / 'no.npy'), ['select'])


def test_policies_have_scores_of_their_own(own):
  config = running.tiny_config(
    select__policies=('keep_max', 'keep_min:aum', 'keep_max:grand@0'),
    select__fractions=(0.5,),
    select__baselines=(),
  )
  context = Context(config_lib.resolve(config), own.workdir, own.dataset)
  select.run(context)
  names = [one.name for one in context.selections]
  assert names == [
    'el2n_step_44_keep_max_719',
    'aum_step_44_keep_min_719',
    'grand_step_0_keep_max_719',
  ]
  (aum,) = [one for one in context.selections if one.score == 'aum']
  kept = draws.read_draw(context, draws.for_run(context, aum, 0))
  lowest = np.argsort(context.mean_score('aum', 44), kind='stable')[:719]
  np.testing.assert_array_equal(kept, np.sort(lowest))


def test_auto_is_planned_by_size_and_one_s_own_options_go_first(own):
  def names(**changes):
    config = running.tiny_config(
      select__policies=('auto',),
      select__fractions=(0.5, 0.1),
      select__baselines=(),
      **changes,
    )
    context = Context(config_lib.resolve(config), own.workdir, own.dataset)
    return [one.name for one in context.selections]

  assert names() == [
    'aum_step_44_ccs_719',
    'rs2_719',
    'aum_step_44_ccs_144_cutoff_fraction_0.3',
    'rs2_144',
  ]
  changed = names(select__options={'cutoff_fraction': 0.2})
  assert changed[2] == 'aum_step_44_ccs_144_cutoff_fraction_0.2'
