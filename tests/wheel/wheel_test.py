"""Tests of the wheel in environments and folders that hold nothing else.

Slow, and in need of a package index: `make wheel` runs them.
"""

import os
import subprocess
import sys
import venv
import zipfile

import pytest

from tests import running

CONSTRAINTS = running.REPOSITORY / 'constraints.txt'
DIST = running.REPOSITORY / 'dist'

pytestmark = [pytest.mark.network, pytest.mark.timeout(1200)]


@pytest.fixture(scope='module')
def wheel():
  """The wheel, made of the sdist, which is made of the repository."""
  for old in DIST.glob('datadiet-*'):
    old.unlink()
  subprocess.run(
    [sys.executable, '-m', 'build', f'--outdir={DIST}', running.REPOSITORY],
    check=True,
    stdout=subprocess.DEVNULL,
  )
  (made,) = DIST.glob('*.whl')
  assert list(DIST.glob('*.tar.gz'))
  return made


class Installed:
  """An environment that holds the wheel and what it needs."""

  def __init__(self, folder, wheel):
    self._wheel = wheel
    self._bin = folder / 'venv' / 'bin'
    self.folder = folder / 'elsewhere'
    self.folder.mkdir()
    venv.create(folder / 'venv', with_pip=True)
    self.install()

  def install(self, extras=''):
    """Installs the wheel with extras, such as '[report]'."""
    command = [self._bin / 'python', '-m', 'pip', 'install', '--quiet']
    command += ['--disable-pip-version-check', '-c', CONSTRAINTS]
    subprocess.run([*command, f'{self._wheel}{extras}'], check=True)

  def run(self, command, *arguments):
    """Runs a command of the environment in a folder of its own."""
    env = {
      name: value
      for name, value in os.environ.items()
      if name not in ('PYTHONPATH', 'XLA_FLAGS')
    }
    return subprocess.run(
      [self._bin / command, *arguments],
      cwd=self.folder,
      env={**env, 'HOME': str(self.folder), 'JAX_PLATFORMS': 'cpu'},
      capture_output=True,
      text=True,
    )

  def run_python(self, script):
    """Runs Python text; it must not fail."""
    ended = self.run('python', '-c', script)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope='module')
def core(tmp_path_factory, wheel):
  """The wheel without extras."""
  return Installed(tmp_path_factory.mktemp('core'), wheel)


@pytest.fixture(scope='module')
def with_report(tmp_path_factory, wheel):
  """The wheel with the extra of the report."""
  installed = Installed(tmp_path_factory.mktemp('report'), wheel)
  installed.install('[report]')
  return installed


def test_the_wheel_holds_what_the_program_reads(wheel):
  names = set(zipfile.ZipFile(wheel).namelist())
  assert {
    'datadiet/py.typed',
    'datadiet/configs/base.py',
    'datadiet/configs/resnet18_cifar10.py',
    'datadiet/reporting/templates/index.html',
    'datadiet/reporting/templates/report.css',
    'datadiet/results/reference_scores/cifar10_simple_cnn.npz',
  } <= names
  tops = {name.split('/')[0] for name in names}
  assert len(tops) == 2  # The package and its metadata.
  assert all(top.startswith('datadiet') for top in tops)


def test_scores_of_arrays_need_jax_and_little_else(core):
  script = """
import importlib.util, numpy as np
for name in ('tensorflow', 'pandas', 'altair', 'matplotlib', 'sklearn', 'clu'):
  assert importlib.util.find_spec(name) is None, name
import datadiet
norm = datadiet.grad_norm(lambda w, x: (w * x) ** 2)
assert norm(2.0, 3.0) == 36
def logits(variables, images):
  return images.reshape(len(images), -1) @ variables['params']['w']
images = np.eye(4, dtype=np.float32).reshape(4, 2, 2, 1)
variables = {'params': {'w': np.eye(4, 3, dtype=np.float32)}}
labels = np.array([0, 1, 2, 0])
names = ('el2n', 'grand')
scores = datadiet.score_examples(logits, variables, images, labels, names)
assert np.isfinite(scores['grand']).all(), scores
print(datadiet.__file__)
"""
  where = core.run_python(script)
  assert str(running.REPOSITORY) not in where


def test_without_extras_one_line_says_what_to_install(core):
  ended = core.run('datadiet', '--config=cnn_digits', '--workdir=w')
  (line,) = ended.stderr.splitlines()
  assert ended.returncode == 1
  assert "pip install 'datadiet[report]'" in line


def test_the_demo_runs_from_any_folder(with_report):
  settings = {
    name: value
    for name, value in running.TINY.items()
    if name not in ('train.num_runs', 'retrain.num_runs')
  }
  flags = running.as_flags(settings)
  ended = with_report.run(
    'datadiet', '--config=cnn_digits', '--workdir=w', *flags
  )
  assert ended.returncode == 0, ended.stderr
  assert 'full data' in ended.stdout
  assert (with_report.folder / 'w/report/index.html').stat().st_size > 100_000


def test_a_config_of_ones_own_builds_on_those_of_the_package(with_report):
  (with_report.folder / 'mine.py').write_text(
    """from datadiet.configs import cnn_digits


def get_config():
  config = cnn_digits.get_config()
  config.train.num_runs = 0
  return config
"""
  )
  ended = with_report.run('datadiet', '--config=mine.py', '--workdir=v')
  assert ended.returncode == 2
  assert 'config.train.num_runs' in ended.stderr
