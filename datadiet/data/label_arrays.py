"""Labels in arrays: .npy and .npz files, and dictionaries such as CIFAR-N's."""

import io
import re
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import pickles
from datadiet.data.dataset import Dataset
from datadiet.data.label_columns import column_labels
from datadiet.errors import ConfigError, DataDietError

# What `config.dataset.labels_order` may be.
ORDERS = ('', 'index', 'ids')
# Clean labels of a file that agree less often are those of other data.
_LEAST_AGREEMENT = 0.9


def read_arrays(where: epath.Path, content: bytes) -> dict[str, np.ndarray]:
  """The arrays of a file by name; one without a name is called ''."""
  try:
    if content.startswith(b'\x93NUMPY'):
      found = _npy(content)
    elif content.startswith(b'PK') and not pickles.is_torch_zip(content):
      with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        found = dict(archive)
    elif content[:1] == b'\x80' or content.startswith(b'PK'):
      found = pickles.load(content)
    else:
      raise ValueError('it looks like text, or is empty')
  # Each part of a damaged file makes numpy, zipfile and pickle raise others.
  except Exception as error:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise DataDietError(
      f'{where} cannot be read as arrays of labels: {reason}; save them by '
      'np.save(PATH, labels), or as a CSV with the columns id and label'
    ) from error
  if not isinstance(found, Mapping):
    found = {'': found}
  found = {str(name): np.asarray(values) for name, values in found.items()}
  return {name: array for name, array in found.items() if array.ndim}


def _npy(content: bytes) -> object:
  """An array, or the dictionary that np.save was given as CIFAR-N's were."""
  file = io.BytesIO(content)
  major, _ = np.lib.format.read_magic(file)
  read_header = (
    np.lib.format.read_array_header_1_0
    if major == 1
    else np.lib.format.read_array_header_2_0
  )
  _, _, dtype = read_header(file)
  if not dtype.hasobject:
    return np.load(io.BytesIO(content), allow_pickle=False)
  found = pickles.load(content[file.tell() :])
  return found.item() if not found.ndim else np.array(found.tolist())


def labels_by_position(
  arrays: Mapping[str, np.ndarray],
  key: str,
  dataset: Dataset,
  are: str,
  order: str,
  where: str,
) -> np.ndarray:
  """int64[num_examples]: an array's labels, brought into canonical order."""
  if not key and len(arrays) != 1:
    raise DataDietError(
      f'{where} has the arrays {", ".join(sorted(arrays)) or "none"}; say '
      'which by config.dataset.labels_path=PATH:NAME'
    )
  key = key or next(iter(arrays))
  if key not in arrays:
    raise DataDietError(
      f'{where} has no array {key!r}, it has {", ".join(sorted(arrays))}'
    )
  num = dataset.train.num_examples
  labels = arrays[key]
  if labels.size == len(labels):
    labels = labels.reshape(-1)
  if labels.shape != (num,) or labels.dtype.kind not in 'iuUSO':
    raise DataDietError(
      f'{where} must hold {num} integers or class names, one for each train '
      f'example, it has {labels.dtype} {list(labels.shape)}'
    )
  if labels.dtype.kind == 'S':
    labels = np.char.decode(labels, 'utf-8', 'replace')
  labels = column_labels(
    [str(label) for label in labels.tolist()],
    dataset.class_names,
    where,
    are,
    dataset.train.ids,
  )
  clean = {
    name: np.asarray(values).reshape(-1)
    for name, values in arrays.items()
    if 'clean' in name and np.size(values) == num
  }
  # Beside noisy_coarse_label lies clean_coarse_label, of other classes than
  # clean_label.
  own = re.sub('nois[ey]', 'clean', key)
  known = [clean[own]] if own in clean else [*clean.values()]
  return labels[_positions(labels, known, dataset, order, where)]


def _positions(
  labels: np.ndarray, clean: list, dataset: Dataset, order: str, where: str
) -> np.ndarray:
  """Where in an array each example's label is."""
  given = dataset.train.labels
  by_index, by_ids = np.arange(len(given)), numbers_in_ids(dataset.train.ids)
  if order == 'index' or by_ids is None or (by_ids == by_index).all():
    if order == 'ids' and by_ids is None:
      raise ConfigError(
        "config.dataset.labels_order: 'ids' is not allowed, as ids such as "
        f'{str(dataset.train.ids[0])!r} are not numbered from 0 to '
        f'{len(given) - 1}'
      )
    return by_index
  if order == 'ids':
    return by_ids
  orders = {'index': by_index, 'ids': by_ids}
  if clean:
    agreement = {
      name: max(float(np.mean(each[positions] == given)) for each in clean)
      for name, positions in orders.items()
    }
    best = max(agreement, key=agreement.__getitem__)
    if agreement[best] < _LEAST_AGREEMENT:
      raise DataDietError(
        f'{where}: its clean labels agree with {agreement[best]:.0%} of those '
        f'of {dataset.name}; it belongs to other data or other classes'
      )
    logging.info('%s is in the order of %s, by its clean labels', where, best)
    return orders[best]
  changed = {
    name: int((labels[positions] != given).sum())
    for name, positions in orders.items()
  }
  if 2 * changed['index'] > len(given) >= 2 * changed['ids']:
    raise DataDietError(
      f'{where} changes {changed["index"]} of {len(given)} labels in the order '
      f'of example_index, but {changed["ids"]} in that of the numbers in the '
      "ids (for CIFAR, torchvision's order); say which it has by "
      "config.dataset.labels_order='ids' or 'index'"
    )
  return by_index


def numbers_in_ids(ids: np.ndarray) -> np.ndarray | None:
  """int64[num] from ids such as 'train_16399', if they number all examples.

  Returns:
    None unless every number from 0 to num - 1 is there, after one prefix.
  """
  found = [re.fullmatch(r'(.*?)([0-9]{1,18})', name) for name in ids.tolist()]
  matches = [match for match in found if match]
  if len(matches) < len(found) or len({match[1] for match in matches}) != 1:
    return None
  numbers = np.array([int(match[2]) for match in matches], np.int64)
  if not np.array_equal(np.sort(numbers), np.arange(len(numbers))):
    return None
  return numbers
