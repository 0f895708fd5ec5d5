"""Tests that planted duplicates are found, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from datadiet.data.sources.digits import load_digits
from datadiet.inspection import duplicates
from datadiet.inspection.duplicates import best_copies, find_pairs, groups_of
from datadiet.inspection.pixels import read_facts
from datadiet.inspection.registration import detail


@pytest.fixture(scope='module')
def digits():
  return load_digits(None)


def _find(train, test, embeddings=None):
  facts = read_facts(np.concatenate([train, test]))
  return find_pairs(facts, len(train), embeddings)


def _with(images, changes):
  images = images.copy()
  for index, image in changes.items():
    images[index] = image
  return images


def _pairs(found, num_train, in_train=True):
  chosen = (found.second < num_train) == in_train
  return set(zip(found.first[chosen], found.second[chosen], strict=True))


def test_there_are_none_among_the_digits(digits):
  found = _find(digits.train.images, digits.test.images)
  assert not len(found.first) and found.threshold > 0


def test_planted_copies_are_all_found(digits):
  images = digits.train.images[:900]
  sources = np.random.default_rng(0).choice(700, 40, replace=False)
  copies = {800 + n: images[source] for n, source in enumerate(sources)}
  found = _find(_with(images, copies), digits.test.images[:50])
  expected = {(source, 800 + n) for n, source in enumerate(sources)}
  assert _pairs(found, 900) == expected and not found.distance.any()
  assert (found.found_by == duplicates.EXACT).all()


@pytest.mark.parametrize('strength', [0, 3])
def test_copies_of_half_of_the_images_are_found(digits, strength):
  images = digits.train.images[:600]
  rng = np.random.default_rng(0)
  copies = {}
  for source in range(300):
    noise = rng.normal(0, strength, images[source].shape)
    copy = np.clip(images[source] + noise, 0, 255).astype(np.uint8)
    copies[300 + source] = copy
  found = _find(_with(images, copies), digits.test.images[:50])
  assert _pairs(found, 600) == {(n, 300 + n) for n in range(300)}


def test_test_images_in_the_train_split_are_found(digits):
  leaked = {5: digits.test.images[17], 400: digits.test.images[3]}
  found = _find(_with(digits.train.images[:500], leaked), digits.test.images)
  assert _pairs(found, 500, in_train=False) == {(5, 517), (400, 503)}


def test_many_copies_of_one_image_are_all_found(digits):
  images = digits.train.images[:500]
  copies = {index: images[3] for index in range(100, 130)}
  found = _find(_with(images, copies), digits.test.images[:50])
  assert set(found.second) == {*range(100, 130)} and set(found.first) == {3}


def test_flat_images_are_compared_exactly_only():
  images = np.random.default_rng(0).integers(0, 255, (50, 9, 7, 1))
  images[10], images[20], images[30] = 40, 40, 90
  images = images.astype(np.uint8)
  found = _find(images, 255 - images[:1])
  assert _pairs(found, 50) == {(10, 20)}


def photographs(num, seed=0):
  """Crops of scikit-learn's two photographs, uint8[num, 32, 32, 3].

  No two overlap by more than a few pixels.
  """
  from sklearn import datasets

  cells = [
    np.asarray(
      Image.fromarray(photo[top : top + 64, left : left + 64]).resize((32, 32))
    )
    for photo in datasets.load_sample_images().images
    for top in range(0, photo.shape[0] - 63, 64)
    for left in range(0, photo.shape[1] - 63, 64)
  ]
  rng = np.random.default_rng(seed)
  return np.stack(cells)[rng.permutation(len(cells))[:num]]


def _changed(image, kind, rng):
  """A copy of an image that went its own way: a PIL image of 32 by 32."""
  image = Image.fromarray(image)
  if kind == 'crop':
    left, top = rng.integers(0, 5, 2)
    return image.crop((left, top, left + 28, top + 28)).resize((32, 32))
  if kind == 'jpeg':
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=50)
    return Image.open(file)
  if kind == 'flip':
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  return ImageEnhance.Brightness(image).enhance(rng.choice([0.6, 1.25]))


@pytest.mark.parametrize('kind', ['crop', 'jpeg', 'flip', 'brightness'])
def test_changed_copies_are_found_and_nothing_else(kind):
  images = photographs(120)
  rng = np.random.default_rng(1)
  # Of a clear sky nothing is left to be compared by.
  has_detail = detail(read_facts(images).grey).std((1, 2)) > 8
  sources = np.flatnonzero(has_detail)[:25]
  assert len(sources) == 25
  copies = np.stack(
    [np.asarray(_changed(images[one], kind, rng)) for one in sources]
  )
  num_train = len(images)
  found = _find(images, copies)
  truth = {(one, num_train + n) for n, one in enumerate(sources)}
  leaks = _pairs(found, num_train, in_train=False)
  assert len(leaks & truth) >= 0.95 * len(truth)
  assert len(leaks & truth) >= 0.95 * len(leaks)
  # The tiles of one roof look alike with or without copies.
  before = _find(images, images[:1] // 2 + 9)
  assert _pairs(found, num_train) <= _pairs(before, num_train)


def test_embeddings_alone_make_no_pair(digits):
  """All embeddings are the same: only pixels can say what a copy is."""
  embeddings = np.random.default_rng(0).normal(size=(500, 4))
  embeddings[:250] = embeddings[0]
  found = _find(
    digits.train.images[:500],
    digits.test.images[:50],
    embeddings.astype(np.float32),
  )
  assert not len(found.first)


def test_groups_are_of_all_that_hang_together():
  group = groups_of([0, 5, 2, 9], [2, 6, 3, 4])
  assert group.tolist() == [0, 1, 0, 2]
  assert groups_of([], []).shape == (0,)


def test_the_best_copy_is_kept():
  members, group = np.arange(8), np.array([0, 0, 0, 1, 1, 2, 2, 2])
  sharpness = np.array([0.1, 0.9, 0.5, 0.2, 0.2, 0.9, 0.1, 0.1])
  agreement = np.array([0.9, 0.1, 0.9, 0.9, 0.9, 0.9])

  def kept(**more):
    found = best_copies(members, group, 6, sharpness, **more)
    return np.flatnonzero(found).tolist()

  # Of a group with test images these stay, and nothing else.
  assert kept() == [1, 3, 6, 7]
  assert kept(agreement=agreement) == [2, 3, 6, 7]
  # Before that counts whether it is trained on.
  used = np.array([1, 1, 0, 0, 0, 1], bool)
  assert kept(agreement=agreement, is_used=used) == [0, 3, 6, 7]
  area = np.array([9.0, 1, 1, 1, 9, 1, 0, 0])
  assert kept(agreement=agreement, area=area) == [0, 4, 6, 7]
