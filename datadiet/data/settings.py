"""The settings of the data: `config.dataset`."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from datadiet.data.label_arrays import ORDERS
from datadiet.data.label_columns import READINGS
from datadiet.data.labels import LabelNoiseSettings
from datadiet.decoders.images import RESIZES
from datadiet.settings import Check, checks, section, setting

STREAM = 'stream'
PLACEMENTS = ('auto', 'device', 'host', STREAM)

# Mean and deviation of pixels in [0, 1], for each of red, green and blue.
NORMALISATIONS = {
  'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
  'half': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}

_BACKGROUND = Check(
  lambda value: (
    isinstance(value, str)
    and bool(re.fullmatch('white|black|#[0-9a-fA-F]{6}', value))
  ),
  "'white', 'black' or a colour as '#rrggbb'",
  ('white', 'black'),
)


def _are_named_paths(value: Any) -> bool:
  if hasattr(value, 'to_dict'):  # A ConfigDict, which is no Mapping.
    value = value.to_dict()
  return isinstance(value, Mapping) and all(
    bool(re.fullmatch(r'[A-Za-z]\w*', name))
    and isinstance(path, str)
    and bool(path)
    for name, path in value.items()
  )


_EXTRA_TESTS = Check(
  _are_named_paths,
  'paths by name, each name a letter, then letters, digits and _',
)


@dataclasses.dataclass(frozen=True)
class DatasetSettings:
  """Which data, where it lies, and how it is read."""

  name: str = setting(
    'cifar10',
    checks.name,
    'A source: digits, cifar10, cifar100, cinic10, image_folder, imagenet, '
    'arrays, hugging_face, one of a plugin, or the name of a set of '
    'TensorFlow Datasets.',
  )
  data_dir: str = setting(
    '',
    checks.text,
    "Where the source lies; '' for the library's own folder and a download.",
    free=True,
  )
  cache_dir: str = setting(
    '',
    checks.text,
    "Where decoded arrays are kept; '' for ~/.cache/datadiet, 'none' for "
    'nowhere.',
    free=True,
  )
  label_key: str = setting(
    '',
    checks.text,
    "The feature that holds the label; '' for the usual one.",
  )
  id_key: str = setting(
    '',
    checks.text,
    "The feature that holds the ids; '' for 'id' where there is one, 'none' to "
    'number the examples.',
  )
  image_size: int = setting(
    0,
    checks.integer(0, words='an integer of pixels, 0 to leave images'),
    'Images are resized to this height and width; 0 to leave them.',
  )
  resize: str = setting(
    'squash',
    checks.one_of(RESIZES),
    "How files become squares of image_size: 'squash' changes their shape; "
    "'shorter_side' resizes that and cuts the middle out; 'none' cuts the "
    'middle out as it is.',
  )
  crop_size: int = setting(
    0,
    checks.integer(0, words='an integer of pixels, 0 for whole images'),
    'Networks see a square of so many pixels: the middle in tests and scores, '
    'in training what train.augmentation cuts out; 0 for whole images.',
  )
  normalise: str = setting(
    'auto',
    checks.one_of(('auto', 'data', *NORMALISATIONS)),
    "Mean and deviation of pixels: of the 'data', or what a pretrained network "
    "was trained with, 'imagenet' or 'half' (from -1 to 1); 'auto' as "
    'model.weights were, else of the data.',
  )
  extra_tests: Mapping[str, str] = setting(
    {},
    _EXTRA_TESTS,
    'Further test splits, whose accuracies are reported too, such as '
    '--config.dataset.extra_tests.fog=CIFAR-10-C/fog.npy: a .npy of images '
    'with labels.npy beside it, or a folder of class folders.',
    free=True,
  )
  placement: str = setting(
    'auto',
    checks.one_of(PLACEMENTS),
    "Pixels on the 'device' or the 'host', or a 'stream' of encoded images, "
    "decoded when they are needed; 'auto' by size and memory.",
    free=True,
  )
  train_splits: tuple[str, ...] = setting(
    (),
    checks.each(checks.name),
    "The source's splits that make up train; () for the usual ones.",
  )
  test_split: str = setting(
    '',
    checks.text,
    "The source's split to test on; '' for test, validation, valid or val.",
  )
  test_fraction: float = setting(
    0.2,
    checks.number(0.001, 0.999),
    'Share of each class that becomes the test split of a source without one.',
  )
  skip_unreadable: bool = setting(
    False,
    checks.boolean,
    'Leave out images that cannot be read, and list them, instead of stopping.',
  )
  background: str = setting(
    'white',
    _BACKGROUND,
    "What transparent images are laid on: 'white', 'black' or '#rrggbb'.",
  )
  labels_path: str = setting(
    '',
    checks.text,
    'Other train labels: a table (.csv, .parquet) with id and label, or an '
    'array (.npy, .npz, .pt) in order; PATH:NAME for one of its columns or '
    'arrays.',
    free=True,
    path=True,
  )
  labels_are: str = setting(
    '',
    checks.one_of(READINGS),
    "Whether they are 'names' or 'numbers' of classes; '' where that is plain.",
    free=True,
  )
  labels_order: str = setting(
    '',
    checks.one_of(ORDERS),
    "The order of an array: 'index' for example_index, 'ids' for the numbers "
    "in ids (for CIFAR, torchvision's order); '' where that is plain.",
    free=True,
  )
  label_noise: LabelNoiseSettings = section(LabelNoiseSettings)
