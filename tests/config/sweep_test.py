"""Tests sweeps: which combinations, where they go, the table, bad input."""

import csv
import json

import pytest

from datadiet.config import sweep
from datadiet.configs import paper_figure1
from datadiet.errors import ConfigError
from tests import running


def _config(**changes):
  """Tiny digits; a sweep as `sweep__train__model_seed=(0, 1)`."""
  return running.tiny_config(**changes)


def test_all_combinations_the_last_setting_fastest(tmp_path):
  config = _config(
    sweep__train__model_seed=(0, 1), sweep__model__width=(2, 4, 8)
  )
  children = sweep.expand(config, str(tmp_path))
  assert len(children) == 6
  found = [
    (child.config.train.model_seed, child.config.model.width)
    for child in children
  ]
  assert len(set(found)) == 6
  names = list(children[0].settings)
  assert set(names) == {'train.model_seed', 'model.width'}
  assert len({child.workdir for child in children}) == 6
  for number, child in enumerate(children):
    assert child.index == number
    assert child.workdir.startswith(str(tmp_path / 'sweep' / f'00{number}_'))
    assert list(child.config.sweep) == []


def test_what_is_only_selected_shares_the_workdir(tmp_path):
  config = _config(sweep__select__class_balanced=(False, True))
  children = sweep.expand(config, str(tmp_path))
  assert {child.workdir for child in children} == {str(tmp_path)}
  found = [child.config.select.class_balanced for child in children]
  assert found == [False, True]


def test_lists_of_what_is_selected_are_joined(tmp_path):
  """So that all of their retrainings fill the devices together."""
  (child,) = sweep.expand(paper_figure1.get_config(), str(tmp_path))
  assert child.workdir == str(tmp_path)
  assert child.config.select.scores == (
    'el2n@7800',
    'grand@7800',
    'forgetting@78000',
  )
  (joined,) = sweep.expand(
    _config(
      sweep__select__policies=(('keep_max', 'ccs'), ('ccs', 'keep_min:aum')),
      sweep__select__fractions=((0.5,), (0.3, 0.1)),
    ),
    str(tmp_path),
  )
  assert joined.config.select.policies == ('keep_max', 'ccs', 'keep_min:aum')
  assert joined.config.select.fractions == (0.5, 0.3, 0.1)
  apart = sweep.expand(
    _config(
      sweep__select__policies=(('keep_max',), ('ccs',)),
      sweep__train__model_seed=(0, 1),
    ),
    str(tmp_path),
  )
  assert {len(child.config.select.policies) for child in apart} == {1}
  assert len({child.workdir for child in apart}) == 4
  with pytest.raises(ConfigError, match="config.select.policies: .'keepmax'"):
    sweep.expand(
      _config(sweep__select__policies=(('keep_max',), ('keepmax',))), 'DIR'
    )


@pytest.mark.parametrize(
  'name, values, shares',
  [
    ('select__budget', ('', 'difficulty'), True),
    ('select__class_balanced', (True, False), True),
    ('select__scores_path', ('a/mine.npy', 'a/yours.npy'), True),
    # Selections of these would have the same names.
    ('select__scores_path', ('a/mine.npy', 'b/mine.npy'), False),
    ('select__scores_path', ('mine.npy', 'mine.npz'), False),
    ('select__scores_path', ('my scores.npy', 'my-scores.npy'), False),
    ('select__seed', (0, 1), False),
    ('select__higher_is', ('harder', 'easier'), False),
  ],
)
def test_what_the_names_of_selections_do_not_tell_is_kept_apart(
  tmp_path, name, values, shares
):
  config = _config(select__scores_path='x.npy', **{f'sweep__{name}': values})
  children = sweep.expand(config, str(tmp_path))
  assert len(children) == 2
  workdirs = {child.workdir for child in children}
  assert (workdirs == {str(tmp_path)}) == shares
  assert len(workdirs) == (1 if shares else 2)


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'sweep__train__model_sed': (0, 1)},
      'config.sweep.train.model_sed is not a setting; did you mean '
      'train.model_seed',
    ),
    (
      {'sweep__train__model_seed': 3},
      'config.sweep.train.model_seed: 3 is not allowed; allowed: a tuple',
    ),
    (
      {'sweep__train__model_seed': (0, -1)},
      'config.train.model_seed: -1 is not allowed',
    ),
  ],
)
def test_bad_sweeps_are_refused_before_anything_runs(changes, message):
  with pytest.raises(ConfigError, match=message):
    sweep.expand(_config(**changes), 'DIR')


def test_one_child_by_its_number_or_slurm_s(monkeypatch):
  children = sweep.expand(_config(sweep__train__model_seed=(0, 1, 2)), 'DIR')
  monkeypatch.delenv('SLURM_ARRAY_TASK_ID', raising=False)
  assert sweep.chosen(children, None) == children
  assert sweep.chosen(children, 1) == [children[1]]
  monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '2')
  assert sweep.chosen(children, None) == [children[2]]
  assert sweep.chosen(children, 0) == [children[0]]
  with pytest.raises(ConfigError, match='--sweep_index: 3 .*from 0 to 2'):
    sweep.chosen(children, 3)


@pytest.mark.parametrize('number', [0, 2])
def test_children_of_one_workdir_run_in_one_process(monkeypatch, number):
  """They would train the same baselines at the same time."""
  values = (False, True, False)
  children = sweep.expand(_config(sweep__select__class_balanced=values), 'DIR')
  monkeypatch.delenv('SLURM_ARRAY_TASK_ID', raising=False)
  assert sweep.chosen(children, None) == children
  message = f'{number} is not allowed where .* in DIR; .* in one process'
  with pytest.raises(ConfigError, match=f'--sweep_index: {message}'):
    sweep.chosen(children, number)
  monkeypatch.setenv('SLURM_ARRAY_TASK_ID', str(number))
  with pytest.raises(ConfigError, match=f'SLURM_ARRAY_TASK_ID: {message}'):
    sweep.chosen(children, None)


def test_a_number_without_a_sweep_is_refused(tmp_path):
  """An array of jobs, too: all of them on one workdir."""
  flags = running.tiny_flags(tmp_path / 'workdir', stages='train')
  env = running.environment(tmp_path, num_devices=1)
  array = {**env, 'SLURM_ARRAY_TASK_ID': '3'}
  for done in (
    running.run_main([*flags, '--sweep_index=3'], env),
    running.run_main(flags, array),
  ):
    assert done.returncode == 2, done.stderr
    assert ': 3 is not allowed without a sweep; allowed: with' in done.stderr
  assert 'unset where each job of the array has a --workdir' in done.stderr
  assert not (tmp_path / 'workdir').exists()


def test_a_sweep_by_the_command_line_and_its_table(tmp_path):
  env = running.environment(tmp_path, num_devices=1)
  workdir = tmp_path / 'workdir'
  flags = running.tiny_flags(
    workdir,
    train__num_runs=1,
    train__num_steps=22,
    train__schedule_steps=22,
    score__steps=(22,),
    score__names=('el2n',),
    select__baselines=(),
    retrain__num_runs=1,
    compilation_cache_dir=str(tmp_path / 'xla'),
  )
  flags.append('--config.sweep.train.model_seed=(0, 7)')
  done = running.run_main([*flags, '--sweep_index=1'], env)
  assert done.returncode == 0, done.stderr
  assert [path.name for path in (workdir / 'sweep').iterdir()] == [
    '001_model_seed=7'
  ]
  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  table = (workdir / 'sweep.csv').read_text()
  rows = list(csv.DictReader(table.splitlines()))
  assert {row['train.model_seed'] for row in rows} == {'0', '7'}
  for row in rows:
    child = f'{int(row["index"]):03d}_model_seed={row["train.model_seed"]}'
    path = workdir / 'sweep' / child / 'report' / 'summary.json'
    accuracies = {
      one['selection']: one['mean_accuracy']
      for one in json.loads(path.read_text())['accuracy']
    }
    assert float(row['mean_accuracy']) == accuracies[row['selection']]
  config = json.loads(
    (workdir / 'sweep' / '001_model_seed=7' / 'config.json').read_text()
  )
  assert config['config']['train']['model_seed'] == 7
