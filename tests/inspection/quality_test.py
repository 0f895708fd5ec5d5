"""Tests that planted faults are told from photographs: AUROC at least 0.95."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.metrics import roc_auc_score

from datadiet.inspection import quality
from datadiet.inspection.pixels import grey_levels, read_facts
from tests.inspection.duplicates_test import photographs

NUM_PLANTED = 4


def _blurred(images):
  blur = ImageFilter.GaussianBlur(2)
  return np.stack(
    [np.asarray(Image.fromarray(one).filter(blur)) for one in images]
  )


def _framed(images):
  images = images.copy()
  images[:, :6] = images[:, -6:] = 0
  return images


FAULTS = {
  'dark': lambda images: (images * 0.2).astype(np.uint8),
  'bright': lambda images: (255 - (255 - images) * 0.2).astype(np.uint8),
  'blurry': _blurred,
  'low_information': lambda images: (images // 64 + 100).astype(np.uint8),
  'grey': lambda images: np.repeat(
    np.rint(grey_levels(images)).astype(np.uint8)[..., None], 3, -1
  ),
  'border': _framed,
}


@pytest.fixture(scope='module')
def clean():
  """Photographs without those that are faulty as they are."""
  images = photographs(140)
  properties = read_facts(images).properties
  return images[(properties['contrast'] > 20) & (properties['chroma'] > 5)]


@pytest.mark.parametrize('fault', FAULTS)
def test_planted_faults_are_told(clean, fault):
  bad = FAULTS[fault](clean[:NUM_PLANTED])
  images = np.concatenate([clean, bad])
  values = quality.measures(read_facts(images).properties)[fault]
  is_bad = np.arange(len(images)) >= len(clean)
  assert values.dtype == np.float32
  assert ((values >= 0) & (values <= 1)).all()
  assert roc_auc_score(is_bad, values) >= 0.95


def test_few_photographs_are_flagged(clean):
  found = quality.measures(read_facts(clean).properties)
  for name, values in found.items():
    assert (values > quality.FLAGGED).mean() <= 0.02, name


def test_odd_sizes_and_ratios_are_told():
  rng = np.random.default_rng(0)
  sizes = np.stack([rng.integers(300, 600, 200)] * 2, 1)
  sizes[:, 1] = sizes[:, 0] * rng.uniform(0.6, 1.6, 200)
  sizes[:3] = [[40, 50], [5000, 4000], [30, 30]]
  sizes[3:5] = [[2000, 200], [100, 900]]
  properties = read_facts(photographs(10)).properties
  found = quality.measures(properties, sizes)
  flagged = {
    name: np.flatnonzero(found[name] > quality.FLAGGED).tolist()
    for name in ('odd_size', 'odd_aspect_ratio')
  }
  assert flagged == {'odd_size': [0, 1, 2], 'odd_aspect_ratio': [3, 4]}


def test_what_many_images_are_is_no_fault(clean):
  dark = FAULTS['dark'](clean)
  images = np.concatenate([clean, dark[: len(clean) // 2]])
  values = quality.measures(read_facts(images).properties)['dark']
  assert not (values > quality.FLAGGED).any()
