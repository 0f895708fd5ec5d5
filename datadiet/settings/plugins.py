"""Plugins: the user's modules, which add entries to the registries."""

import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from datadiet.errors import ConfigError, DataDietError


def load(names: Iterable[str]) -> None:
  """Imports modules, each once; also from the current folder.

  Args:
    names: of `config.plugins`, as in an import statement.

  Raises:
    ConfigError: if there is no such module, or it cannot be imported.
  """
  for name in names:
    if name in sys.modules:
      continue
    folder = os.getcwd()
    if folder not in sys.path and '' not in sys.path:
      # At the end: a file here must not hide a library's module.
      sys.path.append(folder)
    if not _exists(name):
      raise ConfigError(
        f'config.plugins: there is no module {name!r}; allowed: modules that '
        f'Python finds or that lie in {folder}, such as my_module for '
        'my_module.py'
      )
    try:
      importlib.import_module(name)
    except Exception as error:
      raise ConfigError(
        f'config.plugins: {name} cannot be imported: {_where(error)}'
        f'{type(error).__name__}: {" ".join(str(error).split())}'
      ) from error


@contextlib.contextmanager
def blamed(names: Iterable[str]) -> Iterator[None]:
  """A context in which an error in a plugin's code is told with its line.

  Args:
    names: of `config.plugins`, loaded.

  Raises:
    DataDietError: for any error that went through the file of a plugin, unless
      it was one sentence already; `--verbosity=1` shows the whole traceback.
  """
  try:
    yield
  except DataDietError:
    raise
  except Exception as error:
    own = {str(path) for path in files(names)}
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if frame.filename in own]
    if not lines:
      raise
    raise DataDietError(
      f'{lines[-1].filename}, line {lines[-1].lineno}: '
      f'{type(error).__name__}: {" ".join(str(error).split())}'
    ) from error


def files(names: Iterable[str]) -> list[Path]:
  """The files of loaded modules; of a package, all that lie below it."""
  found = []
  for name in names:
    module = sys.modules[name]
    for folder in getattr(module, '__path__', ()):
      found += sorted(path for path in Path(folder).rglob('*.*'))
    if not hasattr(module, '__path__') and module.__file__:
      found.append(Path(module.__file__))
  return found


def _exists(name: str) -> bool:
  try:
    return importlib.util.find_spec(name) is not None
  except (ImportError, ValueError):  # Of a package that does not exist.
    return False


def _where(error: Exception) -> str:
  """The file and line that an error came from."""
  if isinstance(error, SyntaxError):
    return f'{error.filename}, line {error.lineno}: '
  frames = traceback.extract_tb(error.__traceback__)
  own = [frame for frame in frames if 'importlib' not in frame.filename]
  return f'{own[-1].filename}, line {own[-1].lineno}: ' if own else ''
