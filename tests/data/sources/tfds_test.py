"""Tests of TensorFlow Datasets: a small set, and the real CIFAR-10."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.data.sources import tfds
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

ROOT = pathlib.Path(__file__).parents[3]
NAMES = ('cat', 'dog', 'newt')


def _feature(name, **content):
  path = 'tensorflow_datasets.core.features'
  return {'pythonClassName': f'{path}.{name}', **content}


def _writer(path, file_format):
  if file_format == 'array_record':
    from array_record.python import array_record_module

    writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
    return contextlib.closing(writer)
  import tensorflow as tf

  return tf.io.TFRecordWriter(str(path))


def write_set(
  folder,
  splits,
  size=8,
  with_id=True,
  channels=3,
  dtype='uint8',
  file_format='tfrecord',
):
  """Writes a prepared set; `splits` maps a name to images and labels.

  Images are pixels or the bytes of files; `size` None says that they differ.
  """
  import tensorflow as tf

  folder.mkdir(parents=True)
  sides = [] if size is None else [str(size), str(size), str(channels)]
  features = {
    'image': _feature(
      'image_feature.Image',
      image={
        'dtype': dtype,
        'encodingFormat': 'png',
        'shape': {'dimensions': sides or ['-1', '-1', str(channels)]},
      },
    ),
    'label': _feature(
      'class_label_feature.ClassLabel', classLabel={'numClasses': '3'}
    ),
  }
  if with_id:
    features['id'] = _feature('text_feature.Text', text={})
    features['number'] = _feature(
      'tensor_feature.Tensor',
      tensor={'shape': {}, 'dtype': 'int64', 'encoding': 'none'},
    )
  described = _feature(
    'features_dict.FeaturesDict', featuresDict={'features': features}
  )
  (folder / 'features.json').write_text(json.dumps(described))
  (folder / 'label.labels.txt').write_text('\n'.join(NAMES) + '\n')
  info = {'name': 'tiny', 'version': '1.0.0', 'fileFormat': file_format}
  info |= {'moduleName': '__main__', 'splits': []}
  for split, (images, labels) in splits.items():
    info['splits'].append(
      {
        'name': split,
        'numBytes': '1',
        'shardLengths': [str(len(labels))],
        'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
      }
    )
    path = folder / f'tiny-{split}.{file_format}-00000-of-00001'
    with _writer(path, file_format) as writer:
      for i, (image, label) in enumerate(zip(images, labels)):
        if not isinstance(image, bytes):
          image = formats.encode(image)
        values = {
          'image': tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[image])
          ),
          'label': tf.train.Feature(
            int64_list=tf.train.Int64List(value=[label])
          ),
        }
        if with_id:
          name = f'{split}_{i:05d}'.encode()
          values['id'] = tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[name])
          )
          values['number'] = tf.train.Feature(
            int64_list=tf.train.Int64List(value=[100 + i])
          )
        features = tf.train.Features(feature=values)
        example = tf.train.Example(features=features)
        writer.write(example.SerializeToString())
  (folder / 'dataset_info.json').write_text(json.dumps(info))


def _content(num, seed, size=8):
  labels = (np.arange(num) + seed) % 3
  return formats.random_images(num, size, seed), labels


def test_small_set_in_record_order(tmp_path):
  train, test = _content(20, 0), _content(7, 1)
  write_set(tmp_path / 'tiny/1.0.0', {'train': train, 'test': test})
  dataset = load_dataset(formats.settings('tiny', tmp_path))
  for split, (images, labels), name in (
    (dataset.train, train, 'train'),
    (dataset.test, test, 'test'),
  ):
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)
    assert split.ids.tolist() == [f'{name}_{i:05d}' for i in range(len(labels))]
  assert dataset.class_names == NAMES
  resized = load_dataset(formats.settings('tiny', tmp_path, image_size=4))
  assert resized.image_shape == (4, 4, 3)
  np.testing.assert_array_equal(resized.train.labels, train[1])


def test_ids_are_chosen_by_a_setting(tmp_path):
  content = {'train': _content(6, 0), 'test': _content(6, 1)}
  write_set(tmp_path / 'tiny/1.0.0', content)

  def ids(id_key):
    settings = formats.settings('tiny', tmp_path, id_key=id_key)
    return load_dataset(settings).train.ids.tolist()

  assert ids('id') == [f'train_{i:05d}' for i in range(6)]
  assert ids('number') == [str(100 + i) for i in range(6)]
  assert ids('none')[1].startswith('tiny-train.tfrecord-00000-of-00001__1')
  message = "id_key: 'image' .* allowed for tiny: id, label, number, or 'none'"
  with pytest.raises(ConfigError, match=message):
    ids('image')


def test_statistics_are_those_of_the_set_in_every_version(tmp_path):
  content = {'train': _content(6, 0), 'test': _content(6, 1)}
  write_set(tmp_path / 'cifar10/9.0.0', content)
  dataset = load_dataset(formats.settings('cifar10:9.0.0', tmp_path))
  np.testing.assert_allclose(dataset.mean, [0.4914, 0.4822, 0.4465])


def test_splits_are_chosen_or_divided(tmp_path):
  train, valid = _content(30, 0), _content(9, 1)
  folder = tmp_path / 'tiny/1.0.0'
  write_set(folder, {'train': train, 'validation': valid}, with_id=False)
  dataset = load_dataset(formats.settings('tiny', tmp_path))
  np.testing.assert_array_equal(dataset.test.images, valid[0])
  with pytest.raises(ConfigError, match='test_split: .* allowed: validation'):
    load_dataset(formats.settings('tiny', tmp_path, test_split='test'))
  joined = load_dataset(
    formats.settings(
      'tiny',
      tmp_path,
      train_splits=('train', 'validation'),
      test_fraction=0.25,
    )
  )
  assert np.bincount(joined.test.labels).tolist() == [3, 3, 3]
  images = {
    image.tobytes(): i for i, image in enumerate((*train[0], *valid[0]))
  }
  for split in (joined.train, joined.test):
    records = [images[image.tobytes()] for image in split.images]
    assert records == sorted(records)
    labels = np.concatenate([train[1], valid[1]])
    np.testing.assert_array_equal(split.labels, labels[records])
  assert len({*joined.train.ids, *joined.test.ids}) == 39


def test_newest_version_wins_and_configs_must_be_named(tmp_path):
  for version in ('1.9.0', '1.10.0', '1.2.0'):
    (tmp_path / 'tiny' / version).mkdir(parents=True)
    (tmp_path / 'tiny' / version / 'dataset_info.json').write_text('{}')
  found = tfds.prepared_folder('tiny', str(tmp_path))
  assert found.name == '1.10.0'
  assert tfds.prepared_folder('tiny:1.2.0', str(tmp_path)).name == '1.2.0'
  assert tfds.prepared_folder('tiny:3.0.0', str(tmp_path)) is None
  for name in ('small', 'large'):
    (tmp_path / 'two' / name / '1.0.0').mkdir(parents=True)
    (tmp_path / 'two' / name / '1.0.0' / 'dataset_info.json').write_text('{}')
  assert tfds.prepared_folder('two/small', str(tmp_path)).parent.name == 'small'
  with pytest.raises(DataDietError, match='two/ and one of large, small'):
    tfds.prepared_folder('two', str(tmp_path))


@pytest.mark.parametrize('cut', ['in a record', 'between records'])
def test_files_cut_short_are_named(tmp_path, cut):
  folder = tmp_path / 'tiny/1.0.0'
  content = {'train': _content(20, 0), 'test': _content(7, 1)}
  write_set(folder, content)
  path = folder / 'tiny-train.tfrecord-00000-of-00001'
  whole = path.read_bytes()
  # A record: length, its checksum, the data, its checksum.
  first = int.from_bytes(whole[:8], 'little') + 16
  path.write_bytes(whole[: first if cut == 'between records' else first + 99])
  message = r'tiny/1\.0\.0 cannot be read: '
  with pytest.raises(DataDietError, match=message):
    load_dataset(formats.settings('tiny', tmp_path))


def test_faults_are_named(tmp_path):
  with pytest.raises(DataDietError, match='tensorflow_datasets build tiny'):
    load_dataset(formats.settings('tiny', tmp_path))
  with pytest.raises(DataDietError, match='did you mean cifar100'):
    load_dataset(formats.settings('cifar_100', tmp_path))
  with pytest.raises(DataDietError, match='did you mean cinic10'):
    load_dataset(formats.settings('CINIC-10', tmp_path))
  content = {'train': _content(6, 0), 'test': _content(6, 1, size=9)}
  write_set(tmp_path / 'tiny/1.0.0', content, size=None)
  with pytest.raises(DataDietError, match='test_00000 has 9x9.*image_size'):
    load_dataset(formats.settings('tiny', tmp_path))
  with pytest.raises(DataDietError, match="no feature 'kind', it has id"):
    load_dataset(formats.settings('tiny', tmp_path, label_key='kind'))
  settings = formats.settings(
    'tiny', tmp_path, train_splits=('all',), image_size=8
  )
  with pytest.raises(ConfigError, match='allowed: train, test'):
    load_dataset(settings)


def test_unknown_name_lists_the_known(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  message = 'no set .imagefolder.*cinic10.*did you mean image_folder'
  with pytest.raises(ConfigError, match=message):
    load_dataset(formats.settings('imagefolder', ''))


@pytest.fixture(scope='module')
def cifar10(tmp_path_factory):
  """The real set, its settings, and the seconds of its first read."""
  if not formats.HAS_CIFAR10:
    pytest.skip(formats.NEEDS_CIFAR10)
  settings = formats.settings(
    'cifar10', formats.TEST_DATA, tmp_path_factory.mktemp('cache')
  )
  start = time.monotonic()
  dataset = load_dataset(settings)
  return dataset, settings, time.monotonic() - start


def test_real_cifar10(cifar10):
  dataset, _, seconds = cifar10
  assert seconds < 60
  assert dataset.train.images.shape == (50_000, 32, 32, 3)
  assert dataset.test.images.shape == (10_000, 32, 32, 3)
  assert np.bincount(dataset.train.labels).tolist() == [5000] * 10
  assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
  assert list(dataset.class_names) == formats.CIFAR10_NAMES
  # TFDS's record order, in which number 16399 of the archive comes first.
  assert dataset.train.ids[:2].tolist() == ['train_16399', 'train_01680']
  numbers = sorted(
    int(name.removeprefix('train_')) for name in dataset.train.ids
  )
  assert numbers == list(range(50_000))
  # By these numbers exports find examples in torchvision, whose first labels,
  # those of data_batch_1, are known.
  by_number = dict(zip(dataset.train.ids, dataset.train.labels, strict=True))
  first = [by_number[f'train_{n:05d}'] for n in range(10)]
  assert first == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
  assert isinstance(dataset.train.images, np.memmap)


def test_cached_real_cifar10_needs_no_tensorflow(cifar10):
  dataset, settings, _ = cifar10
  script = (
    'import sys, time\n'
    'from datadiet.data import load_dataset\n'
    'from datadiet.data.settings import DatasetSettings\n'
    'place = dict(zip(("data_dir", "cache_dir"), sys.argv[1:]))\n'
    'settings = DatasetSettings(name="cifar10", **place)\n'
    'start = time.monotonic()\n'
    'dataset = load_dataset(settings)\n'
    'assert dataset.train.images[::100].sum() > 0\n'
    'assert time.monotonic() - start < 2\n'
    'assert "tensorflow" not in sys.modules\n'
    'assert "jax" not in sys.modules\n'
    'print(dataset.fingerprint)\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', script, settings.data_dir, settings.cache_dir],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == dataset.fingerprint


def test_real_cifar10_exported_is_the_same_by_id(cifar10, tmp_path):
  """To a folder of PNGs and to arrays, 2,500 of its examples."""
  dataset, _, _ = cifar10
  parts = {'train': (dataset.train, 2000), 'test': (dataset.test, 500)}
  arrays = {'class_names': np.array(dataset.class_names)}
  for name, (split, num) in parts.items():
    for image, label, example in zip(
      split.images[:num], split.labels, split.ids
    ):
      folder = tmp_path / 'folder' / name / dataset.class_names[label]
      formats.write(folder / f'{example}.png', formats.encode(image))
    # Another order, which ids make up for.
    arrays[f'{name}_images'] = split.images[:num][::-1]
    arrays[f'{name}_labels'] = split.labels[:num][::-1]
    arrays[f'{name}_ids'] = split.ids[:num][::-1]
  np.savez(tmp_path / 'arrays.npz', **arrays)
  sources = {
    'image_folder': tmp_path / 'folder',
    'arrays': tmp_path / 'arrays.npz',
  }
  for source, data_dir in sources.items():
    read = load_dataset(formats.settings(source, data_dir))
    assert read.class_names == dataset.class_names
    for name, (split, num) in parts.items():
      found = getattr(read, name)
      position = {
        path.rpartition('/')[2].removesuffix('.png'): i
        for i, path in enumerate(found.ids)
      }
      order = [position[example] for example in split.ids[:num]]
      assert sorted(order) == list(range(num))
      np.testing.assert_array_equal(found.images[order], split.images[:num])
      np.testing.assert_array_equal(found.labels[order], split.labels[:num])


def test_default_folder_is_that_of_tfds(tmp_path, monkeypatch):
  content = {'train': _content(6, 0), 'test': _content(6, 1)}
  write_set(tmp_path / 'tiny/1.0.0', content)
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  assert load_dataset(formats.settings('tiny', '')).train.num_examples == 6
  shutil.rmtree(tmp_path / 'tiny')
  monkeypatch.delenv('TFDS_DATA_DIR')
  monkeypatch.setenv('HOME', os.fspath(tmp_path))
  (tmp_path / 'tensorflow_datasets').mkdir()
  write_set(tmp_path / 'tensorflow_datasets/tiny/1.0.0', content)
  assert load_dataset(formats.settings('tiny', '')).train.num_examples == 6
