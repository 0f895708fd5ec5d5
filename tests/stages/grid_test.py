"""Tests the grid of methods from end to end, tiny, on eight devices."""

import csv
import shutil

import pytest

from datadiet import main
from datadiet.config import sweep
from datadiet.configs import method_grid
from datadiet.errors import Preempted
from datadiet.results import load_results
from datadiet.training import loop
from tests import running
from tests.training.small_runs import stop_at

METHODS = ('keep_max:el2n', 'k_center', 'rs2')
FRACTIONS = (0.5, 0.2)
FIRST, REST = ['train', 'score', 'select'], ['retrain', 'report']


def _config(**changes):
  """The grid's one combination, on digits and of few methods."""
  config = method_grid.get_config()
  settings = {
    **running.TINY,
    'dataset.name': 'digits',
    'train.num_steps': 22,
    'train.schedule_steps': 22,
    'train.num_runs': 1,
    'train.runs_at_once': 8,
    'score.steps': (22,),
    'score.names': ('el2n',),
    'select.fractions': FRACTIONS,
    'sweep.select.policies': tuple((method,) for method in METHODS),
    'retrain.num_runs': 2,
    'retrain.full': False,
    **changes,
  }
  for name, value in settings.items():
    running.set_field(config, name, value)
  (child,) = sweep.expand(config, 'DIR')
  return child.config


@pytest.fixture(scope='module')
def scored(tmp_path_factory):
  """A workdir whose subsets are made."""
  workdir = tmp_path_factory.mktemp('grid') / 'scored'
  main.run(_config(), str(workdir), FIRST)
  return workdir


@pytest.fixture(scope='module')
def busy():
  """(jobs, slots) of each wave that was trained."""
  return []


@pytest.fixture(scope='module')
def whole(scored, busy):
  """The whole grid in one start."""
  workdir = scored.parent / 'whole'
  shutil.copytree(scored, workdir)
  next_wave = loop.next_wave

  def counted(pending, num_slots):
    wave = next_wave(pending, num_slots)
    busy.append((len(wave.jobs), num_slots))
    return wave

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, 'next_wave', counted)
    main.run(_config(), str(workdir), REST)
  return workdir


def _retrained(workdir, name=''):
  """All files of retrainings but event files, which tell the time."""
  files = running.all_bytes(workdir / 'retrain')
  return {
    path: content
    for path, content in files.items()
    if path.startswith(name) and '/events.' not in path
  }


def test_the_devices_are_filled_whatever_the_subset(whole, busy):
  # Three methods and random, two sizes, two runs.
  assert sum(jobs for jobs, _ in busy) == 16
  assert sum(jobs for jobs, _ in busy) / sum(slots for _, slots in busy) >= 0.95
  assert len(busy) == 2


@pytest.mark.parametrize(
  'method, fraction, name',
  [
    ('keep_max:el2n', 0.2, 'el2n_step_22_keep_max_287'),
    ('k_center', 0.5, 'features_step_22_k_center_719'),
    ('rs2', 0.2, 'rs2_287'),
  ],
)
def test_numbers_are_those_of_one_after_the_other(
  whole, scored, tmp_path, method, fraction, name
):
  shutil.copytree(scored, tmp_path / 'alone')
  config = _config(
    **{
      'select.fractions': (fraction,),
      'select.baselines': (),
      'sweep.select.policies': ((method,),),
    }
  )
  main.run(config, str(tmp_path / 'alone'), ['retrain'])
  alone = _retrained(tmp_path / 'alone')
  assert {path.split('/')[0] for path in alone} == {name}
  assert alone == _retrained(whole, name + '/')


def test_a_stopped_grid_goes_on_to_the_same_numbers(whole, scored, tmp_path):
  shutil.copytree(scored, tmp_path / 'stopped')
  with pytest.MonkeyPatch.context() as patch:
    stop_at(patch, 30)  # In the second wave.
    with pytest.raises(Preempted):
      main.run(_config(), str(tmp_path / 'stopped'), REST)
  main.run(_config(), str(tmp_path / 'stopped'), REST)
  for name in ('history.csv', 'manifest.json'):
    expected, found = (
      {
        path: of[path]
        for path in of
        if path.endswith(name) and '/checkpoints/' not in path
      }
      for of in (_retrained(whole), _retrained(tmp_path / 'stopped'))
    )
    assert len(expected) == 16
    assert found == expected


def test_the_table_and_the_page_compare_the_methods(whole):
  table = list(
    csv.DictReader((whole / 'report' / 'grid.csv').read_text().splitlines())
  )
  assert len(table) == 8
  for row in table:
    assert row['num_runs'] == '2'
    assert 0 <= float(row['worst_class']) <= float(row['mean_accuracy']) < 1
    is_random = row['method'] == 'random'
    assert (row['is_paired'] == '') == is_random
    assert row['p_value'] == ''  # Two runs do not tell.
    changes = row['method'] in ('random', 'rs2')
    assert row['scoring_steps'] == ('0' if changes else '22')
    assert (row['selection_seconds'] == '') == (row['method'] == 'rs2')
  page = (whole / 'report' / 'grid.html').read_text()
  for text in (
    '50.0 % kept, 719 examples',
    '20.0 % kept, 287',
    'k_<wbr>center',
  ):
    assert text in page
  times = load_results(whole).timing['select']['subsets']
  assert set(times) == set(load_results(whole).selections)
