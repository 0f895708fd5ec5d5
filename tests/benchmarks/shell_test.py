"""Tests of the shell scripts, with a stand-in for Python."""

import os
import re
import subprocess
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


@pytest.fixture
def run(tmp_path):
  """Runs a script; the stand-in fails for the module whose name is given."""
  python = tmp_path / 'python'
  data = tmp_path / 'data.npz'
  data.touch()

  def run_script(script, *options, failing='none', data=data, **env):
    python.write_text(f'#!/bin/sh\necho "ran $*"\ntest "$2" != {failing}\n')
    python.chmod(0o755)
    return subprocess.run(
      [BENCHMARKS / script, f'--data={data}', *options],
      env={
        **os.environ,
        'PYTHON': str(python),
        'TMPDIR': str(tmp_path),
        **env,
      },
      capture_output=True,
      text=True,
    )

  return run_script


def test_a_phase_that_fails_costs_no_other(run, tmp_path):
  log = tmp_path / 'gpu.log'
  done = run('gpu.sh', f'--log={log}', failing='benchmarks.trace')
  assert done.returncode == 1, done.stdout
  assert '(trace: bfloat16, batch 128: 0 s of 60, exit code 1)' in done.stdout
  after = done.stdout.split('## trace')[1]
  for batch_size in (128, 512):
    assert f'--config.train.batch_size={batch_size}' in after
  # A part knows its time, so that its table comes before that is over.
  networks = r'ran .*bench --repeats=3 --seconds=150 --parts networks --dtypes'
  assert re.search(f'{networks} float32', after)
  assert log.read_text() == done.stdout
  assert not list(tmp_path.glob('tmp.*'))


def test_another_call_goes_on_with_what_is_there_and_adds_to_the_log(
  run, tmp_path
):
  log, work = tmp_path / 'gpu.log', tmp_path / 'work'
  work.mkdir()
  (work / 'kept').touch()
  for only in ('trace', 'checkpoint'):
    run('gpu.sh', f'--log={log}', f'--work={work}', f'--only={only}')
  text = log.read_text()
  assert '## trace' in text and '## bench: checkpoint' in text
  assert f'--cache_dir={work}/cache' in text and (work / 'kept').exists()


def test_the_log_is_whole_when_the_script_ends(run, tmp_path):
  log = tmp_path / 'gpu.log'
  # A slow disk; nobody waits for what it would print.
  tee = tmp_path / 'tee'
  tee.write_text(f'#!/bin/sh\nexec >/dev/null 2>&1; sleep 0.5; cat >{log}\n')
  tee.chmod(0o755)
  path = f'{tmp_path}:{os.environ["PATH"]}'
  run('gpu.sh', f'--log={log}', '--only=trace', PATH=path)
  assert 'phases failed or were cut off' in log.read_text()


def test_phases_are_chosen_by_name(run, tmp_path):
  done = run('gpu.sh', f'--log={tmp_path / "log"}', '--only=trace|float32, b')
  titles = [line for line in done.stdout.splitlines() if line[:3] == '## ']
  assert titles == [
    '## trace: bfloat16, batch 128',
    '## train: float32, batch 128',
    '## train: float32, batch 512',
  ]
  assert done.returncode == 0


def test_without_time_phases_are_left_out(run, tmp_path):
  done = run('gpu.sh', f'--log={tmp_path / "log"}', '--seconds=4')
  assert 'ran' not in done.stdout
  assert done.stdout.count('left out: no time is left') == done.returncode > 9


def test_what_matters_most_fits_into_the_time(run, tmp_path):
  done = run('gpu.sh', f'--log={tmp_path / "log"}')
  ended = r'^\((.*): \d+ s of (\d+), exit code 0\)'
  limits = re.findall(ended, done.stdout, re.M)
  names = [name for name, _ in limits]
  last = names.index('bench: networks, bfloat16')
  assert names[1 : last + 1] == [
    'train: bfloat16, batch 128',
    'score: float32',
    'trace: bfloat16, batch 128',
    'bench: loop',
    'bench: networks, bfloat16',
  ]
  assert sum(int(limit) for _, limit in limits[: last + 1]) <= 520


def test_gpu_refuses_what_it_does_not_know(run, tmp_path):
  done = run('gpu.sh', '--tinny')
  assert done.returncode == 2 and '--tiny ' in done.stderr
  done = run('gpu.sh', data=tmp_path / 'nowhere.npz')
  assert done.returncode == 2 and 'nowhere.npz is not there' in done.stderr


@pytest.fixture
def fidelity(run, tmp_path):
  folders = [f'--folder={tmp_path / "out"}', f'--work={tmp_path / "work"}']
  return lambda *words, **more: run('gpu_fidelity.sh', *folders, *words, **more)


def test_scores_skip_what_is_there(fidelity, tmp_path):
  (tmp_path / 'out' / 'scores').mkdir(parents=True)
  (tmp_path / 'out' / 'scores' / 'run_03.npz').touch()
  done = fidelity('scores', '3', '4')
  assert done.returncode == 0, done.stderr
  assert 'run_03' not in done.stdout
  assert '--config.train.model_seed=4 --config.train.data_seed=4' in done.stdout
  assert 'benchmarks.fidelity collect' in done.stdout
  assert 'benchmarks.fidelity status' in done.stdout


def test_retraining_is_on_seeds_of_its_own(fidelity):
  done = fidelity('retrain', 'random', '2')
  assert done.returncode == 0, done.stderr
  assert 'fidelity subset' in done.stdout and ' random 2 ' in done.stdout
  assert '--config.train.model_seed=1002' in done.stdout
  assert '--config.train.num_steps=78000' in done.stdout
  assert '--config.train.subset_path=' in done.stdout
  assert 'subset_path' not in fidelity('retrain', 'full', '2').stdout


def test_a_training_cut_off_is_to_be_called_again(fidelity):
  done = fidelity('--seconds=0', 'scores', '0')
  # timeout takes 0 for no limit: nothing may start without time.
  assert done.returncode == 75
  assert 'ran' not in done.stdout


@pytest.mark.parametrize(
  'words', [(), ('score', '0'), ('scores',), ('retrain', 'half', '0')]
)
def test_fidelity_refuses_what_it_does_not_know(fidelity, words):
  done = fidelity(*words)
  assert done.returncode == 2
  assert 'gpu_fidelity.sh [OPTION...] scores RUN...' in done.stderr
