"""The rooms of the package and the imports between them, as a map.

    python -m tools.house                   rooms, lines, imports; circles
    python -m tools.house --since=0b1e499   and the lines at a commit and now

tests/architecture_test.py holds the house to it.
"""

import argparse
import ast
import functools
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / 'datadiet'
# Where there is code, and how the names of its files end.
_FOLDERS = (PACKAGE.name, 'benchmarks', 'tests', 'tools')
_ENDINGS = ('.py', '.html', '.css', '.js')

# From the top of the house to its ground; a room imports from lower floors.
FLOORS = (
  ('__main__',),
  ('main', 'apply', 'export', 'importer', 'review'),
  ('pipeline', 'forecast', 'importing'),
  ('stages',),
  ('config',),
  ('exporting', 'reporting', 'reviewing', 'scoring', 'selection'),
  ('results', 'training', 'audit', 'inspection'),
  ('feeding',),
  ('data', 'models'),
  ('workdir', 'gradient_norms'),
  ('decoders', 'runtime', 'settings'),
  ('errors',),
)


def modules() -> list[Path]:
  """All modules of the package."""
  return sorted(PACKAGE.rglob('*.py'))


def name_of(path: Path) -> str:
  """A module's path below the package."""
  return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
  """The folder or module directly below the package."""
  return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def floor_of(room: str) -> int:
  """The floor of a room, 0 being the top.

  Raises:
    KeyError: if the room is on no floor.
  """
  for floor, rooms in enumerate(FLOORS):
    if room in rooms:
      return floor
  raise KeyError(f'{room} is on no floor: see FLOORS in tools/house.py')


@functools.cache
def imports_of(path: Path) -> tuple[tuple[str, bool], ...]:
  """(full name, whether within a function) of everything a module imports."""
  found: list[tuple[str, bool]] = []

  def visit(node: ast.AST, in_function: bool) -> None:
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
  return tuple(found)


def rooms_used(path: Path) -> set[str]:
  """Rooms of this package that a module imports from, but its own."""
  rooms = {
    name.split('.')[1]
    for name, _ in imports_of(path)
    if name.startswith('datadiet.')
  }
  return rooms - {room_of(path), '__version__'}


def arrows() -> dict[str, set[str]]:
  """Room -> the rooms it imports from."""
  found: dict[str, set[str]] = {room: set() for room in rooms()}
  for path in modules():
    if room_of(path) in found:
      found[room_of(path)] |= rooms_used(path)
  return found


def rooms() -> list[str]:
  """All rooms, the top of the house first."""
  return [room for floor in FLOORS for room in floor]


def circles(found: dict[str, set[str]]) -> list[list[str]]:
  """Groups of rooms that import each other, directly or not."""
  remaining = {room: set(used) for room, used in found.items()}
  while True:
    free = [room for room in remaining if not remaining[room] & {*remaining}]
    if not free:
      return [sorted(remaining)] if remaining else []
    for room in free:
      del remaining[room]


def upward(found: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
  """Imports that go to the same floor or up."""
  for room, used in found.items():
    for other in sorted(used):
      if floor_of(other) <= floor_of(room):
        yield room, other


def lines(commit: str = '') -> Counter[str]:
  """Lines of each room's modules and templates, and of the folders beside.

  Args:
    commit: of git; '' for the files as they are.

  Raises:
    SystemExit: if git knows no such commit.
  """
  found: Counter[str] = Counter()
  for path, number in _files_at(commit) if commit else _files():
    top, part, *_ = path.split('/')
    is_package = top == PACKAGE.name
    found[part.removesuffix('.py') if is_package else f'{top}/'] += number
  return found


def _files() -> Iterator[tuple[str, int]]:
  """(path, number of lines) of all files with code."""
  for top in _FOLDERS:
    for path in (REPOSITORY / top).rglob('*.*'):
      if path.suffix in _ENDINGS:
        number = len(path.read_text().splitlines())
        yield path.relative_to(REPOSITORY).as_posix(), number


def _files_at(commit: str) -> Iterator[tuple[str, int]]:
  """As `_files`, at a commit."""
  wanted = [f'{top}/*{ending}' for top in _FOLDERS for ending in _ENDINGS]
  counted = subprocess.run(
    ['git', 'grep', '-c', '-e', '', commit, '--', *wanted],
    cwd=REPOSITORY,
    capture_output=True,
    text=True,
    check=False,
  )
  if counted.returncode:
    raise SystemExit(f'{commit}: {counted.stderr.strip() or "no such commit"}')
  for line in counted.stdout.splitlines():
    path, _, number = line.removeprefix(f'{commit}:').rpartition(':')
    yield path, int(number)


def draw_since(commit: str) -> str:
  """Lines by room at a commit and now, the rooms of now first."""
  before, after = lines(commit), lines()
  names = [*rooms(), *sorted({*before, *after} - {*rooms()})]
  total = {
    label: sum(found[name] for name in found if not name.endswith('/'))
    for label, found in (('before', before), ('after', after))
  }
  rows = [(name, before[name], after[name]) for name in names]
  rows.append(('the package', total['before'], total['after']))
  return '\n'.join(
    [f'{"lines":20} {commit:>10} {"now":>8}']
    + [
      f'{name:20} {old:10,} {new:8,} {new - old:+8,}' for name, old, new in rows
    ]
  )


def summary_of(room: str) -> str:
  """What a room is for: the first line of its docstring."""
  path = PACKAGE / room / '__init__.py'
  if not path.exists():
    path = PACKAGE / f'{room}.py'
  docstring = ast.get_docstring(ast.parse(path.read_text())) or ''
  return docstring.partition('\n')[0]


def draw() -> str:
  """The map, as lines of text."""
  found, counts = arrows(), lines()
  text = []
  for number, floor in enumerate(FLOORS):
    for room in floor:
      used = ' '.join(other for other in rooms() if other in found[room])
      text.append(
        f'{number:2}  {room:15} {counts[room]:6,}  {summary_of(room)}'
      )
      text.append(f'{"":28}{used}'.rstrip())
  num_arrows = sum(map(len, found.values()))
  total = sum(counts[room] for room in rooms())
  text += [
    '',
    f'{len(rooms())} rooms, {num_arrows} imports between them, {total:,} lines',
    f'circles: {circles(found) or 0}',
    f'upward: {list(upward(found)) or 0}',
  ]
  return '\n'.join(text)


def main() -> None:
  """Prints the map."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--since', default='', help='a commit to compare with')
  since = parser.parse_args().since
  print(draw())
  if since:
    print(f'\n{draw_since(since)}')


if __name__ == '__main__':
  main()
