"""Properties that tell the label, and differences that tell the splits."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

# Values of a number that count as one, by quantiles, and folds of the test.
_NUM_BINS, _NUM_FOLDS = 20, 5
# A property is a shortcut that brings accuracy this far from chance to 1.
SHORTCUT_ABOVE = 0.25
# Images of each split that are told apart, and below which chance a drift is.
_NUM_COMPARED, DRIFT_BELOW = 4000, 0.001
# The accuracy of telling splits apart from which on it matters: with enough
# images the smallest difference is no chance.
DRIFT_ABOVE = 0.55


def shortcuts(
  properties: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, float]:
  """How well each property predicts the label, 0 (chance) to 1, the best first.

  The mean accuracy by class of always saying the most usual class of examples
  with that value, on examples that this was not counted on, over chance: as
  `1 - score` of cleanlab's search for spurious correlations.

  Args:
    properties: name -> numbers or texts, [N] each.
    labels: int[N].
  """
  found = {
    name: _predicts(_codes(values), labels)
    for name, values in properties.items()
  }
  return dict(sorted(found.items(), key=lambda item: -item[1]))


def _codes(values: np.ndarray) -> np.ndarray:
  """A small number for each value, alike ones the same: int64[N]."""
  distinct, codes = np.unique(values, return_inverse=True)
  if values.dtype.kind not in 'fiub' or len(distinct) <= _NUM_BINS:
    return codes
  ends = np.quantile(values, np.linspace(0, 1, _NUM_BINS + 1)[1:-1])
  return np.searchsorted(np.unique(ends), values, side='right')


def _predicts(codes: np.ndarray, labels: np.ndarray) -> float:
  present, classes = np.unique(labels, return_inverse=True)
  num_classes = len(present)
  fold = np.random.default_rng(0).permutation(len(labels)) % _NUM_FOLDS
  weights = 1 / np.bincount(classes)  # Else the largest class would win all.
  is_right = np.zeros(len(labels), bool)
  for number in range(_NUM_FOLDS):
    counted = fold != number
    table = np.zeros((codes.max() + 1, num_classes))
    np.add.at(
      table, (codes[counted], classes[counted]), weights[classes[counted]]
    )
    # What was not seen is said to be no class: -1.
    said = np.where(table.any(1), table.argmax(1), -1)
    is_right[~counted] = said[codes[~counted]] == classes[~counted]
  by_class = np.bincount(classes, is_right) / np.bincount(classes)
  chance = 1 / num_classes
  return float(max(0.0, (by_class.mean() - chance) / (1 - chance)))


def name_properties(
  ids: Iterable[str], class_names: Sequence[str]
) -> dict[str, np.ndarray]:
  """What ids tell of where examples are from: name -> str[N].

  The folder, less a folder of the class's name, and what the file's name begins
  with, up to its first digit; those of a single value are left out, and those
  that are mostly different for each example.

  Args:
    ids: names such as 'train/cat/camera1_003.png'.
    class_names: of the classes.
  """
  names = {name.lower() for name in class_names}
  folders, beginnings = [], []
  for one in ids:
    *parts, file = str(one).split('/')
    folders.append('/'.join(p for p in parts if p.lower() not in names))
    match = re.match(r'[^\d.]*', file)
    beginning = match[0].strip('_- ') if match else ''
    beginnings.append('' if beginning.lower() in names else beginning)
  found = {'source folder': folders, 'file name': beginnings}
  return {
    name: np.array(values)
    for name, values in found.items()
    if 1 < len({*values}) <= max(2, len(values) // 10)
  }


def drift(train: np.ndarray, test: np.ndarray) -> tuple[float, float]:
  """Whether a classifier tells two sets apart: its accuracy and p-value.

  The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545):
  equally many of both, trained on one half and tried on the other; if they are
  alike, the accuracy is that of a coin.

  Args:
    train: float[N, d].
    test: float[M, d], of the same columns.
  """
  # Imported here: it takes a second.
  import threadpoolctl
  from sklearn.ensemble import HistGradientBoostingClassifier

  num = min(len(train), len(test), _NUM_COMPARED)
  if num < 20:
    return 0.5, 1.0
  rng = np.random.default_rng(0)
  rows = np.concatenate(
    [part[rng.choice(len(part), num, replace=False)] for part in (train, test)]
  )
  is_test = np.repeat([0, 1], num)
  shuffled = rng.permutation(2 * num)
  fitted, tried = shuffled[:num], shuffled[num:]
  model = HistGradientBoostingClassifier(
    max_iter=50, max_leaf_nodes=8, random_state=0
  )
  # Threads take turns at so little work, and wait for each other for long.
  with threadpoolctl.threadpool_limits(limits=1):
    model.fit(rows[fitted], is_test[fitted])
    right = int((model.predict(rows[tried]) == is_test[tried]).sum())
  p_value = stats.binomtest(
    right, len(tried), 0.5, alternative='greater'
  ).pvalue
  return right / len(tried), float(p_value)
