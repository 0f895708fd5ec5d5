"""Tests that imports between modules go one way, as the design wants."""

import ast

import pytest

from tools import house
from tools.house import PACKAGE, imports_of, name_of, room_of

MODULES = house.modules()

# Parts of the package that a room may not import though they lie below it.
FORBIDDEN = {
  'selection': {
    'training',
    'data',
    'models',
    'runtime.mesh',
    'workdir.checkpoints',
  },
  'inspection': {
    'training',
    'models',
    'runtime.mesh',
    'workdir.checkpoints',
  },
  'audit': {
    'training',
    'data',
    'models',
    'runtime.mesh',
    'workdir.checkpoints',
  },
  'reporting': {'training', 'models', 'runtime.mesh', 'workdir.checkpoints'},
  'exporting': {'training', 'models', 'runtime.mesh', 'workdir.checkpoints'},
  'reviewing': {'training', 'models', 'runtime.mesh', 'workdir.checkpoints'},
}
NUMPY_ONLY = {
  'selection',
  'results',
  'reporting',
  'inspection',
  'audit',
  'exporting',
  'reviewing',
}
JAX = {'jax', 'jaxlib', 'flax', 'optax', 'chex'}
TENSORFLOW = {'tensorflow', 'tensorflow_datasets', 'clu', 'tensorboard'}
# Who may import TensorFlow, and then within a function only.
READERS = {'data/sources/tfds_reader.py': {'tensorflow', 'tensorflow_datasets'}}
WRITERS = {
  'training/history.py': {'clu'},
  'exporting/tensorboard.py': {'clu'},
}

MAX_LINES = 350
MAX_FUNCTION_LINES = 65


modules = pytest.mark.parametrize('path', MODULES, ids=name_of)


def test_every_room_has_a_floor():
  found = {room_of(path) for path in MODULES} - {'__init__'}
  assert found == {*house.rooms()}


def test_imports_go_down_without_circles():
  found = house.arrows()
  assert not list(house.upward(found))
  assert not house.circles(found)


def test_upward_imports_and_circles_are_seen():
  """Otherwise the test above would hold for nothing."""
  found = {room: set() for room in house.rooms()}
  found['errors'] = {'data'}
  found['data'] = {'errors'}
  assert list(house.upward(found)) == [('errors', 'data')]
  assert house.circles(found) == [['data', 'errors']]


def test_the_map_names_every_room():
  drawn = house.draw()
  assert all(f' {room} ' in drawn for room in house.rooms())
  assert drawn.endswith('circles: 0\nupward: 0')


def test_lines_are_counted_as_they_are_and_as_they_were():
  counts = house.lines()
  path = PACKAGE / 'errors.py'
  assert counts['errors'] == len(path.read_text().splitlines())
  if not (house.REPOSITORY / '.git').exists():
    pytest.skip('no history is here')
  table = house.draw_since('HEAD').splitlines()
  (row,) = [line for line in table if line.startswith('the package')]
  _, _, before, after, difference = row.replace(',', '').split()
  assert int(after) - int(before) == int(difference) and int(before) > 10_000
  with pytest.raises(SystemExit, match='no_such_commit'):
    house.lines('no_such_commit')


@modules
def test_parts_that_a_room_must_not_know(path):
  for part in FORBIDDEN.get(room_of(path), ()):
    for name, _ in imports_of(path):
      assert not f'{name}.'.startswith(f'datadiet.{part}.'), (
        f'{name_of(path)} must not know {part}'
      )


@modules
def test_rooms_of_numpy_know_no_jax(path):
  used = {name.split('.')[0] for name, _ in imports_of(path)}
  if room_of(path) in NUMPY_ONLY:
    assert not used & JAX


@modules
def test_tensorflow_is_imported_late_and_in_few_places(path):
  allowed = {**READERS, **WRITERS}.get(name_of(path), set())
  for name, in_function in imports_of(path):
    package = name.split('.')[0]
    if package in TENSORFLOW:
      assert package in allowed and in_function, f'{name_of(path)}: {name}'


def test_the_places_that_may_import_tensorflow_do():
  """Otherwise the test above would hold for nothing."""
  for places in (READERS, WRITERS):
    for name, packages in places.items():
      used = {full.split('.')[0] for full, _ in imports_of(PACKAGE / name)}
      assert packages <= used


@modules
def test_files_are_short(path):
  lines = len(path.read_text().splitlines())
  assert lines <= MAX_LINES


@modules
def test_functions_are_short(path):
  long = {
    node.name
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
  }
  assert not long


@modules
def test_modules_say_what_they_hold(path):
  assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_registry_fills_itself():
  """No decorator registers at import, no name is looked up by reflection."""
  for path in MODULES:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        assert node.func.id not in ('eval', 'exec', 'globals'), name_of(path)
      for decorator in getattr(node, 'decorator_list', ()):
        assert 'register' not in ast.unparse(decorator), name_of(path)
