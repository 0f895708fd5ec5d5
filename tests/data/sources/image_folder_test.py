"""Tests of folders of images."""

import io

import numpy as np
import pytest
from PIL import Image

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats


def _settings(root, **changes):
  return formats.settings('image_folder', root, **changes)


def test_split_folders_give_sorted_paths(tmp_path):
  counts = {'train/b cat': 3, 'train/a dog/sub': 2, 'test/a dog': 1}
  written = formats.write_image_folder(tmp_path, {**counts, 'test/b cat': 1})
  # None of these is an image of a class.
  formats.write(tmp_path / 'train/notes.txt', b'notes')
  formats.write(tmp_path / 'train/a dog/notes.txt', b'notes')
  formats.write(tmp_path / 'train/a dog/.000.png', b'hidden')
  formats.write(tmp_path / 'train/.thumbnails/000.png', b'hidden')
  formats.write(tmp_path / 'train/a dog/.cache/000.png', b'hidden')
  dataset = load_dataset(_settings(tmp_path))
  train = sorted(name for name in written if name.startswith('train'))
  assert dataset.train.ids.tolist() == train
  assert dataset.class_names == ('a dog', 'b cat')
  assert dataset.train.labels.tolist() == [0, 0, 1, 1, 1]
  assert dataset.test.labels.tolist() == [0, 1]
  for split in (dataset.train, dataset.test):
    for image, name in zip(split.images, split.ids):
      np.testing.assert_array_equal(image, written[name])


def test_single_split_is_divided_alike_in_every_class(tmp_path):
  written = formats.write_image_folder(tmp_path, {'x': 20, 'y': 10, 'z': 2})
  dataset = load_dataset(_settings(tmp_path, test_fraction=0.3))
  assert np.bincount(dataset.test.labels).tolist() == [6, 3, 1]
  assert np.bincount(dataset.train.labels).tolist() == [14, 7, 1]
  ids = [*dataset.train.ids, *dataset.test.ids]
  assert sorted(ids) == sorted(written)
  for split in (dataset.train, dataset.test):
    assert split.ids.tolist() == sorted(split.ids)
    for image, name in zip(split.images, split.ids):
      np.testing.assert_array_equal(image, written[name])
  # The same again, and another set for another share.
  again = load_dataset(_settings(tmp_path, test_fraction=0.3))
  assert again.fingerprint == dataset.fingerprint
  half = load_dataset(_settings(tmp_path, test_fraction=0.5))
  assert np.bincount(half.test.labels).tolist() == [10, 5, 1]


def test_chosen_train_splits(tmp_path):
  folders = [f'{s}/{c}' for s in ('train', 'val', 'test') for c in 'ab']
  formats.write_image_folder(tmp_path, dict.fromkeys(folders, 2))
  both = load_dataset(_settings(tmp_path, train_splits=('train', 'val')))
  assert both.train.num_examples == 8
  assert both.train.ids.tolist() == sorted(both.train.ids)
  with pytest.raises(ConfigError, match="'valid'; allowed: test, train, val"):
    load_dataset(_settings(tmp_path, train_splits=('valid',)))
  other = load_dataset(_settings(tmp_path, test_split='val'))
  assert {name.split('/')[0] for name in other.test.ids} == {'val'}
  for name in ('train', 'valid'):
    message = f'test_split: .*{name!r} beside .*; allowed: test, val'
    with pytest.raises(ConfigError, match=message):
      load_dataset(_settings(tmp_path, test_split=name))
  with pytest.raises(ConfigError, match="test_split: 'test' is not allowed"):
    load_dataset(_settings(tmp_path / 'test', test_split='test'))


def _kinds():
  rng = np.random.default_rng(3)
  rgb = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
  image = Image.fromarray(rgb)
  grey = image.convert('L')
  palette = image.convert('P', palette=Image.Palette.ADAPTIVE)
  alpha = image.convert('RGBA')
  alpha.putalpha(7)
  white = Image.new('RGBA', (8, 8), 'white')
  deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
  cmyk = image.convert('CMYK')
  exif = Image.Exif()
  exif[0x0112] = 6  # Turned by 90 degrees.
  flat = Image.new('RGB', (8, 8), (10, 20, 30))
  flat.paste((200, 20, 30), (0, 0, 4, 4))
  return {
    'png': (formats.encode(image), rgb),
    'webp': (formats.encode(image, 'WEBP', lossless=True), rgb),
    'grey': (formats.encode(grey), np.asarray(grey.convert('RGB'))),
    'palette': (formats.encode(palette), np.asarray(palette.convert('RGB'))),
    'alpha': (
      formats.encode(alpha),
      np.asarray(Image.alpha_composite(white, alpha).convert('RGB')),
    ),
    '16 bits': (formats.encode(deep), np.asarray(grey.convert('RGB'))),
    'turned': (
      formats.encode(image, 'PNG', exif=exif),
      np.rot90(rgb, -1),
    ),
    'jpeg': (
      formats.encode(flat, 'JPEG', quality=100),
      np.asarray(
        Image.open(io.BytesIO(formats.encode(flat, 'JPEG', quality=100)))
      ),
    ),
    'cmyk': (
      formats.encode(cmyk, 'TIFF'),
      np.asarray(cmyk.convert('RGB')),
    ),
  }


@pytest.mark.parametrize('kind', list(_kinds()))
def test_every_kind_of_image_becomes_rgb(tmp_path, kind):
  content, expected = _kinds()[kind]
  for folder in ('train/a', 'train/b', 'test/a', 'test/b'):
    formats.write(tmp_path / folder / 'image.png', content)
  dataset = load_dataset(_settings(tmp_path))
  np.testing.assert_array_equal(dataset.train.images[0], expected)


def test_other_sizes_are_refused_or_resized(tmp_path):
  counts = {'train/a': 2, 'train/b': 1, 'test/a': 1, 'test/b': 1}
  formats.write_image_folder(tmp_path, counts)
  odd = formats.random_images(1, 48)[0][:24]
  formats.write(tmp_path / 'train/a/odd.png', formats.encode(odd))
  with pytest.raises(DataDietError, match='odd.png has 48x24.*32x32'):
    load_dataset(_settings(tmp_path))
  dataset = load_dataset(_settings(tmp_path, image_size=16))
  assert dataset.image_shape == (16, 16, 3)
  expected = Image.fromarray(odd).resize((16, 16), Image.Resampling.BILINEAR)
  np.testing.assert_array_equal(dataset.train.images[2], np.asarray(expected))


def test_large_jpegs_keep_their_look_when_shrunk(tmp_path):
  """JPEGs are decoded at a fraction of their size, close to the exact way."""
  across = np.linspace(0, 255, 640).astype(np.uint8)
  image = np.stack([np.tile(across, (480, 1))] * 3, -1)
  for folder in ('train/a', 'train/b', 'test/a', 'test/b'):
    content = formats.encode(image, 'JPEG', quality=95)
    formats.write(tmp_path / folder / 'large.jpg', content)
  dataset = load_dataset(_settings(tmp_path, image_size=32))
  exact = Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)
  difference = dataset.train.images[0].astype(int) - np.asarray(exact)
  assert np.abs(difference).max() <= 3


@pytest.mark.parametrize('content', [b'', b'no image', 'cut'])
def test_unreadable_image_is_named_or_skipped(tmp_path, content):
  # Enough of them that worker processes decode, too.
  counts = {'train/a': 100, 'train/b': 100, 'test/a': 3, 'test/b': 3}
  written = formats.write_image_folder(tmp_path, counts)
  bad = ['test/b/001.png', 'train/a/000.png', 'train/b/050.png']
  for name in bad:
    whole = (tmp_path / name).read_bytes()
    cut = whole[: len(whole) // 2] if content == 'cut' else content
    (tmp_path / name).write_bytes(cut)
  with pytest.raises(DataDietError, match=r'train/a/000\.png cannot be read'):
    load_dataset(_settings(tmp_path))
  cache_dir = tmp_path.parent / f'{tmp_path.name}_cache'
  settings = _settings(tmp_path, cache_dir=cache_dir, skip_unreadable=True)
  for dataset in (load_dataset(settings), load_dataset(settings)):
    assert sorted(dataset.skipped) == bad
    assert sorted(dataset.description()['skipped']) == bad
    assert dataset.train.num_examples == 198
    assert dataset.test.num_examples == 5
    for split in (dataset.train, dataset.test):
      assert len(split.images) == len(split.ids)
      for image, label, name in zip(split.images, split.labels, split.ids):
        np.testing.assert_array_equal(image, written[name])
        assert dataset.class_names[label] == name.split('/')[1]
  # What was skipped once is an error again where that is not allowed.
  with pytest.raises(DataDietError, match=r'train/a/000\.png'):
    load_dataset(_settings(tmp_path, cache_dir=cache_dir))


def test_faults_are_named(tmp_path):
  with pytest.raises(ConfigError, match='dataset.data_dir'):
    load_dataset(_settings(''))
  with pytest.raises(DataDietError, match='nowhere is not a folder'):
    load_dataset(_settings(tmp_path / 'nowhere'))
  with pytest.raises(DataDietError, match='holds no images'):
    load_dataset(_settings(tmp_path))
  formats.write_image_folder(tmp_path, {'train/a': 1, 'train/b': 1})
  formats.write_image_folder(tmp_path, {'test/a': 1})
  with pytest.raises(DataDietError, match='test split has no.* class b'):
    load_dataset(_settings(tmp_path))
  formats.write_image_folder(tmp_path, {'test/b': 1, 'test/c': 1})
  with pytest.raises(
    DataDietError, match=r"test/c/000.png: 'c' is not a class"
  ):
    load_dataset(_settings(tmp_path))


@pytest.mark.parametrize(
  'names', [('Train', 'Test'), ('training', 'validation'), ('train', 'test2')]
)
def test_splits_are_not_taken_for_classes(tmp_path, names):
  formats.write_image_folder(tmp_path, dict.fromkeys(names, 3))
  with pytest.raises(DataDietError, match='are splits, not classes; allowed'):
    load_dataset(_settings(tmp_path))


def test_a_class_may_be_called_train(tmp_path):
  formats.write_image_folder(tmp_path, {'train': 3, 'bus': 3})
  assert load_dataset(_settings(tmp_path)).class_names == ('bus', 'train')


def test_a_link_back_gives_no_image_twice(tmp_path):
  formats.write_image_folder(tmp_path, {'a': 3, 'b': 3, '../elsewhere': 1})
  (tmp_path / 'a' / 'back').symlink_to(tmp_path / 'a')
  (tmp_path / 'b' / 'more').symlink_to(tmp_path.parent / 'elsewhere')
  dataset = load_dataset(_settings(tmp_path))
  ids = [*dataset.train.ids, *dataset.test.ids]
  assert len(ids) == 7
  assert 'b/more/000.png' in ids


def test_files_of_other_kinds_are_told_of(tmp_path, caplog):
  formats.write_image_folder(tmp_path, {'a': 3, 'b': 3})
  formats.write(tmp_path / 'c' / '000.heic', b'an image of another kind')
  formats.write(tmp_path / 'c' / '.DS_Store', b'hidden')
  caplog.set_level('WARNING')
  assert load_dataset(_settings(tmp_path)).class_names == ('a', 'b')
  assert 'passed over 1 file not named' in caplog.text
  assert 'c/000.heic' in caplog.text


def test_class_with_one_image_cannot_be_divided(tmp_path):
  formats.write_image_folder(tmp_path, {'a': 5, 'b': 1})
  with pytest.raises(DataDietError, match="class 'b' has one example"):
    load_dataset(_settings(tmp_path))
