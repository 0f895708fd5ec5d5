"""ImageNet's class folders with synset names, and `val/` as it comes.

Russakovsky et al. 2015, arXiv 1409.0575. The validation images come in one
folder; their classes are in a file beside it, of which there are several.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping

from etils import epath

from datadiet.data.checks import listed
from datadiet.data.dataset import Allocate, Dataset, in_memory
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import folder_classes, image_folder
from datadiet.errors import ConfigError, DataDietError

# Below data_dir: as extracted by hand, and as Kaggle's archive has it.
_ROOTS = ('', 'ILSVRC/Data/CLS-LOC', 'ILSVRC2012', 'imagenet')
_DEVKIT = 'ILSVRC2012_devkit_t12/data'
_META = 'meta.mat'
# Where the files of labels and of class names may lie, below data_dir.
_BESIDE = ('', 'val', _DEVKIT, 'data', 'ILSVRC2012', 'imagenet')


def find_imagenet(settings: DatasetSettings) -> epath.Path:
  """The folder `data_dir`, which holds the images and files about them.

  Raises:
    ConfigError: if it has no train/ and val/.
  """
  above = image_folder.require_folder(settings.data_dir, 'imagenet')
  _root(above)
  return above


def _root(above: epath.Path) -> epath.Path:
  """The folder with train/ and val/."""
  for folder in (above / name for name in _ROOTS):
    if (folder / 'train').is_dir() and (folder / 'val').is_dir():
      return folder
  raise ConfigError(
    f'config.dataset.data_dir: {above} holds no train/ and val/; allowed: a '
    "folder with train/<synset>/*.JPEG and val/, or one with Kaggle's ILSVRC/"
  )


def load_imagenet(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads train/<synset>/ and val/, of class folders or flat.

  Labels number the synsets in ascending order, as everywhere. Ids are paths
  such as 'train/n01440764/n01440764_18.JPEG', and sorted ids the canonical
  order. Classes are called by the first name of their synset where a file of
  names is at hand.

  Args:
    settings: `config.dataset`; uses `data_dir`, `image_size`, `resize`,
      `background` and `skip_unreadable`.
    allocate: for the images.

  Raises:
    DataDietError: if a class is missing in a split, a flat val/ has no labels
      or others, or an image cannot be read.
  """
  above = find_imagenet(settings)
  root = _root(above)
  paths = {
    split_name: [
      f'{folder}/{path}' for path in image_folder.list_images(root / folder)
    ]
    for split_name, folder in (('train', 'train'), ('test', 'val'))
  }
  loose = [path for path in paths['train'] if path.count('/') < 2]
  if loose:
    raise DataDietError(
      f'{root} has images in no folder of a class: {listed(loose)}; allowed: '
      'train/<synset>/*.JPEG'
    )
  synset_of = {path: path.split('/')[1] for path in paths['train']}
  in_folders = [path.count('/') > 1 for path in paths['test']]
  if all(in_folders):
    synset_of |= {path: path.split('/')[1] for path in paths['test']}
  elif any(in_folders):
    raise DataDietError(
      f'{root}/val has images in folders ({sum(in_folders)}) and beside them '
      f'({len(in_folders) - sum(in_folders)}); allowed: one or the other'
    )
  else:
    synset_of |= _flat_labels(root, above, paths['test'], {*synset_of.values()})
  synsets = tuple(sorted({synset_of[path] for path in paths['train']}))
  folder_classes.check_all_there(
    (synset_of[path] for path in paths['test']), synsets, f'{root}/val'
  )
  names = _class_names(above, synsets)
  return image_folder.load_paths(
    'imagenet',
    root,
    paths,
    {path: names.get(synset, synset) for path, synset in synset_of.items()},
    tuple(names[synset] for synset in synsets),
    settings=settings,
    allocate=allocate,
  )


def _flat_labels(
  root: epath.Path,
  above: epath.Path,
  paths: list[str],
  synsets: set[str],
) -> dict[str, str]:
  """The synset of each image of a flat val/."""
  for name, read in _LABEL_FILES.items():
    file = _beside(above, name)
    if file is None:
      continue
    stems = [_stem(path) for path in paths]
    try:
      synset_of = read(file, stems, sorted(synsets))
    except (ValueError, IndexError, KeyError) as error:
      raise DataDietError(
        f'{file} cannot be read as labels of val/: {error}'
      ) from error
    missing = [stem for stem in stems if stem not in synset_of]
    if missing:
      raise DataDietError(
        f'{file} has no label for {len(missing)} of the {len(paths)} images in '
        f'{root}/val: {listed(missing)}'
      )
    return {path: synset_of[stem] for path, stem in zip(paths, stems)}
  raise DataDietError(
    f'{root}/val has no class folders, and {above} no file that says which '
    f'class each image is of; allowed: {", ".join(_LABEL_FILES)}'
  )


def _stem(path: str) -> str:
  """A file's name without folders and ending."""
  return path.rpartition('/')[2].partition('.')[0]


def _beside(above: epath.Path, name: str) -> epath.Path | None:
  for folder in _BESIDE:
    if (above / folder / name).exists():
      return above / folder / name
  return None


def _lines(file: epath.Path) -> list[str]:
  return [line.strip() for line in file.read_text().splitlines() if line]


def _from_kaggle(file: epath.Path, stems: list[str], synsets: list[str]):
  """ImageId, and a synset before each box: 'n01751748 111 108 230 365'."""
  del stems, synsets
  rows = csv.DictReader(_lines(file))
  return {row['ImageId']: row['PredictionString'].split()[0] for row in rows}


def _in_order(
  file: epath.Path, labels: list[str], stems: list[str]
) -> dict[str, str]:
  """A label a line, in the order of the images' numbers."""
  if len(labels) != len(stems):
    raise ValueError(f'it has {len(labels)} lines for {len(stems)} images')
  return dict(zip(sorted(stems), labels))


def _from_synsets(file: epath.Path, stems: list[str], synsets: list[str]):
  """A synset a line."""
  del synsets
  return _in_order(file, _lines(file), stems)


def _from_caffe(file: epath.Path, stems: list[str], synsets: list[str]):
  """'ILSVRC2012_val_00000001.JPEG 65', by the place of the synset."""
  del stems
  rows = [line.rsplit(maxsplit=1) for line in _lines(file)]
  return {_stem(name): synsets[_number(label)] for name, label in rows}


def _number(text: str) -> int:
  number = int(text)
  if number < 0:
    raise ValueError(f'{number} is no label')
  return number


def _from_devkit(file: epath.Path, stems: list[str], synsets: list[str]):
  """A number a line, which meta.mat turns into a synset."""
  del synsets
  meta = file.parent / _META
  if not meta.exists():
    raise ValueError(f'it numbers the classes by {_META}, which is not there')
  by_number = {number: synset for number, synset, _ in _devkit_classes(meta)}
  labels = [by_number[int(line)] for line in _lines(file)]
  return _in_order(file, labels, stems)


def _devkit_classes(meta: epath.Path) -> list[tuple[int, str, str]]:
  """Number, synset and names of each class of the devkit."""
  # Imported late: few need it.
  from scipy import io

  classes = io.loadmat(os.fspath(meta), squeeze_me=True)['synsets']
  return [
    (int(one['ILSVRC2012_ID']), str(one['WNID']), str(one['words']))
    for one in classes
  ]


# Which file says what is in a flat val/, the plainest first.
_LABEL_FILES: dict[str, Callable[..., dict[str, str]]] = {
  'LOC_val_solution.csv': _from_kaggle,
  'imagenet_2012_validation_synset_labels.txt': _from_synsets,
  'val.txt': _from_caffe,
  'ILSVRC2012_validation_ground_truth.txt': _from_devkit,
}


def _glosses(above: epath.Path) -> dict[str, str]:
  """Synset -> its names, separated by commas, from the first file there is."""
  for name in ('LOC_synset_mapping.txt', 'synset_words.txt', 'words.txt'):
    if file := _beside(above, name):
      pairs = (line.split(None, 1) for line in _lines(file))
      return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
  if file := _beside(above, 'imagenet_class_index.json'):
    index: Mapping[str, list[str]] = json.loads(file.read_text())
    return {synset: name.replace('_', ' ') for synset, name in index.values()}
  if file := _beside(above, _META):
    return {synset: names for _, synset, names in _devkit_classes(file)}
  return {}


def _class_names(above: epath.Path, synsets: tuple[str, ...]) -> dict[str, str]:
  """Synset -> a name of its own: two synsets are called 'crane'."""
  glosses = _glosses(above)
  first = {s: glosses.get(s, s).split(',')[0].strip() or s for s in synsets}
  twice = {name for name, num in Counter(first.values()).items() if num > 1}
  return {
    synset: f'{name} ({synset})' if name in twice else name
    for synset, name in first.items()
  }
