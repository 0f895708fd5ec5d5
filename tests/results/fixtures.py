"""Fixtures: invented data and a finished workdir of them."""

import pytest

from tests.results import synthetic


@pytest.fixture(scope='session')
def dataset():
  """120 small colour images of 3 classes."""
  return synthetic.make_images()


@pytest.fixture
def workdir(tmp_path, dataset):
  """A finished workdir of `dataset`."""
  return synthetic.make_workdir(tmp_path / 'workdir', dataset)
