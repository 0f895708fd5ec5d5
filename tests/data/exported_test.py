"""Tests that the same images in another format are the same examples.

The real CIFAR-10, written to an image folder and to arrays; with
DATADIET_SLOW_TESTS=1 all of it, else the first few hundred images.
"""

import os

import jax
import numpy as np
import pytest
from PIL import Image

from datadiet import score_examples
from datadiet.data import load_dataset
from datadiet.models import make_model
from datadiet.runtime.randomness import INIT_STREAM, run_key
from datadiet.training.state import init_variables
from tests.data.formats import (
  TEST_DATA,
  needs_cifar10,
  settings,
  write_first_cifar10,
)

NUM_TRAIN, NUM_TEST = 300, 100
# Here every one of eight virtual devices holds the images in float32.
NUM_SCORED = 2000

pytestmark = needs_cifar10


@pytest.fixture(scope='module')
def original(tmp_path_factory):
  """The real CIFAR-10 of TFDS, or the first images of it."""
  folder = tmp_path_factory.mktemp('original')
  data_dir = TEST_DATA
  if 'DATADIET_SLOW_TESTS' not in os.environ:
    data_dir = folder / 'data'
    write_first_cifar10(data_dir, NUM_TRAIN, NUM_TEST)
  return load_dataset(settings('cifar10', data_dir, folder / 'cache'))


@pytest.fixture(scope='module')
def exported(original, tmp_path_factory):
  """The same images read from a folder of PNGs and from arrays."""
  folder = tmp_path_factory.mktemp('exported')
  arrays = {'class_names': np.array(original.class_names)}
  for name in ('train', 'test'):
    split = getattr(original, name)
    arrays[f'{name}_images'] = np.asarray(split.images)
    arrays[f'{name}_labels'] = split.labels
    arrays[f'{name}_ids'] = split.ids
    for image, label, own_id in zip(split.images, split.labels, split.ids):
      class_name = original.class_names[label]
      path = folder / 'images' / name / class_name / f'{own_id}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(np.asarray(image)).save(path)
  np.savez(folder / 'cifar10.npz', **arrays)
  return {
    'image_folder': load_dataset(settings('image_folder', folder / 'images')),
    'arrays': load_dataset(settings('arrays', folder / 'cifar10.npz')),
  }


def _own_id(path: str) -> str:
  """'train/cat/train_16399.png' -> 'train_16399'."""
  return path.rsplit('/', 1)[-1].removesuffix('.png')


def _order(original, split) -> np.ndarray:
  """The position in `split` of each example of `original`."""
  position = {_own_id(one): i for i, one in enumerate(split.ids.tolist())}
  return np.array([position[one] for one in original.ids.tolist()])


@pytest.mark.parametrize('source', ['image_folder', 'arrays'])
@pytest.mark.parametrize('split', ['train', 'test'])
def test_examples_and_labels_are_the_same_by_id(
  source, split, original, exported
):
  expected, found = getattr(original, split), getattr(exported[source], split)
  assert exported[source].class_names == original.class_names
  assert found.num_examples == expected.num_examples
  order = _order(expected, found)
  np.testing.assert_array_equal(found.labels[order], expected.labels)
  np.testing.assert_array_equal(
    np.asarray(found.images)[order], np.asarray(expected.images)
  )


def test_scores_are_the_same_by_id(original, exported):
  model = make_model('simple_cnn', num_classes=10, width=8)
  variables = init_variables(
    model, original.image_shape, run_key(0, 0, INIT_STREAM)
  )

  def scores(split, order):
    order = order[:NUM_SCORED]
    # Everybody's pixels through the same normalisation.
    images = np.asarray(split.images)[order]
    images = (images / 255 - original.mean) / original.std
    return score_examples(
      model,
      jax.tree.map(np.asarray, variables),
      images.astype(np.float32),
      split.labels[order],
      scores=('el2n', 'grand'),
      batch_size=256,
    )

  expected = scores(original.train, np.arange(original.train.num_examples))
  for dataset in exported.values():
    # Their own order differs, and is told apart by ids alone.
    found = scores(dataset.train, _order(original.train, dataset.train))
    for name, values in expected.items():
      np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
