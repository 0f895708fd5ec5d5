"""Which folders of a tree of images are splits, and which are classes."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from absl import logging

from datadiet.data import checks, splitting
from datadiet.data.settings import DatasetSettings
from datadiet.errors import ConfigError, DataDietError, counted

# What Pillow reads, as far as such files lie in data sets.
EXTENSIONS = (
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.png',
  '.apng',
  '.webp',
  '.bmp',
  '.gif',
  '.tif',
  '.tiff',
  '.ppm',
  '.pgm',
  '.pbm',
  '.pnm',
  '.avif',
  '.jp2',
  '.j2k',
)
ALLOWED = 'train/CLASS/FILE and test/CLASS/FILE, or CLASS/FILE'


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the classes of each split are.

  Attributes:
    bases: of 'train' and, if there is one, 'test': the folders whose folders
      are the classes; '' is the folder itself.
  """

  bases: Mapping[str, tuple[str, ...]]

  def class_of(self, path: str, bases: Iterable[str]) -> str:
    """The class folder of a path below one of some bases; '' if none is."""
    for base in bases:
      start = f'{base}/' if base else ''
      if path.startswith(start) and '/' in path[len(start) :]:
        return path[len(start) :].split('/')[0]
    return ''

  def class_by_path(self, paths: Mapping[str, list[str]]) -> dict[str, str]:
    """The class folder of all paths of the splits."""
    return {
      path: self.class_of(path, self.bases[split_name])
      for split_name, split_paths in paths.items()
      for path in split_paths
    }


def split_kind(name: str) -> str:
  """'train', 'test' or 'validation' where a folder is named like it, or ''.

  Case, numbers and what stands before or behind do not matter: seg_train,
  Train2, test-images, VALIDATION.
  """
  words = _words(name)
  ends = {*words[:1], *words[-1:]} & {*splitting.SPLIT_WORDS}
  kinds = {*map(splitting.canonical_split, ends)}
  return kinds.pop() if len(kinds) == 1 else ''


def _words(name: str) -> list[str]:
  # 'TrainImages' is two words, like 'train_images'.
  spaced = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name)
  return [word.lower() for word in re.split(r'[\W\d_]+', spaced) if word]


def folders_of(paths: Iterable[str]) -> set[str]:
  """All folders above some paths."""
  folders: set[str] = set()
  for path in paths:
    folder = path.rpartition('/')[0]
    while folder and folder not in folders:
      folders.add(folder)
      folder = folder.rpartition('/')[0]
  return folders


def class_folders(paths: Sequence[str], names: Sequence[str]) -> list[str]:
  """The folder of the class of each image, such as 'train/cat'.

  Args:
    paths: ids of an image folder.
    names: the class of each.
  """
  parts = [path.split('/')[:-1] for path in paths]
  common = [
    depth
    for depth in range(min(map(len, parts), default=0))
    if all(found[depth] == name for found, name in zip(parts, names))
  ]
  # Splits at different depths have no depth in common.
  return [
    '/'.join(found[: (common[0] if common else found.index(name)) + 1])
    for found, name in zip(parts, names)
  ]


def find(
  files: Sequence[str], settings: DatasetSettings, source: str
) -> Layout:
  """Finds the layout of a tree of images.

  Args:
    files: relative paths of all images.
    settings: `config.dataset`; uses `train_splits` and `test_split`.
    source: the folder, for messages.

  Raises:
    ConfigError: for a split that is asked for and not there.
    DataDietError: if it is not clear which folders are splits or classes.
  """
  depths: dict[str, set[int]] = defaultdict(set)
  for path in files:
    depths[path.split('/')[0]].add(path.count('/'))
  tops = sorted(name for name, found in depths.items() if max(found) > 0)
  # Folders of folders with images can be splits, others cannot.
  holders = [name for name in tops if max(depths[name]) > 1]
  kinds = {name: kind for name in holders if (kind := split_kind(name))}
  chosen = {*settings.train_splits}
  if (
    chosen
    and chosen <= {*holders}
    or _are_splits(kinds, tops, bool(chosen), source)
  ):
    # 'diesel_train' with images, beside 'steam_train' with folders, is no split
    # and means that neither may be.
    rivals = [name for name in tops if split_kind(name) == 'train']
    kinds |= dict.fromkeys(rivals, 'train')
    return _split_layout(files, holders, kinds, settings, source)
  # 'steam_train' beside 'diesel_train' are classes.
  if tops and all(split_kind(name) and len(_words(name)) == 1 for name in tops):
    raise DataDietError(
      f'{source} holds the folders {", ".join(tops)}, which by their names are '
      f'splits, not classes; allowed: {ALLOWED}'
    )
  for name in ('train_splits', 'test_split'):
    if value := getattr(settings, name):
      raise ConfigError(
        f'config.dataset.{name}: {value!r} is not allowed, as '
        f'{source} has no folder train with a folder for each class'
      )
  if not tops:
    raise DataDietError(
      f'{source} holds {counted(len(files), "image")} and no folder of a '
      f'class; allowed: {ALLOWED}'
    )
  return Layout({'train': ('',)})


def _are_splits(
  kinds: Mapping[str, str], tops: Sequence[str], are_chosen: bool, source: str
) -> bool:
  """Whether folders named like splits are splits, not classes."""
  if 'train' not in kinds.values():
    return False
  others = [name for name in tops if not split_kind(name)]
  if others and len({*kinds.values()}) == 1 and not are_chosen:
    train = next(iter(kinds))
    raise DataDietError(
      f'{source} holds {train}, with folders of images as a split has, beside '
      f'{checks.listed(others)}; if it is a split, set '
      f'config.dataset.train_splits={train}; if it is a class, put its images '
      f'into {train} itself'
    )
  return True


def _split_layout(
  files: Sequence[str],
  holders: Sequence[str],
  kinds: Mapping[str, str],
  settings: DatasetSettings,
  source: str,
) -> Layout:
  train, test = splitting.choose_splits(
    holders,
    settings.train_splits or (_only(kinds, 'train', source),),
    settings.test_split,
    source,
  )
  if not settings.test_split:
    left = {name: kinds.get(name, '') for name in holders if name not in train}
    found = [kind for kind in ('test', 'validation') if kind in left.values()]
    test = _only(left, found[0], source) if found else None
  bases = {'train': tuple(_classes_below(files, name) for name in train)}
  if test is not None:
    bases['test'] = (_classes_below(files, test),)
  return Layout(bases)


def _only(kinds: Mapping[str, str], kind: str, source: str) -> str:
  """The one folder of a kind; of several the one with the plain name.

  Raises:
    DataDietError: if that is not clear.
  """
  names = sorted(name for name, found in kinds.items() if found == kind)
  plain = [name for name in names if splitting.canonical_split(name) == kind]
  if len(names) > 1 and len(plain) != 1:
    setting = 'train_splits' if kind == 'train' else 'test_split'
    raise DataDietError(
      f'{source} has several folders named like a {kind} split: '
      f'{", ".join(names)}; choose by config.dataset.{setting}'
    )
  if len(names) > 1:
    logging.info(
      '%s: of %s the split is %s', source, checks.listed(names), plain[0]
    )
  return plain[0] if len(plain) == 1 else names[0]


def _classes_below(files: Sequence[str], split: str) -> str:
  """The folder of a split's classes: itself, or one in it of its name."""
  base = split
  while True:
    inside = {path[len(base) + 1 :] for path in files if is_in(path, base)}
    first = {path.split('/')[0] for path in inside}
    (only, *more) = sorted(first)
    same = only.lower() == base.rpartition('/')[2].lower()
    again = same or split_kind(only) == split_kind(split) != ''
    deep = all(path.count('/') > 1 for path in inside)
    if more or not again or not deep:
      return base
    base = f'{base}/{only}'


def is_in(path: str, folder: str) -> bool:
  """Whether a path lies below a folder."""
  return path.startswith(f'{folder}/')
