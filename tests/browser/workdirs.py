"""Real results that the page is looked at with: the demo, and CIFAR-10."""

import os
from pathlib import Path

import pytest

from tests import running
from tests.data import formats

# Kept between two starts, which go on where the first stopped.
FOLDER = running.REPOSITORY / 'build' / 'workdirs'
# Short enough for two CPU cores (about four minutes), with all that the page
# can show: two runs on halves, a tenth of the labels wrong, one fraction.
_CIFAR10 = {
  'dataset.label_noise.fraction': 0.1,
  'dataset.label_noise.kind': 'uniform',
  'train.num_runs': 2,
  'train.subset_fraction': 0.5,
  'train.num_steps': 390,
  'train.schedule_steps': 390,
  'train.eval_every_steps': 195,
  'train.log_every_steps': 39,
  'score.names': ('el2n', 'aum', 'forgetting', 'mean_confidence', 'loss'),
  'score.steps': (195, 390),
  'select.fractions': (0.5,),
  'retrain.num_steps': 130,
}


def make_digits() -> Path:
  """The workdir of `make demo`."""
  return _make('digits', 'configs/cnn_digits.py', {})


def make_cifar10() -> Path:
  """A short run of the small network on the real CIFAR-10.

  DATADIET_CIFAR10_WORKDIR names a finished one to be taken instead. Where
  neither it nor DATADIET_TEST_DATA is set, tests are skipped.
  """
  finished = os.environ.get('DATADIET_CIFAR10_WORKDIR')
  if finished:
    return Path(finished)
  if not formats.HAS_CIFAR10:
    pytest.skip(formats.NEEDS_CIFAR10)
  settings = {**_CIFAR10, 'dataset.data_dir': formats.TEST_DATA.resolve()}
  return _make('cifar10', 'configs/simple_cnn_cifar10.py', settings)


def _make(name: str, config: str, settings: dict) -> Path:
  workdir = FOLDER / name
  # The page is that of the code at hand, whatever was there before.
  (workdir / 'report' / 'manifest.json').unlink(missing_ok=True)
  flags = [f'--config={config}', f'--workdir={workdir}']
  # One device, as users have it; the tests' own processes hold eight.
  env = {**os.environ, 'XLA_FLAGS': ''}
  done = running.run_main([*flags, *running.as_flags(settings)], env)
  if done.returncode:
    raise RuntimeError(f'no workdir of {name} could be made:\n{done.stderr}')
  return workdir
