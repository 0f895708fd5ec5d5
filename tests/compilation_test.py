"""Tests datadiet.compilation."""

import os
import subprocess
import sys

import jax
import pytest

from datadiet import compilation


@pytest.fixture
def untried():
  """Forgets what was tried, before and after."""
  compilation.compiler_options.cache_clear()
  yield
  compilation.compiler_options.cache_clear()


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


def test_other_backends_get_no_cpu_options(untried, monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert compilation.compiler_options() == {}


def test_the_cache_is_filled_where_it_is_told_and_used_again(tmp_path):
  program = (
    'import sys, jax\n'
    'from datadiet import compilation\n'
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
