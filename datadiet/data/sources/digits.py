"""scikit-learn's handwritten digits: 1,797 grey images of 8x8, embedded."""

import numpy as np

from datadiet.data.dataset import Dataset, Split, make_dataset
from datadiet.data.settings import DatasetSettings
from datadiet.runtime import extras


def load_digits(settings: DatasetSettings) -> Dataset:
  """Digits with a fixed, stratified split of 1,437 train and 360 test examples.

  Canonical order: that of scikit-learn's array. `settings` is not used: the
  data comes with the library.
  """
  del settings
  extras.require('config.dataset.name: digits', 'sklearn')
  from sklearn import datasets, model_selection

  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
  labels = digits.target.astype(np.int32)
  ids = np.array([f'digits_{i}' for i in range(len(labels))])
  train_index, test_index = model_selection.train_test_split(
    np.arange(len(labels)), test_size=360, stratify=labels, random_state=0
  )
  train, test = (
    Split(images[index], labels[index], ids[index])
    for index in (np.sort(train_index), np.sort(test_index))
  )
  return make_dataset('digits', train, test, tuple(map(str, range(10))))
