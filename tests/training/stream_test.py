"""Tests training on images that stay encoded: bitwise as on others."""

import dataclasses
import io

import pytest
from PIL import Image

from datadiet.data.packed import PackedWriter
from tests.training import small_runs
from tests.training.small_runs import assert_same_outcome, outcome, train


@pytest.fixture(scope='module')
def stream(tmp_path_factory):
  """The small data set, its images packed."""
  folder = tmp_path_factory.mktemp('packed')
  dataset = small_runs.small_dataset()
  splits = {}
  for name in ('train', 'test'):
    split = getattr(dataset, name)
    writer = PackedWriter(str(folder / name), split.images.shape, (0,))
    for position, image in enumerate(split.images):
      content = io.BytesIO()
      Image.fromarray(image).save(content, 'PNG')
      writer.append(position, content.getvalue())
    splits[name] = dataclasses.replace(split, images=writer.finish())
  return dataclasses.replace(dataset, **splits)


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
  """What two runs on decoded images leave."""
  folder = tmp_path_factory.mktemp('whole')
  train(folder, (0, 1), slots=2, devices=2)
  return [outcome(folder / name) for name in ('run_00', 'run_01')]


def test_runs_are_those_on_decoded_images(tmp_path, stream, expected):
  train(tmp_path, (0, 1), slots=2, devices=2, dataset=stream)
  for name, one in zip(('run_00', 'run_01'), expected):
    assert_same_outcome(tmp_path / name, one)


@pytest.mark.parametrize('step', [1, 5, 6])
def test_a_run_stopped_in_an_epoch_goes_on_bitwise(
  tmp_path, stream, expected, step
):
  """An epoch has four steps."""
  small_runs.train_until(
    tmp_path, step, runs=(0, 1), slots=2, devices=2, dataset=stream
  )
  train(tmp_path, (0, 1), slots=2, devices=2, dataset=stream)
  for name, one in zip(('run_00', 'run_01'), expected):
    assert_same_outcome(tmp_path / name, one)
