"""Tests that torchvision gives the images and labels of exported folders."""

import dataclasses
import logging
import os

import numpy as np
import pytest

from datadiet.exporting import export_selection
from datadiet.exporting.files import write_image_folder
from tests.data import formats
from tests.exporting import in_torch

pytestmark = in_torch.needs_torchvision


def _check(subset, output, use):
  """Opens `output` as its user is told to, and compares each image."""
  given = in_torch.run(f'import os\nsubset = {use}', output.parent)
  listed = np.loadtxt(output / 'index.csv', str, delimiter=',', skiprows=1)
  position = {path: n for n, path in enumerate(listed[:, 0])}
  order = [position[os.path.relpath(p, output)] for p in given['paths']]
  assert sorted(order) == list(range(len(subset.example_index)))
  index = subset.example_index[order]
  train = subset.dataset.train
  np.testing.assert_array_equal(given['images'], train.images[index])
  np.testing.assert_array_equal(given['labels'], train.labels[index])


def _photos(tmp_path, make_subset, form='PNG', every=3, noise=0.0):
  """Some of an image folder; with every=10 none of its first class."""
  counts = {
    f'{split}/{name}': 5
    for split in ('train', 'test')
    for name in ('cat', 'cat-2', 'dog')
  }
  formats.write_image_folder(tmp_path / 'photos', counts, form)
  noisy = {'label_noise.fraction': noise, 'label_noise.kind': 'uniform'}
  settings = formats.settings('image_folder', tmp_path / 'photos', **noisy)
  return make_subset(settings, every)


@pytest.mark.parametrize('link', [False, True])
@pytest.mark.parametrize(
  'case', [{}, {'every': 10}, {'form': 'GIF'}, {'every': 10, 'noise': 0.4}]
)
def test_files_that_are_copied_or_linked(
  tmp_path, make_subset, caplog, link, case
):
  subset = _photos(tmp_path, make_subset, **case)
  root = subset.results.workdir.root
  with caplog.at_level(logging.INFO, 'absl'):
    output = export_selection(
      root, 'some', 'image_folder', tmp_path / 'out', link=link
    )
  _check(subset, output, caplog.messages[-1].removeprefix('To use it: '))


def test_gifs_of_a_subset(tmp_path, make_subset):
  subset = _photos(tmp_path, make_subset, 'GIF')
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  train, index = subset.dataset.train, subset.example_index
  np.testing.assert_array_equal(given['images'], train.images[index])
  np.testing.assert_array_equal(given['labels'], train.labels[index])


def test_classes_that_do_not_sort_by_label(cifar, tmp_path):
  """Four images, and ten classes whose names sort backwards."""
  names = tuple(reversed(cifar.dataset.class_names))
  changed = dataclasses.replace(cifar.dataset, class_names=names)
  subset = dataclasses.replace(cifar, example_index=cifar.example_index[:4])
  subset.__dict__['dataset'] = changed
  output = tmp_path / 'out'
  _check(subset, output, write_image_folder(subset, output, output))
