"""Tests that the soak test sees what it is there to see."""

import numpy as np
import pytest
from PIL import Image

from datadiet import artifacts, checkpoints
from tests.processes.soak_log import read_log, seconds_by_stage
from tests.processes.whole_files import HalfWritten, check_whole


@pytest.fixture
def workdir(tmp_path):
  """One file of each kind."""
  artifacts.write_json(tmp_path / 'config.json', {'a': 1})
  artifacts.write_npy(tmp_path / 'scores' / 'el2n.npy', np.arange(1000.0))
  artifacts.write_npz(tmp_path / 'step_1.npz', {'visits': np.arange(1000)})
  artifacts.write_csv(tmp_path / 'history.csv', ['a', 'b'], [[1, 2], [3, 4]])
  (tmp_path / 'index.html').write_text('<html>page</html>\n')
  pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
  Image.fromarray(pixels).save(tmp_path / 'figure.png')
  kernel = np.random.default_rng(0).normal(size=20_000)
  writer = checkpoints.CheckpointWriter(tmp_path / 'run_00', ())
  for step in (2, 4):
    writer.save(step, {'params': {'kernel': kernel}, 'step': step})
  writer.close()
  assert check_whole(tmp_path, is_finished=True) == 7
  return tmp_path


@pytest.mark.parametrize('share', [0.5, 0.9])
@pytest.mark.parametrize('suffix', ['json', 'npy', 'npz', 'csv', 'html', 'png'])
def test_a_file_that_is_cut_off_is_seen(workdir, suffix, share):
  path = next(workdir.rglob(f'*.{suffix}'))
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(HalfWritten, match=path.name):
    check_whole(workdir)


@pytest.mark.parametrize('step', [2, 4])
def test_a_checkpoint_that_is_cut_off_is_seen(workdir, step):
  folder = workdir / 'run_00' / 'checkpoints' / str(step) / 'variables'
  files = [path for path in folder.rglob('*') if path.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
  with pytest.raises(HalfWritten, match='is damaged'):
    check_whole(workdir)


@pytest.mark.parametrize(
  'name', ['scores/.a.npy.0123abcd.tmp', 'run_00/checkpoints/5.damaged']
)
def test_what_is_left_over_is_seen(workdir, name):
  path = workdir / name
  path.mkdir() if 'damaged' in name else path.write_text('half')
  with pytest.raises(HalfWritten):
    check_whole(workdir, is_finished=True)


_LOG = """\
I1124 13:00:05.500000 1 context.py:1] plan
D1124 13:00:06.000000 1 pipeline.py:1] Stage train begins
D1124 13:00:07.000000 1 loop.py:1] Wave from step 0: train/run_00, train/run_01
D1124 13:00:08.000000 1 loop.py:1] Dispatched step 1
D1124 13:00:09.000000 1 loop.py:1] Dispatched step 2
"""


def test_what_a_log_says():
  seen = read_log(_LOG)
  assert (seen.stage, seen.step) == ('train', 2)
  assert seen.first_steps == {'train/run_00, train/run_01': 0}
  assert not seen.is_past('train')
  after = 'D1124 13:00:16.500000 1 pipeline.py:1] Stage score begins\n'
  seen = read_log(_LOG + after)
  assert (seen.stage, seen.wave, seen.step) == ('score', '', 0)
  assert seen.is_past('train') and not seen.is_past('retrain')
  # Seconds to the first stage depend on when the process was started.
  assert seconds_by_stage(_LOG + after, start=0.0)['train'] == 10.5
