"""Sets of TensorFlow Datasets whose images differ in size, or can be files."""

import json
import os

import numpy as np
import pytest
from PIL import ExifTags, Image

from datadiet import data
from datadiet.data import cache, identity, load_dataset
from datadiet.data.packed import PackedImages
from datadiet.data.sources import tfds
from datadiet.decoders.images import decode
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats
from tests.data.sources import tfds_test

pytest.importorskip('tensorflow_datasets')
FORMATS = ('tfrecord', 'array_record')
SIZES = [(60, 40), (40, 50), (33, 90), (48, 48), (100, 32), (40, 40)]


def _photographs(num, seed):
  """The JPEGs, and one PNG in four, of `num` pictures, and their labels."""
  rng = np.random.default_rng(seed)
  contents = []
  for number in range(num):
    coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    picture = Image.fromarray(coarse).resize(SIZES[number % len(SIZES)])
    contents.append(formats.encode(picture, 'JPEG' if number % 4 else 'PNG'))
  return contents, (np.arange(num) + seed) % 3


def _write(folder, splits, **changes):
  tfds_test.write_set(folder / 'tiny/1.0.0', splits, size=None, **changes)


def _load(folder, placement='auto', **changes):
  settings = {
    'image_size': 32,
    'resize': 'shorter_side',
    'cache_dir': os.fspath(folder / 'cache'),
    'placement': placement,
    **changes,
  }
  return load_dataset(formats.settings('tiny', folder, **settings))


@pytest.mark.parametrize('with_id', [True, False])
@pytest.mark.parametrize('file_format', FORMATS)
def test_every_placement_gives_the_pixels_of_the_own_decoder(
  tmp_path, monkeypatch, file_format, with_id
):
  # More records than are read at a time.
  splits = {'train': _photographs(70, 0), 'test': _photographs(7, 1)}
  _write(tmp_path, splits, with_id=with_id, file_format=file_format)
  placements = ('device', 'host', 'stream')
  first = {placement: _load(tmp_path, placement) for placement in placements}

  def refuse():
    raise AssertionError('the cache was not read')

  monkeypatch.setattr(tfds, 'import_tensorflow', refuse)
  second = {placement: _load(tmp_path, placement) for placement in placements}
  for placement in placements:
    for dataset in (first[placement], second[placement]):
      assert dataset.fingerprint == first['host'].fingerprint
      for name, (contents, labels) in splits.items():
        split = getattr(dataset, name)
        assert isinstance(split.images, PackedImages) == (placement == 'stream')
        pixels = [
          decode(one, 32, 'white', 'shorter_side')[0] for one in contents
        ]
        np.testing.assert_array_equal(split.images[:], pixels)
        np.testing.assert_array_equal(split.labels, labels)
        ids = [
          f'{name}_{i:05d}'
          if with_id
          else f'tiny-{name}.{file_format}-00000-of-00001__{i}'
          for i in range(len(labels))
        ]
        assert split.ids.tolist() == ids


def test_the_ids_of_array_records_are_those_that_tensorflow_makes(tmp_path):
  for file_format in FORMATS:
    _write(
      tmp_path / file_format,
      {'train': _photographs(9, 0), 'test': _photographs(3, 1)},
      with_id=False,
      file_format=file_format,
    )
  one, other = (_load(tmp_path / name).train.ids.tolist() for name in FORMATS)
  assert [name.replace('tfrecord', 'array_record') for name in one] == other


def test_grey_four_coloured_and_turned_photographs(tmp_path):
  red = np.zeros((40, 60, 3), np.uint8)
  red[:20, :, 0] = 255  # Red above, black below.
  turned = Image.Exif()
  turned[ExifTags.Base.Orientation] = 6
  contents = [
    formats.encode(red, 'JPEG'),
    formats.encode(red[..., 0], 'JPEG'),
    formats.encode(Image.fromarray(red).convert('CMYK'), 'JPEG'),
    formats.encode(red, 'JPEG', exif=turned),
  ]
  splits = {name: (contents, np.arange(4) % 3) for name in ('train', 'test')}
  _write(tmp_path, splits)
  for placement in ('host', 'stream'):
    images = _load(tmp_path, placement, resize='squash').train.images[:]
    upper, lower = images[:, :12], images[:, -12:]
    for number in (0, 2):
      assert np.abs(upper[number] - np.array([255.0, 0, 0])).max() < 8
      assert lower[number].max() < 8
    assert upper[1].min() > 247 and lower[1].max() < 8
    # Turned clockwise, what was above is on the right.
    assert images[3, :, -12:, 0].min() > 247 and images[3, :, :12].max() < 8


@pytest.mark.parametrize('file_format', FORMATS)
def test_unreadable_photographs_are_named_or_skipped(tmp_path, file_format):
  contents, labels = _photographs(12, 0)
  contents[3], contents[5] = contents[3][:200], b'no image'
  splits = {'train': (contents, labels), 'test': _photographs(6, 1)}
  _write(tmp_path, splits, file_format=file_format)
  for placement in ('host', 'stream'):
    with pytest.raises(DataDietError, match='train_00003 .*train_00005.*skip'):
      _load(tmp_path, placement)
    dataset = _load(tmp_path, placement, skip_unreadable=True)
    assert dataset.skipped == ('train_00003', 'train_00005')
    kept = [i for i in range(12) if i not in (3, 5)]
    assert dataset.train.ids.tolist() == [f'train_{i:05d}' for i in kept]
    np.testing.assert_array_equal(dataset.train.labels, labels[kept])
    pixels = [decode(contents[i], 32, mode='shorter_side')[0] for i in kept]
    np.testing.assert_array_equal(dataset.train.images[:], pixels)


@pytest.mark.parametrize('file_format', FORMATS)
def test_photographs_are_divided_or_joined(tmp_path, file_format):
  splits = {'train': _photographs(30, 0), 'extra': _photographs(9, 1)}
  _write(tmp_path, splits, with_id=False, file_format=file_format)
  content = [one for contents, _ in splits.values() for one in contents]
  labels = np.concatenate([labels for _, labels in splits.values()])
  record_of = {
    decode(one, 32, mode='shorter_side')[0].tobytes(): i
    for i, one in enumerate(content)
  }
  for placement in ('host', 'stream'):
    joined = _load(
      tmp_path,
      placement,
      train_splits=('train', 'extra'),
      test_fraction=0.25,
    )
    assert np.bincount(joined.test.labels).tolist() == [3, 3, 3]
    for split in (joined.train, joined.test):
      records = [record_of[image.tobytes()] for image in split.images]
      assert records == sorted(records)
      np.testing.assert_array_equal(split.labels, labels[records])
      numbers = [i if i < 30 else i - 30 for i in records]
      assert [int(one.rpartition('__')[2]) for one in split.ids] == numbers
    assert len({*joined.train.ids, *joined.test.ids}) == 39


@pytest.mark.parametrize('file_format', FORMATS)
def test_files_of_photographs_cut_short_are_named(tmp_path, file_format):
  splits = {'train': _photographs(12, 0), 'test': _photographs(6, 1)}
  _write(tmp_path, splits, file_format=file_format)
  path = tmp_path / f'tiny/1.0.0/tiny-train.{file_format}-00000-of-00001'
  whole = path.read_bytes()
  # A TFRecord: length, its checksum, the data, its checksum.
  first = int.from_bytes(whole[:8], 'little') + 16
  for length in (first, first + 99) if file_format == 'tfrecord' else (2000,):
    path.write_bytes(whole[:length])
    with pytest.raises(DataDietError, match=r'tiny/1\.0\.0 cannot be read: '):
      _load(tmp_path)


@pytest.mark.parametrize('size', [8, None])
@pytest.mark.parametrize('said', [5, 7])
def test_other_numbers_of_records_than_are_said(tmp_path, size, said):
  content = (formats.random_images(6, 8), np.arange(6) % 3)
  tfds_test.write_set(tmp_path / 'tiny/1.0.0', {'train': content}, size=size)
  path = tmp_path / 'tiny/1.0.0/dataset_info.json'
  info = json.loads(path.read_text())
  info['splits'][0]['shardLengths'] = [str(said)]
  path.write_text(json.dumps(info))
  message = f'tiny/1.0.0 cannot be read: .*expected to contain {said} elem.* 6'
  with pytest.raises(DataDietError, match=message) as error:
    load_dataset(formats.settings('tiny', tmp_path))
  assert '{{' not in str(error.value) and '[Op' not in str(error.value)
  # With a test split, for which labels are not read before.
  info['splits'].append({**info['splits'][0], 'name': 'test'})
  path.write_text(json.dumps(info))
  train, test = (
    path.parent / f'tiny-{name}.tfrecord-00000-of-00001'
    for name in ('train', 'test')
  )
  test.write_bytes(train.read_bytes())
  with pytest.raises(DataDietError, match=message):
    load_dataset(formats.settings('tiny', tmp_path))


def test_auto_streams_photographs_that_would_fill_the_memory(
  tmp_path, monkeypatch, caplog
):
  splits = {'train': _photographs(12, 0), 'test': _photographs(6, 1)}
  _write(tmp_path, {**splits, 'unused': _photographs(5, 2)})
  num_bytes = 18 * 32 * 32 * 3
  for memory, kind in ((num_bytes, np.ndarray), (num_bytes - 1, PackedImages)):
    monkeypatch.setattr('datadiet.data.host_memory', lambda m=memory: m)
    with caplog.at_level('INFO'):
      assert isinstance(_load(tmp_path).train.images, kind)
  assert (
    'decoded when they are needed: 18 images of 32x32 pixels' in caplog.text
  )


@pytest.mark.parametrize(
  'change, message',
  [
    ({'placement': 'stream'}, 'placement: .*one size, and are decoded by Tens'),
    ({'resize': 'none'}, 'resize: .* is not allowed with tiny'),
    ({'skip_unreadable': True}, 'skip_unreadable: .* is not allowed with tiny'),
  ],
)
def test_sets_of_one_size_are_decoded_by_tensorflow(tmp_path, change, message):
  content = (formats.random_images(6, 8), np.arange(6) % 3)
  tfds_test.write_set(
    tmp_path / 'tiny/1.0.0', {'train': content, 'test': content}
  )
  with pytest.raises(ConfigError, match=message):
    load_dataset(formats.settings('tiny', tmp_path, **change))


@pytest.mark.parametrize('file_format', FORMATS)
@pytest.mark.parametrize('size', [8, None])
def test_only_photographs_have_another_place_in_the_cache_than_before(
  tmp_path, size, file_format
):
  content = (formats.random_images(6, 8), np.arange(6) % 3)
  folder = tmp_path / 'tiny/1.0.0'
  splits = {'train': content, 'test': content}
  tfds_test.write_set(folder, splits, size=size, file_format=file_format)
  settings = formats.settings('tiny', tmp_path, tmp_path / 'cache')
  dataset = load_dataset(settings)
  np.testing.assert_array_equal(dataset.train.images, content[0])
  # What version 0.1 made the key of.
  names = 'name label_key id_key train_splits test_split test_fraction'
  what = {
    name: data._plain(getattr(settings, name))
    for name in (*names.split(), 'image_size', 'background')
  }
  what['files'] = identity.source_identity(folder)
  before = cache._folder_of('tiny', what, settings.cache_dir)
  found = [path.name for path in (tmp_path / 'cache').glob('tiny-*')]
  assert (found == [before.name]) == (size is not None)


def _describe(folder, change):
  path = folder / 'tiny/1.0.0/features.json'
  described = json.loads(path.read_text())
  change(described['featuresDict']['features'])
  path.write_text(json.dumps(described))


def test_arrays_of_differing_sizes_are_refused(tmp_path):
  _write(tmp_path, {'train': _photographs(6, 0), 'test': _photographs(6, 1)})

  def as_tensor(features):
    features['image'] = tfds_test._feature(
      'tensor_feature.Tensor',
      tensor={
        'shape': {'dimensions': ['-1', '-1', '3']},
        'dtype': 'uint8',
        'encoding': 'none',
      },
    )

  _describe(tmp_path, as_tensor)
  message = "tiny: its feature 'image' is of the kind Tensor.*allowed: Image"
  with pytest.raises(DataDietError, match=message):
    load_dataset(formats.settings('tiny', tmp_path, image_size=32))


def test_a_damaged_description_is_named(tmp_path):
  _write(tmp_path, {'train': _photographs(6, 0), 'test': _photographs(6, 1)})
  (tmp_path / 'tiny/1.0.0/features.json').write_text('{')
  with pytest.raises(DataDietError, match='features.json is missing or damag'):
    _load(tmp_path)


@pytest.mark.parametrize('sides', [[8, 8], [None, None]])
def test_descriptions_of_long_ago_are_understood(tmp_path, sides):
  content = (formats.random_images(6, 8), np.arange(6) % 3)
  _write(tmp_path, {'train': content, 'test': content}, with_id=False)
  path = tmp_path / 'tiny/1.0.0/features.json'
  features = 'tensorflow_datasets.core.features'
  image = {'shape': [*sides, 3], 'dtype': 'uint8', 'encoding_format': 'png'}
  described = {
    'image': {'type': f'{features}.image_feature.Image', 'content': image},
    'label': {
      'type': f'{features}.class_label_feature.ClassLabel',
      'content': {'num_classes': 3},
    },
  }
  path.write_text(
    json.dumps(
      {
        'type': f'{features}.features_dict.FeaturesDict',
        'content': described,
      }
    )
  )
  settings = formats.settings('tiny', tmp_path)
  assert tfds.has_photographs(settings) == (sides[0] is None)
  images = load_dataset(settings).train.images
  np.testing.assert_array_equal(images, content[0])


def test_what_is_refused_is_known_before_the_download(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  found = {
    name: tfds.has_photographs(formats.settings(name, ''))
    for name in ('imagenette', 'imagenet2012', 'svhn_cropped', 'mnist')
  }
  assert [*found.values()] == [True, True, False, False]
  settings = formats.settings('svhn_cropped', '', placement='stream')
  with pytest.raises(ConfigError, match='svhn_cropped, whose images have one'):
    load_dataset(settings)
