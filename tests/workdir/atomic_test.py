"""Tests that files and folders are there whole or not at all."""

import errno
import os
import resource

import pytest

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts, atomic


def test_writing_makes_folders_and_leaves_nothing_else(tmp_path):
  path = tmp_path / 'a' / 'b' / 'file'
  for content in (b'first', b'second'):
    atomic.write_bytes(path, content)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_write_cut_short_keeps_the_old_content(tmp_path, monkeypatch):
  path = tmp_path / 'file'
  atomic.write_bytes(path, b'old')

  def interrupted(file):
    os.ftruncate(file, 2)
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'fsync', interrupted)
  with pytest.raises(KeyboardInterrupt):
    atomic.write_bytes(path, b'new')
  assert path.read_bytes() == b'old'
  assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_sentence_and_the_old_content_stays(tmp_path):
  path = tmp_path / 'file'
  atomic.write_bytes(path, b'old')
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  # Files longer than this cannot be written, as on a disk that is full.
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
  try:
    with pytest.raises(DataDietError) as error:
      atomic.write_bytes(path, b'new' * 1000)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert str(error.value) == f'cannot write {path}: File too large'
  assert path.read_bytes() == b'old'
  assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
  # A file in the way: root, as whom tests may run, may write anywhere else.
  (tmp_path / 'file').write_text('')
  with pytest.raises(DataDietError) as error:
    artifacts.write_json(tmp_path / 'file' / 'config.json', {})
  assert str(error.value).startswith(
    f'cannot write {tmp_path}/file/config.json'
  )
  assert '\n' not in str(error.value)


def write_two(folder, content):
  with atomic.atomic_folder(folder) as temporary:
    for name in ('a', 'b'):
      atomic.write_file(temporary / name, content)
    artifacts.write_manifest(temporary, {})


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_made_and_replaced_whole(tmp_path):
  folder = tmp_path / 'above [1]' / 'a*'
  for content in (b'first', b'second'):
    write_two(folder, content)
    assert contents(folder) == {
      'a': content,
      'b': content,
      'manifest.json': b'{}\n',
    }
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_cut_short_keeps_the_old_one(tmp_path):
  folder = tmp_path / 'folder'
  write_two(folder, b'old')
  with pytest.raises(KeyError), atomic.atomic_folder(folder) as temporary:
    assert not contents(temporary)
    atomic.write_file(temporary / 'a', b'new')
    raise KeyError
  assert contents(folder)['a'] == b'old'
  assert list(tmp_path.iterdir()) == [folder]


class LibraryError(Exception):
  """Of a library that writes files in its own way."""


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, 'Auf dem Gerät ist kein Platz mehr'),
    OSError(errno.EDQUOT, 'Disk quota exceeded'),
    LibraryError('I/O error: No space left on device (os error 28)'),
    ValueError('RESOURCE_EXHAUSTED: a/b; No space left on device'),
  ],
)
@pytest.mark.parametrize('is_wrapped', [False, True])
def test_a_full_disk_is_named_whatever_the_words(tmp_path, error, is_wrapped):
  with (
    pytest.raises(DataDietError) as told,
    atomic.atomic_path(tmp_path / 'out') as temporary,
  ):
    temporary.write_text('half')
    if is_wrapped:
      raise LibraryError('cannot write') from error
    raise error
  expected = f'cannot write {tmp_path}/out: no space left on device'
  assert str(told.value) == expected
  assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path):
  for error in (LibraryError('bad'), DataDietError('bad'), KeyboardInterrupt()):
    with (
      pytest.raises(type(error)) as told,
      atomic.atomic_path(tmp_path / 'out'),
    ):
      raise error
    assert told.value is error


def test_what_a_killed_process_left_is_removed(tmp_path, monkeypatch):
  (tmp_path / 'scores').mkdir()
  (tmp_path / 'scores' / 'mine.tmp').write_text('not of this program')
  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', _killed)
    patch.setattr(atomic, '_remove', lambda path: None)
    with pytest.raises(KeyboardInterrupt):
      atomic.write_bytes(tmp_path / 'scores' / 'el2n.npy', b'half')
    with pytest.raises(KeyboardInterrupt):
      write_two(tmp_path / 'scores' / 'folder', b'half')
  assert len(list((tmp_path / 'scores').iterdir())) == 3
  atomic.clear_half_written(tmp_path)
  left = [path.name for path in (tmp_path / 'scores').iterdir()]
  assert left == ['mine.tmp']


def _killed(source, target):
  raise KeyboardInterrupt
