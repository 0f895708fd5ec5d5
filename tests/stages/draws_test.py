"""Tests of what draws are made from, and of retrainings on other ones."""

import itertools
import json
import shutil
import types

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main, pipeline
from datadiet.errors import ConfigError, DataDietError
from datadiet.stages import draws, retrain, select
from datadiet.stages.context import Context
from datadiet.workdir import artifacts
from tests import running

_HARDEST, _RANDOM = 'el2n_step_44_keep_max_719', 'random_719'


def _with(context, **changes) -> Context:
  config = config_lib.resolve(running.tiny_config(**changes))
  return Context(config, context.workdir, context.dataset)


def _manifest(folder) -> dict:
  return json.loads((folder / 'manifest.json').read_text())


def _index(context, name, run=None):
  folder = context.workdir.selection(name, run)
  return np.load(folder / 'example_index.npy')


def _forget_retrainings(context) -> None:
  shutil.rmtree(context.workdir.root / 'retrain')


def test_a_manifest_says_all_that_a_draw_depends_on(finished):
  manifest = _manifest(finished.workdir.selection(_HARDEST))
  scores = np.load(finished.workdir.scores(None, 44) / 'el2n.npy')
  assert manifest == {
    'kind': 'selection',
    'fingerprint': finished.dataset.fingerprint,
    'labels_fingerprint': finished.dataset.labels_fingerprint,
    'policy': 'keep_max',
    'options': {},
    'score': 'el2n',
    'step': 44,
    'higher_is': 'harder',
    'num_kept': 719,
    'fraction': 719 / 1437,
    'class_balanced': False,
    'budget': None,
    'seed': None,
    'draw': None,
    'made_from': {'scores': artifacts.checksum(scores)},
    'hash': draws.hash_of(_index(finished, _HARDEST)),
  }
  draw = _manifest(finished.workdir.selection(_RANDOM, 1))
  assert (draw['seed'], draw['draw'], draw['made_from']) == (0, 1, {})


def test_a_retraining_says_what_it_was_trained_on(finished):
  for run in (0, 1):
    folder = finished.workdir.run(f'retrain/{_RANDOM}', run)
    assert _manifest(folder)['selection'] == {
      'policy': 'random',
      'options': {},
      'score': None,
      'step': None,
      'num_kept': 719,
      'class_balanced': False,
      'budget': None,
      'changes': False,
      'hash': draws.hash_of(_index(finished, _RANDOM, run)),
    }
    folder = finished.workdir.run(f'retrain/{_HARDEST}', run)
    stated = _manifest(folder)['selection']
    assert stated['hash'] == draws.hash_of(_index(finished, _HARDEST))
    folder = finished.workdir.run('retrain/full_1437', run)
    assert _manifest(folder)['selection'] is None


def test_options_are_stated_with_their_defaults(finished):
  context = _with(
    finished,
    select__policies=('ccs', 'rs2'),
    select__options__num_strata=20,
    select__baselines=(),
  )
  ccs, rs2 = context.selections
  assert ccs.name == 'el2n_step_44_ccs_719_num_strata_20'
  assert ccs.options == {'cutoff_fraction': 0.1, 'num_strata': 20}
  assert (ccs.changes, rs2.changes) == (False, True)


@pytest.mark.parametrize(
  'changes, outdated',
  [
    ({}, []),
    ({'select__seed': 1}, [_RANDOM]),
    ({'select__seed': 1, 'select__baselines': ()}, []),
    ({'select__fractions': (0.4,), 'select__seed': 1}, []),
    ({'select__policies': ('keep_min',), 'select__baselines': ()}, []),
    ({'retrain__num_runs': 1, 'select__seed': 1}, [_RANDOM]),
  ],
)
def test_only_what_depends_on_a_setting_is_outdated(
  finished, changes, outdated
):
  context = _with(finished, **changes)
  found = {
    str(folder.relative_to(finished.workdir.root))
    for draw in draws.all_draws(context)
    for folder in draws.outdated_retrainings(context, draw)
  }
  # Also of the run that is not asked for any more: it is reported too.
  expected = [f'retrain/{name}/run_0{run}' for name in outdated for run in '01']
  assert found == set(expected)


def test_another_seed_is_refused_with_all_retrainings_in_one_list(own):
  before = running.all_bytes(own.workdir.root)
  context = _with(own, select__seed=5)
  message = (
    '2 retrainings in .* retrain/random_719/run_00, retrain/random_719/run_01; '
    'allowed: .*--config.select.remake=True'
  )
  for check in (
    lambda: select.check_retrainings(context, scores_first=False),
    lambda: select.run(context),
  ):
    with pytest.raises(ConfigError, match=message):
      check()
  with pytest.raises(DataDietError, match='run the select stage first'):
    retrain.run(context)
  assert running.all_bytes(own.workdir.root) == before


def test_what_nothing_was_trained_on_is_made_anew(own, caplog):
  _forget_retrainings(own)
  before = _index(own, _RANDOM, 1)
  hardest = _manifest(own.workdir.selection(_HARDEST))
  context = _with(own, select__seed=5)
  assert select.plan(context) == '2 subsets (1 done)'
  with caplog.at_level('INFO', logger='absl'):
    select.run(context)
  assert 'Made anew, from other settings or scores' in caplog.text
  assert not np.array_equal(_index(own, _RANDOM, 1), before)
  assert _manifest(own.workdir.selection(_RANDOM, 1))['seed'] == 5
  assert _manifest(own.workdir.selection(_HARDEST)) == hardest
  assert select.plan(context) == '2 subsets (2 done)'


def test_one_flag_makes_retrainings_anew(own):
  untouched = running.all_bytes(own.workdir.root / 'retrain' / _HARDEST)
  context = _with(own, select__seed=5, select__remake=True)
  select.check_retrainings(context, scores_first=True)
  select.run(context)
  assert not own.workdir.runs(f'retrain/{_RANDOM}')
  context.forget()
  retrain.run(context)
  for run in (0, 1):
    stated = _manifest(own.workdir.run(f'retrain/{_RANDOM}', run))['selection']
    assert stated['hash'] == draws.hash_of(_index(own, _RANDOM, run))
  assert running.all_bytes(own.workdir.root / 'retrain' / _HARDEST) == untouched
  # And not again at the next start.
  before = running.all_bytes(own.workdir.root / 'retrain')
  context.forget()
  select.run(context)
  assert running.all_bytes(own.workdir.root / 'retrain') == before


def test_subsets_that_are_lost_are_made_as_they_were(own):
  before = running.all_bytes(own.workdir.root)
  shutil.rmtree(own.workdir.root / 'selections')
  select.run(own)
  found = running.all_bytes(own.workdir.root)
  assert found.pop('timing.json') and before.pop('timing.json')
  assert found == before
  shutil.rmtree(own.workdir.root / 'selections')
  with pytest.raises(ConfigError, match='2 retrainings.*random_719/run_00'):
    select.run(_with(own, select__seed=5))
  # One that is not finished may have been begun on anything.
  (own.workdir.run(f'retrain/{_RANDOM}', 1) / 'manifest.json').unlink()
  own.forget()
  with pytest.raises(ConfigError, match='1 retraining .*random_719/run_01'):
    select.run(own)


def test_the_time_of_a_subset_is_that_of_its_draws_each_once(own, monkeypatch):
  seconds = itertools.count()  # A draw takes one.
  clock = types.SimpleNamespace(monotonic=lambda: float(next(seconds)))
  monkeypatch.setattr(select, 'time', clock)
  path = own.workdir.timing
  before = artifacts.read_json(path)
  before['select']['subsets'] = {_HARDEST: 1000.0, _RANDOM: 1000.0}
  artifacts.write_json(path, before)
  shutil.rmtree(own.workdir.root / 'selections')
  select.run(own)
  times = artifacts.read_json(path)['select']['subsets']
  assert times == {_HARDEST: 1, _RANDOM: 2}
  artifacts.write_json(path, before)
  select.run(_with(own, retrain__num_runs=3))
  times = artifacts.read_json(path)['select']['subsets']
  assert times == {_HARDEST: 1000, _RANDOM: 1001}


def test_random_draws_by_class_sizes_depend_on_no_step(own):
  config = {
    'select__policies': ('random',),
    'select__budget': 'proportional',
    'select__baselines': (),
  }
  context = _with(own, **config)
  select.run(context)
  (one,) = context.selections
  # One that was stated before does not matter.
  folder = own.workdir.selection(one.name, 1)
  artifacts.write_manifest(folder, {**_manifest(folder), 'step': 44})
  for changes in ({'select__step': 0}, {'select__scores': ('el2n@0',)}):
    changed = _with(own, **config, **changes)
    found = draws.all_draws(changed)
    assert [draw.selection.step for draw in found] == [None, None]
    assert all(draws.is_made(changed, draw) for draw in found)


def test_one_that_was_begun_goes_on(own):
  (own.workdir.run(f'retrain/{_RANDOM}', 1) / 'manifest.json').unlink()
  select.check_retrainings(own, scores_first=True)
  select.run(own)
  assert retrain.plan(own).startswith('6 runs of 22 steps (5 done)')


def test_a_retraining_on_other_examples_is_not_taken_for_this_one(own):
  folder = own.workdir.run(f'retrain/{_HARDEST}', 1)
  manifest = _manifest(folder)
  manifest['selection']['hash'] = '0123456789abcdef'
  artifacts.write_manifest(folder, manifest)
  with pytest.raises(ConfigError, match=f'1 retraining .*{_HARDEST}/run_01'):
    select.check_retrainings(own, scores_first=False)


def _change_array(folder, name) -> None:
  """As if the score stage had come to other values."""
  values = np.load(folder / f'{name}.npy')[::-1].copy()
  np.save(folder / f'{name}.npy', values)
  manifest = _manifest(folder)
  manifest['checksums'][name] = artifacts.checksum(values)
  artifacts.write_manifest(folder, manifest)


@pytest.mark.parametrize(
  'policy, run, array',
  [
    ('keep_max', None, 'el2n'),
    ('beta', None, 'el2n'),
    ('beta', None, 'mean_confidence'),
    ('moderate', 0, 'features'),
    ('prototypes', 0, 'features'),
    ('graph_cut', 0, 'features'),
    ('graph_cut', 0, 'pred_probs'),
    ('infomax', 0, 'features'),
    ('infomax', None, 'el2n'),
  ],
)
def test_every_array_that_a_policy_reads_is_watched(own, policy, run, array):
  folder, mean = own.workdir.scores(0, 44), own.workdir.scores(None, 44)
  rng = np.random.default_rng(0)
  for where, name, shape in (
    (folder, 'features', (1437, 4)),
    (mean, 'mean_confidence', 1437),
  ):
    values = rng.random(shape).astype(np.float32)
    np.save(where / f'{name}.npy', values)
    manifest = _manifest(where)
    manifest['checksums'][name] = artifacts.checksum(values)
    manifest['scores'].setdefault(name, {})
    artifacts.write_manifest(where, manifest)
  config = {'select__policies': (policy,), 'select__baselines': ()}
  context = _with(own, **config)
  select.run(context)
  (draw,) = draws.all_draws(context)
  assert draws.is_made(context, draw)
  _change_array(own.workdir.scores(run, 44), array)
  changed = _with(own, **config)
  assert not draws.is_made(changed, draw)
  # Other arrays do not matter.
  _change_array(own.workdir.scores(run, 44), array)
  _change_array(own.workdir.scores(None, 44), 'aum')
  assert draws.is_made(_with(own, **config), draw)


@pytest.mark.parametrize(
  'policy, depends', [('top_window', 1), ('keep_max', 0)]
)
def test_which_end_is_hard_matters_to_policies_that_ask(
  own, tmp_path, policy, depends
):
  path = tmp_path / 'mine.npy'
  np.save(path, np.random.default_rng(0).random(1437))
  config = {
    'select__scores_path': str(path),
    'select__policies': (policy,),
    'select__baselines': (),
  }
  context = _with(own, select__higher_is='harder', **config)
  select.run(context)
  before = _index(own, context.selections[0].name)
  turned = _with(own, select__higher_is='easier', **config)
  (draw,) = draws.all_draws(turned)
  assert draws.is_made(turned, draw) == (not depends)
  select.run(turned)
  after = _index(own, context.selections[0].name)
  assert np.array_equal(before, after) == (not depends)


def test_runs_that_are_added_list_at_once_what_depends_on_them(own):
  config = running.tiny_config(train__num_runs=3)
  before = running.all_bytes(own.workdir.root)
  with pytest.raises(ConfigError) as caught:
    pipeline.run(
      config_lib.resolve(config),
      str(own.workdir.root),
      ['train', 'score', 'select', 'retrain'],
    )
  text = str(caught.value)
  assert text.startswith('2 retrainings in ') and '\n' not in text
  assert f'retrain/{_HARDEST}/run_00, retrain/{_HARDEST}/run_01;' in text
  # Before the new run was trained, and no random baseline is among them.
  assert running.all_bytes(own.workdir.root) == before
  assert 'random' not in text


def test_a_draw_that_was_changed_is_not_trained_on(own):
  folder = own.workdir.selection(_HARDEST)
  index = np.load(folder / 'example_index.npy')
  index[0] = np.setdiff1d(np.arange(1437), index)[0]
  np.save(folder / 'example_index.npy', np.sort(index))
  with pytest.raises(DataDietError, match='is damaged .its values are not'):
    retrain.jobs(own)


def test_subsets_of_fewer_runs_are_named_where_they_are_not_made_anew(
  own, caplog
):
  config = running.tiny_config(train__num_runs=3)
  workdir = str(own.workdir.root)
  main.run(running.tiny_config(), workdir, ['score'])
  assert 'Made from other scores' not in caplog.text
  main.run(config, workdir, ['train', 'score'])
  told = 'Made from other scores than those of now: el2n_step_44_keep_max_719, '
  assert told in caplog.text
  caplog.clear()
  main.run(config, workdir, ['score'])
  assert told in caplog.text
