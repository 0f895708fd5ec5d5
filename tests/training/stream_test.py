"""Tests training on images that stay encoded: bitwise, resumed or split."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from datadiet.data.packed import PackedWriter, _contents
from datadiet.decoders.crops import Crops, crop
from datadiet.feeding.augmentation import PHOTO_CROP_FLIP
from datadiet.runtime.randomness import CROP_STREAM, generator
from datadiet.selection.infobatch import InfoBatch
from datadiet.training.trainer import Trainer
from tests.training import small_runs
from tests.training.small_runs import assert_same_outcome, outcome, train


def packed(dataset, folder, kind, options):
  """The data set with its images in packed files of a kind."""
  splits = {}
  for name in ('train', 'test'):
    split = getattr(dataset, name)
    shape = (*split.images.shape[:1], 8, 8, 3)
    writer = PackedWriter(str(folder / name), shape, options)
    for position, image in enumerate(split.images):
      content = io.BytesIO()
      Image.fromarray(image).save(content, kind)
      writer.append(position, content.getvalue())
    splits[name] = dataclasses.replace(split, images=writer.finish())
  return dataclasses.replace(dataset, **splits)


@pytest.fixture(scope='module')
def stream(tmp_path_factory):
  """The small data set, its images packed."""
  folder = tmp_path_factory.mktemp('packed')
  return packed(small_runs.small_dataset(), folder, 'PNG', (0,))


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
  """The small data set as JPEGs five times as large."""
  dataset = small_runs.small_dataset()
  large = {
    name: dataclasses.replace(
      getattr(dataset, name),
      images=getattr(dataset, name).images.repeat(5, 1).repeat(5, 2),
    )
    for name in ('train', 'test')
  }
  return packed(
    dataclasses.replace(dataset, **large),
    tmp_path_factory.mktemp('photographs'),
    'JPEG',
    (8, 'white', 'shorter_side'),
  )


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


CROPS = {'augmentation': PHOTO_CROP_FLIP, 'min_crop_area': 0.3}


@pytest.fixture(scope='module')
def cropped(tmp_path_factory, photographs):
  """What two runs on rectangles of photographs leave, each on a device."""
  folder = tmp_path_factory.mktemp('cropped')
  train(folder, (0, 1), slots=2, devices=2, dataset=photographs, **CROPS)
  return [outcome(folder / name, **CROPS) for name in ('run_00', 'run_01')]


def test_crops_of_photographs_vary_the_training(cropped, expected):
  """Otherwise the tests below would hold for nothing."""
  names = [name for name in cropped[0] if 'kernel' in name and 'step' in name]
  assert names
  for name in names:
    same = cropped[0][name] == expected[0][name]
    assert same == name.startswith('step 0')
    assert same or cropped[0][name] != cropped[1][name]


@pytest.mark.parametrize('step', [1, 5, 6])
def test_a_run_on_crops_stopped_in_an_epoch_goes_on_bitwise(
  tmp_path, photographs, cropped, step
):
  how = {'slots': 2, 'devices': 2, 'dataset': photographs, **CROPS}
  small_runs.train_until(tmp_path, step, runs=(0, 1), **how)
  train(tmp_path, (0, 1), **how)
  for name, one in zip(('run_00', 'run_01'), cropped):
    assert_same_outcome(tmp_path / name, one, **CROPS)


def test_crops_are_the_same_one_run_after_another(
  tmp_path, photographs, cropped
):
  train(tmp_path, (0, 1), dataset=photographs, **CROPS)
  for name, one in zip(('run_00', 'run_01'), cropped):
    assert_same_outcome(tmp_path / name, one, **CROPS)


@pytest.mark.parametrize('slots, devices', [(1, 1), (2, 4)])
def test_a_batch_holds_each_images_own_crop_on_any_mesh(
  photographs, slots, devices
):
  plan = small_runs.small_plan(
    **CROPS, steps_per_call=2, data_seed=3, model_seed=4
  )
  run_mesh = small_runs.run_mesh(slots, devices)
  trainer = Trainer(photographs, plan, run_mesh)
  jobs = small_runs.small_jobs('', range(slots), photographs, seed=3)
  blocks = trainer.index_blocks(jobs, 3)
  indices = [next(blocks) for _ in range(2)]
  feed = trainer.make_feed(indices, crops=trainer.crops(jobs, (3, 4)))
  found = run_mesh.to_host(feed['image'])
  for slot in range(slots):
    for position, step in enumerate((3, 4)):
      rng = generator(3, slot, CROP_STREAM, step)
      seeds = rng.integers(2**64, size=16, dtype=np.uint64)
      rows = indices[position][slot].tolist()
      contents = _contents(photographs.train.images.path, rows)
      for place, content in enumerate(contents):
        expected = crop(content, Crops(seeds, 8, 0.3), place)
        np.testing.assert_array_equal(found[slot, position, place], expected)


def test_epochs_that_depend_on_losses_are_cropped_too(tmp_path, photographs):
  """Their feeds are made in another way; bitwise when resumed."""
  options = {'prune_fraction': 0.5, 'full_fraction': 0.25, 'same_rate': False}
  how = {'uses_losses': True, 'epochs': InfoBatch, 'options': options, **CROPS}
  train(tmp_path / 'whole', dataset=photographs, **how)
  stopped = tmp_path / 'stopped'
  small_runs.train_until(stopped, 5, dataset=photographs, **how)
  train(stopped, dataset=photographs, **how)
  kept = outcome(tmp_path / 'whole' / 'run_00', **how)
  assert_same_outcome(stopped / 'run_00', kept, **how)
  # Not as whole images would have it.
  how['augmentation'] = 'flip'
  train(tmp_path / 'uncut', dataset=photographs, **how)
  uncut = outcome(tmp_path / 'uncut' / 'run_00', **how)
  kernel = next(name for name in kept if 'step 3' in name and 'kernel' in name)
  assert kept[kernel] != uncut[kernel]
