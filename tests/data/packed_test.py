"""Tests of images that stay encoded: the same pixels, and what is refused."""

import functools
import os
import pathlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from datadiet.data import load_dataset, packed
from datadiet.data.packed import PackedImages
from datadiet.decoders import crops as crops_lib
from datadiet.decoders import pool
from datadiet.decoders.crops import Crops
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

ROOT = pathlib.Path(__file__).parents[2]
SIZES = [(60, 40), (40, 50), (33, 90), (48, 48), (100, 32), (40, 40)]


@pytest.fixture
def folder(tmp_path):
  """JPEGs and PNGs of several sizes, in two classes."""
  rng = np.random.default_rng(0)
  for name in ('train/a', 'train/b', 'test/a', 'test/b'):
    place = tmp_path / 'photos' / name
    place.mkdir(parents=True)
    for number, (width, height) in enumerate(SIZES):
      coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
      picture = Image.fromarray(coarse).resize((width, height))
      picture.save(place / f'{number}.{"png" if number % 3 else "jpg"}')
  return tmp_path / 'photos'


@pytest.fixture
def workers(monkeypatch):
  """Has images decoded by so many new workers until the test ends."""

  def start(num_cores):
    monkeypatch.setattr(pool, 'num_cores', lambda: num_cores)
    packed._start_decoders.cache_clear()

  yield start
  packed._start_decoders.cache_clear()


def load(folder, placement, **changes):
  settings = formats.settings(
    'image_folder',
    folder,
    placement=placement,
    **{
      'image_size': 32,
      'resize': 'shorter_side',
      'cache_dir': os.fspath(folder.parent / 'cache'),
      **changes,
    },
  )
  return load_dataset(settings)


@pytest.mark.parametrize('num_cores', [1, 2])
@pytest.mark.parametrize('resize', ['squash', 'shorter_side', 'none'])
def test_pixels_statistics_and_fingerprint_are_those_of_arrays(
  folder, workers, resize, num_cores
):
  workers(num_cores)
  arrays = load(folder, 'host', resize=resize)
  for _ in ('packed', 'read from the cache'):
    stream = load(folder, 'stream', resize=resize)
    assert isinstance(stream.train.images, PackedImages)
    for name in ('fingerprint', 'class_names', 'image_shape', 'skipped'):
      assert getattr(stream, name) == getattr(arrays, name)
    for name in ('mean', 'std'):
      np.testing.assert_array_equal(
        getattr(stream, name), getattr(arrays, name)
      )
    for split_name in ('train', 'test'):
      one, other = getattr(stream, split_name), getattr(arrays, split_name)
      np.testing.assert_array_equal(np.asarray(one.images), other.images)
      np.testing.assert_array_equal(one.labels, other.labels)
      assert one.ids.tolist() == other.ids.tolist()


def test_it_is_indexed_as_an_array_is(folder):
  found, expected = (
    load(folder, placement).train.images for placement in ('stream', 'host')
  )
  assert found.shape == expected.shape and found.dtype == expected.dtype
  assert found.nbytes == expected.nbytes and len(found) == len(expected)
  for key in (
    3,
    -1,
    slice(2, 9, 3),
    np.array([[5, 0], [0, 11]]),
    np.array([], int),
    np.arange(12) % 2 == 0,
    (slice(1, 3), slice(0, 5)),
    (4, slice(None), 7),
  ):
    np.testing.assert_array_equal(found[key], expected[key])
  with pytest.raises(IndexError):
    found[12]
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_array_equal(one, other)


def test_the_files_stay_as_they_are(folder):
  images = load(folder, 'stream').train.images
  contents = packed._contents(images.path, list(range(len(images))))
  paths = sorted((folder / 'train').rglob('*.*'))
  assert contents == [path.read_bytes() for path in paths]


def test_damaged_images_are_named_when_they_are_packed(folder):
  for name in ('train/a/1.png', 'test/b/2.png'):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
  with pytest.raises(DataDietError, match='a/1.png .*b/2.png'):
    load(folder, 'stream')
  arrays = load(folder, 'host', skip_unreadable=True)
  stream = load(folder, 'stream', skip_unreadable=True)
  assert stream.skipped == arrays.skipped == ('train/a/1.png', 'test/b/2.png')
  assert stream.fingerprint == arrays.fingerprint
  np.testing.assert_array_equal(stream.train.images[:], arrays.train.images)


def test_a_file_that_is_damaged_later_is_named(folder):
  images = load(folder, 'stream').train.images
  writer = packed.PackedWriter(images.path + '.new', (1, 32, 32, 3), (32,))
  place = folder / 'noise'
  place.write_bytes(b'no image')
  writer.append(0, os.fspath(place))
  with pytest.raises(DataDietError, match='example_index 0 .*packed anew'):
    writer.finish()[0]


def test_a_damaged_file_of_records_is_told_and_read_once_repaired(folder):
  images = load(folder, 'stream').train.images
  expected = images[:]
  content = pathlib.Path(images.path).read_bytes()
  damaged = bytearray(content)
  damaged[len(content) // 2] ^= 0xFF
  # Another file, as writing over one would change what a reader holds.
  for found in (bytes(damaged), content[: len(content) // 3], content):
    pathlib.Path(f'{images.path}.new').write_bytes(found)
    os.replace(f'{images.path}.new', images.path)
    if found == content:
      np.testing.assert_array_equal(images[:], expected)
    else:
      with pytest.raises(DataDietError, match='cannot be read any more'):
        images[:]


def test_a_library_that_does_not_load_is_no_damage(
  folder, workers, monkeypatch
):
  """The advice to pack all images anew would be of no use."""
  workers(1)
  images = load(folder, 'stream').train.images

  def broken():
    raise ImportError('libGL.so.1: cannot open shared object file')

  monkeypatch.setattr(crops_lib, '_opencv', broken)
  with pytest.raises(DataDietError, match='libGL') as caught:
    packed.cropped(images, np.array([3]), Crops(np.array([1]), 8, 0.5))
  assert 'anew' not in str(caught.value)


def test_a_killed_worker_is_replaced(folder, workers, monkeypatch):
  workers(2)
  images = load(folder, 'stream').train.images
  expected = images[:]
  killed = []
  start = pool._Worker.decode_chunk

  def kill(self, *request):
    if not killed:
      killed.append(self)
      self.kill()
    return start(self, *request)

  monkeypatch.setattr(pool._Worker, 'decode_chunk', kill)
  with pytest.raises(DataDietError, match='ended unexpectedly'):
    images[:]
  for _ in range(3):
    np.testing.assert_array_equal(images[:], expected)


def test_threads_that_start_together_share_the_workers(
  folder, workers, monkeypatch
):
  images = load(folder, 'stream').train.images
  workers(2)
  started, start = [], pool._Worker.__init__

  def slow(self):
    started.append(self)
    time.sleep(0.2)
    start(self)

  monkeypatch.setattr(pool._Worker, '__init__', slow)
  with ThreadPoolExecutor(4) as threads:
    list(threads.map(lambda row: images[row], range(8)))
  assert len(started) == 2


_LIMITED = """
import resource, sys
import numpy as np
from datadiet.data import load_dataset, packed
from datadiet.decoders.crops import Crops
from tests.data import formats
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
settings = formats.settings('image_folder', *sys.argv[2:], placement='stream')
images = load_dataset(settings).train.images
for start in range(0, len(images), 8):
  rows = np.arange(start, start + 8)
  assert packed.cropped(images, rows, Crops(rows, 224, 0.08)).any()
  assert images[rows].any()
print(images.nbytes)
np.asarray(images)
"""


@pytest.mark.skipif(
  not sys.platform.startswith('linux'), reason='needs the limits of Linux'
)
def test_a_set_larger_than_memory_is_packed_and_read(tmp_path):
  one = np.zeros((1000, 1000, 3), np.uint8)
  one[::7] = 200
  content = formats.encode(one, 'JPEG', quality=90)
  for i in range(240):
    formats.write(tmp_path / f'data/train/{"ab"[i % 2]}/{i:03d}.jpg', content)
  for name in 'ab':
    formats.write(tmp_path / f'data/test/{name}/000.jpg', content)
  limit = 320 * 2**20
  done = subprocess.run(
    [
      # ArrayRecord has 64 threads, whose stacks count whether used or not.
      *('bash', '-c', 'ulimit -s 1024; exec "$0" "$@"'),
      *(sys.executable, '-c', _LIMITED, str(limit)),
      *(str(tmp_path / 'data'), str(tmp_path / 'cache')),
    ],
    cwd=ROOT,
    env={**os.environ, 'OPENBLAS_NUM_THREADS': '1'},
    capture_output=True,
    text=True,
  )
  assert int(done.stdout) > 1.8 * limit, done.stderr
  # All at once they do not fit.
  assert done.returncode != 0 and 'MemoryError' in done.stderr


def test_without_a_cache_nothing_can_be_packed(folder):
  with pytest.raises(ConfigError, match="cache_dir: 'none' is not allowed"):
    load(folder, 'stream', cache_dir='none')


@pytest.mark.parametrize('name', ['digits', 'cifar10', 'arrays'])
def test_only_files_of_images_can_be_streamed(name):
  settings = formats.settings(name, '', placement='stream')
  with pytest.raises(ConfigError, match='placement: .* with .* no files'):
    load_dataset(settings)


def test_greys_of_sixteen_bits_are_refused(folder):
  for name in ('train/a', 'train/b'):
    grey = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 50
    Image.fromarray(grey).save(folder / name / 'grey.png')
  with pytest.raises(DataDietError, match="16 bits a pixel.*'host'"):
    load(folder, 'stream')


def test_auto_streams_what_would_fill_the_memory(folder, monkeypatch, caplog):
  num_bytes = 4 * len(SIZES) * 32 * 32 * 3
  for memory, kind in ((num_bytes, np.ndarray), (num_bytes - 1, PackedImages)):
    monkeypatch.setattr('datadiet.data.host_memory', lambda m=memory: m)
    with caplog.at_level('INFO'):
      assert isinstance(load(folder, 'auto').train.images, kind)
  assert (
    'decoded when they are needed: 24 images of 32x32 pixels' in caplog.text
  )


def test_auto_takes_the_size_of_all_from_the_first_image(
  folder, monkeypatch, caplog
):
  """The size of images that are left as they are is not known before."""
  for path in folder.rglob('*.*g'):
    Image.open(path).resize((24, 16)).save(path)
  num_bytes = 4 * len(SIZES) * 24 * 16 * 3
  load_auto = functools.partial(load, folder, 'auto', image_size=0)
  arrays = load(folder, 'host', image_size=0)
  for memory, kind in ((num_bytes, np.ndarray), (num_bytes - 1, PackedImages)):
    monkeypatch.setattr('datadiet.data.host_memory', lambda m=memory: m)
    with caplog.at_level('INFO'):
      found = load_auto(cache_dir=f'{folder.parent}/{memory}')
    assert isinstance(found.train.images, kind)
    assert isinstance(found.test.images, kind)
    assert found.image_shape == (16, 24, 3)
    assert found.fingerprint == arrays.fingerprint
  assert caplog.text.count('needed: 24 images of 24x16 pixels') == 1
  # What is in the cache stays as it is, and is not decoded for it once more.
  monkeypatch.setattr('datadiet.data.host_memory', lambda: num_bytes)
  cache_dir = f'{folder.parent}/{num_bytes - 1}'
  found = load_auto(cache_dir=cache_dir)
  assert isinstance(found.train.images, PackedImages)
  # Asked for by name it is decoded.
  found = load(folder, 'host', image_size=0, cache_dir=cache_dir)
  assert isinstance(found.train.images, np.ndarray)


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='none is there')
def test_a_full_disk_is_said_in_one_sentence():
  writer = packed.PackedWriter('/dev/full', (2, 8, 8, 3), (8,))
  with pytest.raises(DataDietError, match='write.. failed: No space .*; free'):
    writer.append(0, bytes(100_000))
    writer.finish()


def test_a_cache_that_cannot_be_written_is_said_in_one_sentence(folder):
  file = folder / 'train/a/1.png'
  with pytest.raises(DataDietError, match='train_images.* cannot be written'):
    load(folder, 'stream', cache_dir=os.fspath(file))


def test_images_out_of_order_are_refused(tmp_path):
  writer = packed.PackedWriter(str(tmp_path / 'x'), (2, 8, 8, 3), (8,))
  writer.append(1, b'')
  with pytest.raises(DataDietError, match='in their order'):
    writer.append(0, b'')
  writer.finish()
