"""Tests that the soak test sees what it is there to see."""

import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from datadiet.workdir import artifacts, checkpoints
from tests.processes.soak import Kill, Soak
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
  folder = workdir / 'run_00' / 'checkpoints' / str(step)
  path = folder / 'variables.safetensors'
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
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


@pytest.fixture
def soak(workdir, tmp_path_factory):
  """With what it compares with, and the folder of a workdir that is equal."""
  folder = tmp_path_factory.mktemp('soak')
  settings = {'keep_steps': [2]}
  artifacts.write_json(
    workdir / 'train' / 'run_00' / 'manifest.json',
    {'num_steps': 4, 'settings': settings},
  )
  (workdir / 'run_00' / 'checkpoints').rename(
    workdir / 'train' / 'run_00' / 'checkpoints'
  )
  for name in ('quiet', 'disturbed'):
    shutil.copytree(workdir, folder / name)
  found = Soak(folder, seed=0)
  found._compare(folder / 'disturbed')
  return found, folder / 'disturbed'


@pytest.mark.parametrize(
  'name',
  [
    'history.csv',
    'scores/el2n.npy',
    'step_1.npz',
    'train/run_00/checkpoints/4/variables.safetensors',
  ],
)
def test_another_result_is_seen(soak, name):
  path = soak[1] / name
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  with pytest.raises(SystemExit, match=name):
    soak[0]._compare(soak[1])


def test_a_missing_result_is_seen(soak):
  (soak[1] / 'step_1.npz').unlink()
  with pytest.raises(SystemExit, match='step_1.npz'):
    soak[0]._compare(soak[1])


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_lost_steps_are_seen(soak, number):
  """Two steps were trained; the next start goes on from the first."""
  kill = Kill(0, number, read_log(_LOG), 1.0, [75, 75])
  soak[0].kills.append(kill)
  next_start = _LOG.replace('from step 0', 'from step 1')
  if number == signal.SIGTERM:
    with pytest.raises(SystemExit, match='lost 1 steps'):
      soak[0]._note_lost(next_start)
  else:
    soak[0]._note_lost(next_start)
    assert kill.lost == 1
    assert 'each time [1]' in soak[0].summary()
