"""Workdirs with selections of small sets of several kinds, to be exported."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.exporting import open_subset
from datadiet.settings import to_values
from datadiet.workdir import artifacts
from tests.data import formats
from tests.results import synthetic

STEP = 60


@pytest.fixture
def make_subset(tmp_path):
  """(settings, every=3) -> Subset of a new workdir, selection 'some'."""

  def make(settings, every=3, root='workdir'):
    dataset = load_dataset(settings)
    workdir = artifacts.Workdir.at(tmp_path / root)
    config = {'dataset': to_values(settings)}
    artifacts.write_json(workdir.config, {'config': config})
    artifacts.write_json(workdir.dataset, dataset.description())
    synthetic.write_scores(workdir, dataset, STEP)
    num_examples = dataset.train.num_examples
    subset = np.arange(1, num_examples, every)
    synthetic.write_selection(workdir, dataset, 'some', subset)
    synthetic.write_random(workdir, dataset, len(subset))
    return open_subset(workdir, 'some')

  return make


@pytest.fixture
def cifar(tmp_path, make_subset):
  """Some of a small CIFAR-10 in the folder data/."""
  contents, _, _ = formats.cifar10_files()
  for name, content in contents.items():
    formats.write(tmp_path / 'data' / name, content)
  return make_subset(formats.settings('cifar10', tmp_path / 'data'))


@pytest.fixture
def folder(tmp_path, make_subset):
  """Some of an image folder whose paths sort otherwise than its classes."""
  counts = {
    f'{split}/{name}': 5
    for split in ('train', 'test')
    for name in ('cat', 'cat-2', 'dog')
  }
  formats.write_image_folder(tmp_path / 'photos', counts)
  return make_subset(formats.settings('image_folder', tmp_path / 'photos'))


@pytest.fixture
def digits(make_subset):
  """Some of scikit-learn's digits."""
  return make_subset(formats.settings('digits', ''), every=40)
