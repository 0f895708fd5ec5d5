"""Puts scores of the "Deep Learning on a Data Diet" code in canonical order.

    python -m tools.old_scores --scores=OLD.npy --output=NEW.npy \\
        --dataset=cifar10 [--data_dir=DATA]

That code sorted the data by class and saved scores in that order. Its sort,
numpy's quicksort of the time, is not stable, but always does the same: it is
done again here. It can be known for CIFAR-10 and CIFAR-100 as TFDS stores them,
and for CINIC-10 in that code's own X_train.npy layout; other data is refused.
"""

from collections.abc import Callable

import ml_collections
import numpy as np
from absl import app, flags
from etils import epath

from datadiet.data import load_dataset
from datadiet.data.dataset import Dataset
from datadiet.errors import ConfigError, DataDietError, report
from datadiet.workdir import artifacts

_SCORES = flags.DEFINE_string('scores', None, 'The old file, a 1-D .npy.')
_OUTPUT = flags.DEFINE_string('output', None, 'The .npy to write.')
_DATASET = flags.DEFINE_string(
  'dataset', 'cifar10', 'cifar10, cifar100 or cinic10.'
)
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'As config.dataset.data_dir.')
_SORT = flags.DEFINE_string(
  'sort',
  'quicksort',
  "The sort in use then: 'quicksort' (numpy before 1.25, or any numpy on a "
  "processor without AVX-512), or 'stable' if it was changed to that.",
)
_FRACTION = flags.DEFINE_float(
  'random_label_fraction', 0.0, 'As given to the old code.'
)
_SEED = flags.DEFINE_integer(
  'random_label_seed', 0, 'As given to the old code.'
)

# Ranges that are longer by no more than this than one are sorted by insertion.
_SMALL = 15


def quicksort_order(keys: np.ndarray) -> np.ndarray:
  """`keys.argsort()` as numpy did it before vector instructions: int64[N].

  An introsort whose pivot is the median of three, for 64-bit integers.

  Args:
    keys: int[N].

  Raises:
    DataDietError: where the depth is such that numpy went over to a heap sort.
  """
  v, order = keys.tolist(), list(range(len(keys)))
  # (left, right, how much deeper it may go); the larger part waits.
  waiting = [(0, len(order) - 1, 2 * max(len(order).bit_length() - 1, 0))]
  while waiting:
    left, right, depth = waiting.pop()
    if depth < 0:
      raise DataDietError('these labels cannot be sorted as they were then')
    while right - left > _SMALL:
      i = _partition(v, order, left, right)
      depth -= 1
      if i - left < right - i:
        waiting.append((i + 1, right, depth))
        right = i - 1
      else:
        waiting.append((left, i - 1, depth))
        left = i + 1
    _insertion_sort(v, order, left, right)
  return np.array(order, np.int64)


def _partition(v: list, order: list, left: int, right: int) -> int:
  """Splits a range around the median of three; returns where it ends up."""

  def swap(a, b):
    order[a], order[b] = order[b], order[a]

  middle = left + ((right - left) >> 1)
  if v[order[middle]] < v[order[left]]:
    swap(middle, left)
  if v[order[right]] < v[order[middle]]:
    swap(right, middle)
  if v[order[middle]] < v[order[left]]:
    swap(middle, left)
  pivot = v[order[middle]]
  i, j = left, right - 1
  swap(middle, j)
  while True:
    i += 1
    while v[order[i]] < pivot:
      i += 1
    j -= 1
    while pivot < v[order[j]]:
      j -= 1
    if i >= j:
      break
    swap(i, j)
  swap(i, right - 1)
  return i


def _insertion_sort(v: list, order: list, left: int, right: int) -> None:
  for i in range(left + 1, right + 1):
    moving, j = order[i], i
    while j > left and v[moving] < v[order[j - 1]]:
      order[j] = order[j - 1]
      j -= 1
    order[j] = moving


def _stable_order(keys: np.ndarray) -> np.ndarray:
  return np.argsort(keys, kind='stable')


SORTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'quicksort': quicksort_order,
  'stable': _stable_order,
}


def old_order(
  labels: np.ndarray,
  *,
  sort: str = 'quicksort',
  random_label_fraction: float = 0.0,
  random_label_seed: int = 0,
) -> np.ndarray:
  """The example_index of each row of an old score file: int64[N].

  Args:
    labels: int32[N], the original ones, in canonical order.
    sort: a key of `SORTS`.
    random_label_fraction: of labels that the old code permuted; it then sorted
      once more.
    random_label_seed: of that permutation.
  """
  order = SORTS[sort](labels)
  if random_label_fraction > 0:
    by_class = labels[order]
    rng = np.random.RandomState(random_label_seed)
    num_changed = int(len(labels) * random_label_fraction)
    drawn = rng.choice(len(labels), num_changed, replace=False)
    by_class[np.sort(drawn)] = by_class[drawn]
    order = order[SORTS[sort](by_class)]
  return order


def convert(scores: np.ndarray, order: np.ndarray) -> np.ndarray:
  """Old scores in canonical order: float32[N].

  Forgetting scores were infinite for examples never learned: these get the
  largest of the others plus 1, so that they rank above all and stay finite.

  Args:
    scores: float[N], in the old order.
    order: of `old_order`.

  Raises:
    DataDietError: if they are not one number an example.
  """
  if scores.shape != order.shape or scores.dtype.kind not in 'iuf':
    raise DataDietError(
      f'the scores are {scores.dtype}{list(scores.shape)}; allowed: one number '
      f'for each of {len(order)} examples'
    )
  if np.isnan(scores).any():
    raise DataDietError(f'the score in row {np.isnan(scores).argmax()} is NaN')
  scores = scores.astype(np.float64)
  never = np.isinf(scores)
  scores[never] = scores[~never].max(initial=0) + 1
  converted = np.empty(len(order), np.float32)
  converted[order] = scores
  return converted


def _check_order_is_known(dataset: Dataset, name: str) -> None:
  """Refuses data whose order then cannot be known."""
  ids = [str(one) for one in dataset.train.ids[:10]]
  if name == 'cinic10':
    is_known = '/' not in ids[0]  # Those of the official archive are paths.
  elif name in ('cifar10', 'cifar100'):
    # TFDS stores CIFAR shuffled; the official archives count up.
    numbers = [int(one.rsplit('_', 1)[1]) for one in ids]
    is_known = numbers != sorted(numbers)
  else:
    is_known = False
  if not is_known:
    raise ConfigError(
      f'--dataset: {name!r} from {_DATA_DIR.value or "TFDS"} is not allowed: '
      'the order in which the old code saw it is not known; allowed: cifar10 '
      'and cifar100 of TFDS, cinic10 in a folder with X_train.npy'
    )


def _load(name: str, data_dir: str) -> Dataset:
  from datadiet.configs import base

  config = ml_collections.ConfigDict(base.get_config().dataset.to_dict())
  config.name, config.data_dir = name, data_dir
  return load_dataset(config)


def _main(argv: list[str]) -> int:
  del argv
  try:
    for flag in (_SCORES, _OUTPUT):
      if not flag.value:
        raise ConfigError(f'--{flag.name} is missing')
    if _SORT.value not in SORTS:
      raise ConfigError(
        f'--sort: {_SORT.value!r} is not allowed; allowed: {", ".join(SORTS)}'
      )
    if not 0 <= _FRACTION.value <= 1:
      raise ConfigError(
        f'--random_label_fraction: {_FRACTION.value} is not allowed; allowed: '
        'a number in [0, 1]'
      )
    source = epath.Path(_SCORES.value).expanduser()
    output = epath.Path(_OUTPUT.value).expanduser()
    if output.exists():
      raise ConfigError(f'--output: {output} exists already')
    scores = artifacts.read_npy(source, from_user=True)
    dataset = _load(_DATASET.value, _DATA_DIR.value)
    _check_order_is_known(dataset, _DATASET.value)
    order = old_order(
      dataset.train.labels,
      sort=_SORT.value,
      random_label_fraction=_FRACTION.value,
      random_label_seed=_SEED.value,
    )
    try:
      converted = convert(scores, order)
    except DataDietError as error:
      raise DataDietError(f'{source}: {error}') from error
    artifacts.write_npy(output, converted)
  except DataDietError as error:
    return report(error)
  print(f'{output}: use it with --config.select.scores_path={output}')
  return 0


if __name__ == '__main__':
  app.run(_main)
