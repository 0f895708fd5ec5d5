"""Checks that the folders taken for classes are unambiguous."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from absl import logging

from datadiet.data.checks import listed
from datadiet.data.sources import folder_layout
from datadiet.data.sources.folder_layout import ALLOWED, is_in, split_kind
from datadiet.errors import DataDietError

# Folders of pictures, and of what belongs to each of them.
_PICTURES = {'images', 'image', 'imgs', 'img', 'jpegimages'}
_BESIDE_PICTURES = {
  'annotations',
  'groundtruth',
  'ground_truth',
  'labels',
  'mask',
  'masks',
  'segmentation',
  'segmentations',
  'trimaps',
}
# Folders shown in a message, of each level.
_NUM_SHOWN = 4


def check_classes(
  layout: folder_layout.Layout,
  paths: Mapping[str, list[str]],
  class_names: Sequence[str],
  source: str,
) -> None:
  """Checks that the classes that were found are unambiguous.

  Args:
    layout: of `find`.
    paths: of 'train' and perhaps 'test'.
    class_names: of the train split.
    source: the folder, for messages.

  Raises:
    DataDietError: if there are fewer than two, if images lie deeper in a way
      that speaks for other classes, or if a split has not all classes.
  """
  if len(class_names) < 2:
    _refuse_one_class(layout, paths['train'], class_names[0], source)
  _check_no_masks(class_names, source)
  for split_name, bases in layout.bases.items():
    for base in bases:
      inside = [
        path[len(base) + 1 if base else 0 :]
        for path in paths[split_name]
        if not base or is_in(path, base)
      ]
      _check_depth(inside, '/'.join(filter(None, (source, base))))
  if 'test' in paths:
    class_of = layout.class_by_path(paths)
    check_all_there(
      (class_of[path] for path in paths['test']),
      class_names,
      f'{source}: the test split',
    )


def _check_no_masks(class_names: Sequence[str], source: str) -> None:
  """Refuses pictures beside their masks or annotations, taken for classes."""
  folded = {name.casefold(): name for name in class_names}
  pictures = sorted(folded[name] for name in _PICTURES & {*folded})
  beside = sorted(folded[name] for name in _BESIDE_PICTURES & {*folded})
  if pictures and beside:
    raise DataDietError(
      f'{source}: {pictures[0]}/ and {beside[0]}/ read as pictures and what '
      f'belongs to them, not as classes; allowed: {ALLOWED}'
    )


def _refuse_one_class(
  layout: folder_layout.Layout, paths: Sequence[str], name: str, source: str
) -> None:
  folder = '/'.join(filter(None, (source, layout.bases['train'][0], name)))
  is_deeper = any(path.split('/')[-2] != name for path in paths)
  raise DataDietError(
    f'{folder} is the only folder with images in {folder[: -len(name) - 1]}, '
    f'which makes one class, and two are needed; allowed: {ALLOWED}'
    + (f', such as config.dataset.data_dir={folder}' if is_deeper else '')
  )


def check_all_there(
  found: Iterable[str], class_names: Sequence[str], where: str
) -> None:
  """Checks that every class has images in a split.

  Raises:
    DataDietError: names those that have none.
  """
  missing = sorted({*class_names} - {*found})
  if missing:
    raise DataDietError(
      f'{where} has no images of the '
      f'{"class" if len(missing) == 1 else "classes"} {_some(missing)}'
    )


def _check_depth(paths: Sequence[str], source: str) -> None:
  """Refuses CLASS/FOLDER/FILE where the folders could be the classes.

  Folders in classes are taken as part of them where a class has one of its
  own, or where every image lies in one of the same name (CLASS/images/FILE).
  """
  inner: dict[str, set[str]] = defaultdict(set)
  for path in paths:
    class_name, *folders, _ = path.split('/')
    # A folder deeper down stands for those above it, too.
    inner[class_name] |= {
      '/'.join(folders[:depth])
      for depth in range(bool(folders), len(folders) + 1)
    }
  deep = {name: found - {''} for name, found in inner.items() if found - {''}}
  if not deep:
    return
  own = {
    name: {part for path in found for part in path.split('/')}
    for name, found in deep.items()
  }
  clashes = any(found & ({*inner} - {name}) for name, found in own.items())
  counts = Counter(path for found in deep.values() for path in found)
  is_one_more_level = (
    len({frozenset(found) for found in inner.values()}) == 1
    and _is_chain(inner[next(iter(inner))])
    and not any(split_kind(name) for found in own.values() for name in found)
  )
  are_several = any(
    '' not in inner[name] and len({path.split('/')[0] for path in found}) > 1
    for name, found in deep.items()
  )
  if is_one_more_level and not clashes:
    return
  if clashes or are_several or max(counts.values()) > 1:
    raise DataDietError(
      f'{source}: images lie deeper than CLASS/FILE, so that it is not clear '
      f'which folders are the classes: {_drawn(inner)}; allowed: {ALLOWED}'
    )
  logging.info(
    '%s: images in folders of %s belong to these classes', source, _some(deep)
  )


def _is_chain(folders: Collection[str]) -> bool:
  """Whether each of some folders lies in the one before."""
  ordered = sorted(folders, key=len)
  return '' not in folders and all(
    is_in(lower, upper) for upper, lower in zip(ordered, ordered[1:])
  )


def _drawn(inner: Mapping[str, set[str]]) -> str:
  """The tree that was found, in a line."""
  drawn = []
  for name in sorted(inner)[:_NUM_SHOWN]:
    below = sorted({path.split('/')[0] for path in inner[name]} - {''})
    text = f'{name}/ with {_some([f"{path}/" for path in below])}'
    drawn.append(text if below else f'{name}/ with images')
  more = len(inner) - _NUM_SHOWN
  return ', '.join(drawn) + (f' and {more} more' if more > 0 else '')


def _some(names: Iterable[str]) -> str:
  return listed(sorted(names), _NUM_SHOWN)
