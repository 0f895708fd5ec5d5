"""Tests that the package declares what it imports, and does without extras."""

import functools
import importlib.metadata
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from datadiet.runtime import extras
from tests import running
from tools import house

PROJECT = tomllib.loads((running.REPOSITORY / 'pyproject.toml').read_text())[
  'project'
]
# What is needed though nothing here imports it.
NOT_IMPORTED = {
  'gcsfs': 'fsspec imports it for gs://',
  's3fs': 'fsspec imports it for s3://',
  'tensorboard': 'clu imports it',
}
# Extras of the repository, whose packages the package does not import.
OF_REPOSITORY = {'bench', 'browser', 'docs', 'stores', 'test', 'weights'}
ACCELERATORS = {'cuda', 'cuda13', 'tpu'}


@functools.cache
def packages():
  """Module -> the distributions that brought it; reading all takes seconds."""
  return importlib.metadata.packages_distributions()


def distributions_of(module):
  """The distributions that brought a module; its own name if none did."""
  return {canonicalize_name(name) for name in packages().get(module, [module])}


def declared(requirements):
  """The names in a list of requirements, but this package's own."""
  names = {canonicalize_name(Requirement(line).name) for line in requirements}
  return names - {'datadiet'}


def imported_modules():
  """Top-level modules that the package imports, but Python's and its own."""
  names = {
    name.split('.')[0]
    for path in house.modules()
    for name, _ in house.imports_of(path)
  }
  return sorted(names - sys.stdlib_module_names - {'datadiet'})


CORE = declared(PROJECT['dependencies'])
EXTRAS = {
  name: declared(requirements)
  for name, requirements in PROJECT['optional-dependencies'].items()
}


@pytest.mark.parametrize('module', imported_modules())
def test_what_is_imported_is_declared(module):
  extra = extras.EXTRA_OF.get(module)
  where = CORE if extra is None else EXTRAS[extra]
  assert distributions_of(module) & where, (
    f'{module} is imported; declare it in pyproject.toml and, if it is of an '
    'extra, in datadiet/runtime/extras.py'
  )


def test_what_is_declared_is_imported():
  needed = set(NOT_IMPORTED)
  for module in imported_modules():
    needed |= distributions_of(module)
  of_package = set(EXTRAS) - OF_REPOSITORY - ACCELERATORS
  for names in (CORE, *(EXTRAS[name] for name in of_package)):
    # tensorflow and tensorflow-cpu bring the same module.
    assert names - needed <= {'tensorflow', 'tensorflow-cpu'}


def test_what_is_said_to_be_of_an_extra_is_imported():
  """Otherwise it would be asked for in vain."""
  assert set(extras.EXTRA_OF) - set(NOT_IMPORTED) <= set(imported_modules())
  assert set(extras.EXTRA_OF.values()) <= set(EXTRAS)


# Runs first: the libraries of all extras are not to be found.
_HIDE = """
import sys
HIDDEN = {hidden!r}
class Hiding:
  def __init__(self, finder):
    self._finder = finder
  def __getattr__(self, name):
    return getattr(self._finder, name)
  def find_spec(self, name, *more):
    hides = name.partition('.')[0] in HIDDEN
    return None if hides else self._finder.find_spec(name, *more)
sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


def run_without_extras(tmp_path, script, *arguments):
  """Runs Python text where only the core's libraries are found."""
  hidden = sorted({*extras.EXTRA_OF, 'tensorboard'})
  return subprocess.run(
    [sys.executable, '-c', _HIDE.format(hidden=hidden) + script, *arguments],
    cwd=running.REPOSITORY,
    env=running.environment(tmp_path),
    capture_output=True,
    text=True,
  )


_SCORE = """
import jax, numpy as np
import datadiet
from datadiet.models import make_model
norm = datadiet.grad_norm(lambda w, x: (w * x) ** 2)
assert norm(2.0, 3.0) == 36
model = make_model('simple_cnn', num_classes=3, width=2)
images = np.ones((4, 8, 8, 3), np.float32)
variables = model.init(jax.random.key(0), images[:1])
scores = datadiet.score_examples(
  model, variables, images, np.arange(4) % 3, scores=('el2n', 'grand')
)
assert np.isfinite(scores['grand']).all()
from datadiet import main, pipeline
assert not set(HIDDEN) & set(sys.modules)
"""


def test_scores_of_arrays_need_the_core_alone(tmp_path):
  ended = run_without_extras(tmp_path, _SCORE)
  assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize('name', ['load_results', 'export_selection'])
def test_a_function_says_which_extra_it_needs(tmp_path, name):
  script = f'import datadiet\ndatadiet.{name}'
  *_, last = run_without_extras(tmp_path, script).stderr.splitlines()
  assert f'datadiet.{name} needs pandas' in last
  assert "pip install 'datadiet[report]'" in last


def test_the_program_says_what_its_stages_need_before_it_begins(tmp_path):
  script = 'from datadiet import main\nmain.main()'
  flags = running.tiny_flags(tmp_path / 'workdir')
  ended = run_without_extras(tmp_path, script, *flags)
  (line,) = ended.stderr.splitlines()
  assert ended.returncode == 1
  assert '--stages: report needs ' in line
  assert "pip install 'datadiet[report]'" in line
  assert not (tmp_path / 'workdir').exists()


def test_digits_say_that_they_need_scikit_learn(tmp_path):
  script = 'from datadiet import main\nmain.main()'
  flags = running.tiny_flags(tmp_path / 'workdir', stages='train')
  ended = run_without_extras(tmp_path, script, *flags)
  assert 'config.dataset.name: digits needs sklearn' in ended.stderr
  assert 'Traceback' not in ended.stderr


def test_policies_say_what_they_need(tmp_path):
  script = 'from datadiet import main\nmain.main()'
  flags = running.tiny_flags(
    tmp_path / 'workdir',
    stages='select',
    select__policies='prototypes',
    score__keep='features',
  )
  ended = run_without_extras(tmp_path, script, *flags)
  assert 'config.select.policies: prototypes needs sklearn' in ended.stderr


def test_configs_are_part_of_the_package():
  """They lie at the top of the repository, and travel in the wheel."""
  link = house.PACKAGE / 'configs'
  assert link.resolve() == (running.REPOSITORY / 'configs').resolve()


def test_the_export_says_what_it_needs(tmp_path):
  script = """
import runpy
runpy.run_module('datadiet.export', run_name='__main__')
"""
  ended = run_without_extras(tmp_path, script)
  (line,) = ended.stderr.splitlines()
  assert ended.returncode == 1
  assert 'datadiet export needs pandas' in line
