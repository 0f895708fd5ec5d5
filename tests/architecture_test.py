"""Tests that imports between modules go one way, as the design wants."""

import ast
import functools
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / 'datadiet'
MODULES = sorted(PACKAGE.rglob('*.py'))

# From the top of the house to its ground; a room may import from rooms below.
FLOORS = [
  {'main', 'export'},
  {'pipeline'},
  {'stages'},
  {'config', 'exporting'},
  {'reporting', 'scoring', 'selection', 'audit'},
  {'results'},
  {'training'},
  {'feeding'},
  {'data', 'models'},
  {'workdir', 'gradient_norms'},
  {'runtime'},
  {'errors'},
]
# Parts of the package that a room may not import though they lie below it.
FORBIDDEN = {
  'selection': {
    'training',
    'data',
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
}
NUMPY_ONLY = {'selection', 'results', 'reporting', 'audit', 'exporting'}
JAX = {'jax', 'jaxlib', 'flax', 'optax', 'orbax', 'chex'}
TENSORFLOW = {'tensorflow', 'tensorflow_datasets', 'clu', 'tensorboard'}
# Who may import TensorFlow, and then within a function only.
READERS = {'data/sources/tfds.py': {'tensorflow', 'tensorflow_datasets'}}
WRITERS = {
  'training/history.py': {'clu'},
  'exporting/tensorboard.py': {'clu'},
}

MAX_LINES = 350
# A longer file needs a reason, given here.
LONGER = {
  # Reads every kind of artifact of a workdir, one reader each.
  # One walk over a jaxpr, whose cases share their state.
  'gradient_norms/walk.py': 360,
}


def name_of(path):
  return path.relative_to(PACKAGE).as_posix()


def room_of(path):
  """The folder or module directly below the package."""
  first = path.relative_to(PACKAGE).parts[0]
  return first.removesuffix('.py')


@functools.cache
def imports_of(path):
  """(full name, whether within a function) of everything imported."""
  found = []

  def visit(node, in_function):
    if isinstance(node, ast.Import):
      found.extend((alias.name, in_function) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: relative import'
      found.extend(
        (f'{node.module}.{alias.name}', in_function) for alias in node.names
      )
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for child in ast.iter_child_nodes(node):
      visit(child, in_function or is_function)

  visit(ast.parse(path.read_text()), False)
  return found


def rooms_used(path):
  """Rooms of this package that a module imports from, but its own."""
  rooms = {
    name.split('.')[1]
    for name, _ in imports_of(path)
    if name.startswith('datadiet.')
  }
  return rooms - {room_of(path)}


def floor_of(room):
  for floor, rooms in enumerate(FLOORS):
    if room in rooms:
      return floor
  raise AssertionError(f'{room} has no place in the house: see FLOORS')


modules = pytest.mark.parametrize('path', MODULES, ids=name_of)


def test_every_room_has_a_floor():
  rooms = {room_of(path) for path in MODULES} - {'__init__'}
  assert rooms == set().union(*FLOORS)


@modules
def test_imports_go_down(path):
  if path == PACKAGE / '__init__.py':
    pytest.skip('the public names, from anywhere')
  floor = floor_of(room_of(path))
  ground = len(FLOORS) - 1
  for room in rooms_used(path):
    below = floor_of(room)
    ground = {FLOORS.index(f) for f in FLOORS[-3:]}
    assert below > floor or below == floor and floor in ground, (
      f'{name_of(path)} imports {room}, which is not below it'
    )
  forbidden = FORBIDDEN.get(room_of(path), ())
  for name, _ in imports_of(path):
    for part in forbidden:
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
  assert lines <= LONGER.get(name_of(path), MAX_LINES)


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
