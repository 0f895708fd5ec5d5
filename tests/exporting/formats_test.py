"""Tests that an export is whole or not there, and of what is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from datadiet import exporting
from datadiet.errors import ConfigError, DataDietError
from datadiet.exporting import formats as formats_lib
from datadiet.exporting import lists
from tests import running


@pytest.fixture
def root(digits):
  return digits.results.workdir.root


def _broken(error):
  def write(subset, folder, final):
    del subset, final
    folder.mkdir()
    (folder / 'half').write_text('half')
    raise error

  return formats_lib.Format(write, 'broken', '')


@pytest.mark.parametrize(
  ('error', 'message'),
  [
    (DataDietError('no'), '^no$'),
    (OSError(28, 'No space left on device'), 'cannot write .*out: no space'),
  ],
)
def test_what_fails_leaves_nothing(root, tmp_path, monkeypatch, error, message):
  monkeypatch.setitem(exporting.EXPORTS, 'broken', _broken(error))
  before = sorted(tmp_path.iterdir())
  with pytest.raises(DataDietError, match=message):
    exporting.export_selection(root, 'some', 'broken', tmp_path / 'out')
  assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize('name', list(exporting.EXPORTS))
@pytest.mark.parametrize('kind', ['file', 'folder', 'broken link'])
def test_an_output_that_exists_is_left_alone(root, tmp_path, name, kind):
  output = tmp_path / 'out'
  if kind == 'folder':
    output.mkdir()
  elif kind == 'file':
    output.write_text('precious')
  else:
    output.symlink_to(tmp_path / 'nowhere')
  with pytest.raises(ConfigError, match='out exists; allowed: a path that'):
    exporting.export_selection(root, 'some', name, output)
  assert kind != 'file' or output.read_text() == 'precious'


def test_an_output_made_meanwhile_is_left_alone(root, tmp_path, monkeypatch):
  def write(subset, path, final):
    path.write_text('new')
    final.write_text('precious')

  form = formats_lib.Format(write, '', '')
  monkeypatch.setitem(exporting.EXPORTS, 'slow', form)
  with pytest.raises(ConfigError, match='exists'):
    exporting.export_selection(root, 'some', 'slow', tmp_path / 'out')
  assert (tmp_path / 'out').read_text() == 'precious'
  assert not list(tmp_path.glob('.out*'))


@pytest.mark.parametrize(
  ('selection', 'name', 'output', 'message'),
  [
    ('some', 'list', 'out', "'list' is not allowed.*mean lists"),
    ('some', 'lists', 'gs://bucket/out', 'allowed: a local path'),
    ('some', 'lists', '', 'allowed: a local path'),
    ('som', 'lists', 'out', "no selection 'som'; it has .*mean some"),
  ],
)
def test_what_is_refused(
  root, tmp_path, monkeypatch, selection, name, output, message
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(DataDietError, match=message):
    exporting.export_selection(root, selection, name, output)
  assert not (tmp_path / 'out').exists()


def test_a_draw_of_each_run(root, digits, tmp_path):
  name = f'random_{len(digits.example_index)}'
  drawn = []
  for run in (0, 1):
    output = tmp_path / str(run)
    exporting.export_selection(root, name, 'lists', output, run=run)
    drawn.append(np.load(output / 'indices.npy'))
  assert not np.array_equal(*drawn)
  with pytest.raises(DataDietError, match='no draw for run 7'):
    exporting.export_selection(root, name, 'lists', tmp_path / 'out', run=7)


def test_other_data_is_refused(root, tmp_path):
  path = root / 'dataset.json'
  content = json.loads(path.read_text()) | {'labels_fingerprint': '0123'}
  path.write_text(json.dumps(content))
  with pytest.raises(DataDietError, match='other labels'):
    exporting.export_selection(root, 'some', 'lists', tmp_path / 'out')


def _command(*flags):
  return subprocess.run(
    [sys.executable, '-m', 'datadiet.export', *flags],
    cwd=running.REPOSITORY,
    capture_output=True,
    text=True,
    check=False,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
  )


def test_the_command(root, digits, tmp_path):
  output = tmp_path / 'deep' / 'out'
  flags = (f'--workdir={root}', '--selection=some', '--format=lists')
  done = _command(*flags, f'--output={output}')
  assert done.returncode == 0, done.stderr
  assert f'36 examples in {output}' in done.stderr
  assert len(np.load(output / 'indices.npy')) == len(digits.example_index) == 36
  done = _command(*flags, f'--output={output}')
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith('datadiet: --output: ')
  done = _command(*flags)
  assert (done.returncode, done.stderr) == (
    2,
    'datadiet: --output is missing\n',
  )
  done = _command('--fromat=lists')
  assert done.returncode == 2
  assert done.stderr == (
    'datadiet: --fromat is not a flag; did you mean format?\n'
  )


def test_links_are_for_image_folders_alone(root, tmp_path):
  with pytest.raises(ConfigError, match='--link is for --format=image_folder'):
    exporting.export_selection(
      root, 'some', 'lists', tmp_path / 'out', link=True
    )


@pytest.mark.parametrize('name', ['lists', 'torch', 'image_folder'])
def test_folders_say_what_the_test_split_is(digits, root, tmp_path, name):
  output = exporting.export_selection(root, 'some', name, tmp_path / 'out')
  found = (output / 'test_ids.txt').read_text().split()
  assert found == digits.dataset.test.ids.tolist()
  # What the workdir states counts.
  (root / 'test_ids.txt').write_bytes(b'one\ntwo\rthree\n')
  output = exporting.export_selection(root, 'some', name, tmp_path / 'again')
  assert (output / 'test_ids.txt').read_bytes() == b'one\ntwo\rthree\n'


@pytest.mark.parametrize(
  ('name', 'message'), [('a\nb', 'line feed'), ('a\udcffb', 'no valid Unicode')]
)
def test_ids_that_no_line_can_hold_are_refused(tmp_path, name, message):
  with pytest.raises(DataDietError, match=message):
    lists.write_ids(tmp_path / 'ids.txt', ['fine', name])
  assert not (tmp_path / 'ids.txt').exists()
