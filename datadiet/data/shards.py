"""Which files make up which split of which set, by their names alone.

The split is a split word standing alone in the name of a file or folder. What
is left of the path without it, and without the number of a shard, is the set
(the configuration, as Hugging Face calls it) that the file belongs to.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from datadiet.data.splitting import SPLIT_WORDS
from datadiet.errors import ConfigError, DataDietError

_WORD = re.compile(
  rf'(?<![^\W\d_])({"|".join(sorted(SPLIT_WORDS, key=len, reverse=True))})'
  r'(?![^\W\d_])',
  re.IGNORECASE,
)
# train-00000-of-00003, and with a hash after it as the Hub once had it.
_SHARD = re.compile(r'[-_.]?(\d+)-of-(\d+)([-_.][0-9a-f]{8,})?$', re.IGNORECASE)
# 0000, part-0, part-00000-<uuid>-c000.snappy: numbers of files in a folder.
_PART = re.compile(
  r'^((part|shard|chunk|data|file|batch)s?[-_. ]?)?(\d+)'
  r'(-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?(-c\d+)?(\.\w+)?$',
  re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class _File:
  """What the name of a file says.

  Attributes:
    path: of the file.
    group: the set that it belongs to.
    split: 'train', 'validation', 'test', another name, or '' for none.
    number: which of the files of its split it is; None where it does not say.
    total: how many there are; None where it does not say.
  """

  path: str
  group: str
  split: str
  number: int | None
  total: int | None


def group_files(paths: Iterable[str], source: str) -> dict[str, list[str]]:
  """The files of each split of the one set that a folder holds.

  Args:
    paths: of the files, relative to the folder, with '/' and without endings.
    source: the folder, for messages.

  Returns:
    Split -> paths, in the order of their shards. A split is 'train',
    'validation' or 'test' where the names have one of the split words, else
    the name of the file without its number, which may be ''.

  Raises:
    ConfigError: if there are several sets; lists them.
    DataDietError: if shards are missing or there twice, or a name holds two
      split words.
  """
  groups: dict[str, dict[str, list[_File]]] = {}
  for path in paths:
    file = _parse(path, source)
    splits = groups.setdefault(file.group, {})
    splits.setdefault(file.split, []).append(file)
  if len(groups) > 1:
    raise _several(groups, source)
  (splits,) = groups.values()
  return {
    split: [file.path for file in _in_order(files, source)]
    for split, files in sorted(splits.items())
  }


def _parse(path: str, source: str) -> _File:
  *folders, stem = path.split('/')
  number = total = None
  if match := _SHARD.search(stem):
    number, total = int(match[1]), int(match[2])
    stem = stem[: match.start()]
  split, left = _without_word(stem, path, source)
  if split and (match := re.fullmatch(r'(.*?)[-_. ]*(\d+)', left[1])):
    # What follows the split word: train_3, train2.
    if number is None and not match[1]:
      number, left = int(match[2]), (left[0], '')
  elif not split and (match := _PART.match(stem)):
    number = int(match[3]) if number is None else number
    left = ('', '')
  if split:
    folders = _without_split(folders, split, path, source)
  else:
    # The word nearest to the file decides: DATA/val/images/0000.
    for folder in reversed(folders):
      split, _ = _without_word(folder, path, source)
      if split:
        folders = _without_split(folders, split, path, source)
        break
    else:
      # Neither says a split: the name itself is one, such as 'extra'.
      name = '-'.join(filter(None, map(_stripped, left)))
      return _File(path, '/'.join(folders), name, number, total)
  group = filter(None, [*folders, *map(_stripped, left)])
  return _File(path, '/'.join(group), split, number, total)


def _without_split(
  folders: list[str], split: str, path: str, source: str
) -> list[str]:
  """Names of folders without the words that say this split: train/train-0."""
  names = []
  for folder in folders:
    found, sides = _without_word(folder, path, source)
    if found == split:
      folder = '-'.join(filter(None, map(_stripped, sides)))
    names.append(folder)
  return names


def _without_word(
  name: str, path: str, source: str
) -> tuple[str, tuple[str, str]]:
  """The split that a name says, and what stands before and after the word."""
  words = list(_WORD.finditer(name))
  if not words:
    return '', (name, '')
  splits = {SPLIT_WORDS[word[1].lower()] for word in words}
  if len(splits) > 1:
    raise DataDietError(
      f'{source}: {path} names two splits, {" and ".join(sorted(splits))}; '
      'rename it'
    )
  last = words[-1]
  return splits.pop(), (name[: last.start()], name[last.end() :])


def _stripped(text: str) -> str:
  return text.strip('-_. ')


def _several(groups: Mapping[str, Mapping], source: str) -> ConfigError:
  listed = '; '.join(
    f'{group or "."} ({", ".join(split or "no split" for split in splits)})'
    for group, splits in sorted(groups.items())
  )
  return ConfigError(
    f'config.dataset.data_dir: {source} holds {len(groups)} sets: {listed}; '
    'set data_dir to a folder that holds the files of one alone'
  )


def _in_order(files: list[_File], source: str) -> list[_File]:
  """Files by number, checked to be all of them and each once."""
  files = sorted(
    files, key=lambda file: (file.number is None, file.number or 0, file.path)
  )
  for one, other in zip(files, files[1:]):
    if one.number == other.number:
      raise DataDietError(
        f'{source}: {one.path} and {other.path} are the same part of one '
        'split; remove one, or set config.dataset.data_dir to the folder of one'
      )
  totals = {file.total for file in files}
  if len(totals) > 1:
    raise DataDietError(
      f'{source}: {files[0].path} and others of its split differ in how many '
      'parts there are; some are of another version of the set'
    )
  (total,) = totals
  numbers = {file.number for file in files if file.number is not None}
  if total is not None and numbers != set(range(total)):
    missing = sorted(set(range(total)) - numbers)
    raise DataDietError(
      f'{source}: of the {total} files of {files[0].path} number '
      f'{", ".join(map(str, missing)) or "0 to " + str(total - 1)} '
      f'{"is" if len(missing) == 1 else "are"} missing; download the set again'
    )
  if total is None and len(numbers) == len(files) > 1:
    gaps = set(range(min(numbers), max(numbers))) - numbers
    if gaps:
      raise DataDietError(
        f'{source}: between {files[0].path} and {files[-1].path} number '
        f'{min(gaps)} is missing; download the set again, or number the files '
        'one after the other'
      )
  return files
