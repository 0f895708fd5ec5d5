"""Tests datadiet.runtime.compilation."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from datadiet.runtime import compilation
from tests import running


@pytest.fixture
def untried():
  """Forgets what was tried, before and after."""
  compilation._cpu_options.cache_clear()
  yield
  compilation._cpu_options.cache_clear()


@pytest.mark.parametrize('run_once', [False, True])
def test_options_are_accepted_by_this_jaxlib(untried, run_once):
  assert len(compilation.compiler_options(run_once)) == 1


@pytest.mark.parametrize('run_once', [False, True])
def test_an_option_that_is_not_known_is_left_out(
  untried, monkeypatch, run_once
):
  unknown = {'xla_no_such_option': 'yes'}
  monkeypatch.setattr(compilation, '_CPU_OPTIONS', unknown)
  monkeypatch.setattr(compilation, '_CPU_RUN_ONCE_OPTIONS', unknown)
  assert compilation.compiler_options(run_once) == {}
  doubled = compilation.jit(lambda value: 2 * value, run_once=run_once)
  assert doubled(3) == 6


@pytest.mark.parametrize('platform', ['gpu', 'tpu'])
def test_other_platforms_get_no_cpu_options(platform):
  assert compilation.compiler_options(platform=platform) == {}
  assert compilation.compiler_options() != {}


def test_the_cache_is_filled_where_it_is_told_and_used_again(tmp_path):
  program = (
    'import sys, jax\n'
    'from datadiet.runtime import compilation\n'
    'compilation.enable_compilation_cache(sys.argv[1])\n'
    'jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)\n'
    'hits = []\n'
    'jax.monitoring.register_event_listener(\n'
    '  lambda name, **_: hits.append(name.endswith("/cache_hits")))\n'
    'print(compilation.jit(lambda value: value * 3)(2), any(hits))\n'
  )

  def run(folder):
    return subprocess.run(
      [sys.executable, '-c', program, folder],
      env={
        **os.environ,
        'HOME': str(tmp_path),
        'PYTHONPATH': os.pathsep.join(sys.path),
      },
      capture_output=True,
      text=True,
      check=True,
    ).stdout.split()

  assert run('none') == ['6', 'False']
  assert not list(tmp_path.iterdir())
  assert run('') == ['6', 'False']
  assert list((tmp_path / '.cache' / 'datadiet' / 'xla').iterdir())
  assert run('') == ['6', 'True']


# The program, but what compiles fast is cached too: here everything does.
_MAIN = """
import runpy
import jax
from datadiet.runtime import compilation
enable = compilation.enable_compilation_cache
def enable_for_all(folder):
  enable(folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
compilation.enable_compilation_cache = enable_for_all
runpy.run_module('datadiet.main', run_name='__main__')
"""


def test_a_training_that_goes_on_in_a_new_process_compiles_nothing(tmp_path):
  workdir = tmp_path / 'workdir'
  flags = running.tiny_flags(
    workdir, stages='train', compilation_cache_dir=tmp_path / 'xla'
  )
  env = running.environment(tmp_path) | {'JAX_EXPLAIN_CACHE_MISSES': 'true'}

  def train():
    """The log, and the names of the functions that were compiled."""
    done = subprocess.run(
      [sys.executable, '-c', _MAIN, *flags],
      cwd=running.REPOSITORY,
      env=env,
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, done.stderr
    missed = re.findall(r"COMPILATION CACHE MISS for '(\w+)'", done.stderr)
    return done.stderr, missed

  _, compiled = train()
  assert len(compiled) > 4  # Initialisation, step, meters, evaluation.
  for run in workdir.glob('train/run_*'):
    # As if it had ended between its two checkpoints.
    shutil.rmtree(run / 'checkpoints' / '44')
    (run / 'manifest.json').unlink()
  log, compiled = train()
  assert 'Resuming from step 22' in log
  assert compiled == []
