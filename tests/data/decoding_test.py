"""Tests of decoding on all cores: the same everywhere, stops, memory."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from datadiet.data import decoding, load_dataset
from datadiet.errors import Preempted
from datadiet.runtime import stopping
from tests.data import formats

ROOT = pathlib.Path(__file__).parents[2]
_TWO_CLASSES = {'train/a': 150, 'train/b': 150, 'test/a': 2, 'test/b': 2}


def test_workers_give_what_one_process_gives(tmp_path, monkeypatch):
  counts = {'train/a': 300, 'train/b': 290, 'test/a': 5, 'test/b': 5}
  formats.write_image_folder(tmp_path, counts)
  settings = formats.settings('image_folder', tmp_path)
  fingerprints = set()
  for num_cores in (1, 2, 3):
    monkeypatch.setattr(decoding, 'num_cores', lambda n=num_cores: n)
    monkeypatch.setattr(decoding, '_CHUNK_IMAGES', 64 + num_cores)
    fingerprints.add(load_dataset(settings).fingerprint)
  assert len(fingerprints) == 1


def test_request_to_stop_ends_decoding(tmp_path, monkeypatch):
  formats.write_image_folder(tmp_path, _TWO_CLASSES)
  monkeypatch.setattr(stopping, '_requested', True)
  with pytest.raises(Preempted):
    load_dataset(formats.settings('image_folder', tmp_path))


_LIMITED = """
import resource, sys
import numpy as np
from datadiet.data import load_dataset, decoding
from tests.data import formats
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
decoding.num_cores = lambda: 2
settings = formats.settings('image_folder', sys.argv[2], sys.argv[3])
dataset = load_dataset(settings)
print(dataset.train.images.nbytes, dataset.train.num_examples)
"""


@pytest.mark.skipif(
  not sys.platform.startswith('linux'), reason='needs the limits of Linux'
)
def test_set_larger_than_memory(tmp_path):
  """Decoded, measured and fingerprinted within less memory than it takes."""
  one = np.zeros((1000, 1000, 3), np.uint8)
  one[::7] = 200
  content = formats.encode(one)
  for i in range(120):
    formats.write(tmp_path / f'data/train/{"ab"[i % 2]}/{i:03d}.png', content)
  for name in 'ab':
    formats.write(tmp_path / f'data/test/{name}/000.png', content)
  limit = 180 * 2**20
  command = [sys.executable, '-c', _LIMITED, str(limit), str(tmp_path / 'data')]
  environment = {**os.environ, 'OPENBLAS_NUM_THREADS': '1'}
  done = subprocess.run(
    [*command, str(tmp_path / 'cache')],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  num_bytes, num_examples = map(int, done.stdout.split())
  assert num_examples == 120
  assert num_bytes > 1.9 * limit
  # The limit is one that decoding in memory does not keep.
  done = subprocess.run(
    [*command, 'none'],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode != 0
  assert 'MemoryError' in done.stderr
