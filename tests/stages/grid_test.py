"""Tests the grid of methods from end to end, tiny, on eight devices."""

import csv
import functools
import shutil

import jax
import pytest

from datadiet import main
from datadiet.config import sweep
from datadiet.configs import method_grid
from datadiet.errors import Preempted
from datadiet.results import load_results
from datadiet.runtime.mesh import make_run_mesh
from datadiet.stages import retrain
from datadiet.training import loop
from datadiet.training.trainer import Trainer
from tests import running
from tests.training.small_runs import stop_at

# The last two go by losses, and are trained by a step of their own.
METHODS = ('keep_max:el2n', 'k_center', 'rs2', 'orderdp', 'infobatch')
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
  """(steps of jobs, steps of slots) of each call that trained."""
  return []


@pytest.fixture(scope='module')
def whole(scored, busy):
  """The whole grid in one start, on eight devices."""
  workdir = scored.parent / 'whole'
  shutil.copytree(scored, workdir)
  next_wave, run_steps = loop.next_wave, Trainer.run_steps
  jobs = []

  def noted(pending, num_slots):
    wave = next_wave(pending, num_slots)
    jobs[:] = wave.jobs
    return wave

  def counted(self, state, feed, keys, count):
    busy.append((count * len(jobs), count * self.run_mesh.num_slots))
    return run_steps(self, state, feed, keys, count)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, 'next_wave', noted)
    patch.setattr(Trainer, 'run_steps', counted)
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


def test_slots_are_busy_whatever_the_subset(whole, busy):
  """Of all steps that slots run, those that are of a job.

  Four methods (with random) of two sizes and two runs are two full waves. The
  six jobs by losses leave two of eight slots idle in theirs: 92 %. Of the whole
  grid of CIFAR-10 it is 98 % (tests/configs_test.py).
  """
  of_jobs, of_slots = (sum(steps) for steps in zip(*busy, strict=True))
  assert of_jobs == 22 * (16 + 6)
  assert of_slots == 22 * (16 + 8)


@pytest.mark.parametrize(
  'method, fraction, name',
  [
    ('keep_max:el2n', 0.2, 'el2n_step_22_keep_max_287'),
    ('k_center', 0.5, 'features_step_22_k_center_719'),
    ('rs2', 0.2, 'rs2_287'),
    ('orderdp', 0.2, 'orderdp_287'),
  ],
)
def test_numbers_are_those_of_one_after_the_other(
  whole, scored, tmp_path, monkeypatch, method, fraction, name
):
  """Bitwise those of one device that trains run after run.

  So it is where a run sits on one device; one over several is equal to
  rounding alone.
  """
  waves = []
  next_wave = loop.next_wave

  def noted(pending, num_slots):
    waves.append((num_slots, len(pending)))
    return next_wave(pending, num_slots)

  one = functools.partial(make_run_mesh, devices=jax.devices()[:1])
  monkeypatch.setattr(retrain, 'make_run_mesh', one)
  monkeypatch.setattr(loop, 'next_wave', noted)
  shutil.copytree(scored, tmp_path / 'alone')
  config = _config(
    **{
      'select.fractions': (fraction,),
      'select.baselines': (),
      'sweep.select.policies': ((method,),),
    }
  )
  main.run(config, str(tmp_path / 'alone'), ['retrain'])
  assert waves == [(1, 2), (1, 1)]
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
    assert len(expected) == 22
    assert found == expected


def test_the_table_and_the_page_compare_the_methods(whole):
  table = list(
    csv.DictReader((whole / 'report' / 'grid.csv').read_text().splitlines())
  )
  # Five of either size, with random; and one that goes through all the data.
  assert len(table) == 12
  for row in table:
    method = row['method']
    is_full = method == 'full data'
    assert row['num_runs'] == ('1' if is_full else '2')
    assert 0 <= float(row['worst_class']) <= float(row['mean_accuracy']) < 1
    # All the data are those of the run that scores.
    paired = {'random': '', 'full data': '', 'infobatch': 'False'}
    assert row['is_paired'] == paired.get(method, 'True')
    assert row['p_value'] == ''  # Two runs do not tell.
    changes = method in ('full data', 'rs2', 'orderdp', 'infobatch')
    assert (row['selection_seconds'] == '') == changes
    reads = not changes and method != 'random'
    assert row['scoring_steps'] == ('22' if reads else '0')
  page = (whole / 'report' / 'grid.html').read_text()
  for text in (
    '50.0 % kept, 719 examples',
    '20.0 % kept, 287',
    'k_<wbr>center',
  ):
    assert text in page
  times = load_results(whole).timing['select']['subsets']
  assert set(times) == set(load_results(whole).selections)
