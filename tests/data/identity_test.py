"""Tests of what tells whether files have changed."""

import os
import types

import pytest

from datadiet.data import identity, tree
from datadiet.data.identity import source_identity
from tests.data import formats


def test_identity_tells_changed_files(tmp_path):
  formats.write(tmp_path / 'a/1.png', b'one')
  formats.write(tmp_path / 'b/2.png', b'two')
  before = source_identity(tmp_path)
  assert source_identity(tmp_path) == before
  os.utime(tmp_path / 'b/2.png', (1, 1))
  touched = source_identity(tmp_path)
  os.rename(tmp_path / 'b/2.png', tmp_path / 'b/3.png')
  renamed = source_identity(tmp_path)
  formats.write(tmp_path / 'a/1.png', b'longer')
  longer = source_identity(tmp_path)
  known = {str(x) for x in (before, touched, renamed, longer)}
  assert len(known) == 4
  assert len({x[0] for x in (before, touched, renamed, longer)}) == 1
  assert source_identity(tmp_path / 'a/1.png')[0] == 1


def test_what_a_system_leaves_there_is_no_change(tmp_path):
  formats.write(tmp_path / 'a/1.png', b'one')
  before = source_identity(tmp_path)
  formats.write(tmp_path / 'a/Thumbs.db', b'x')
  formats.write(tmp_path / '.DS_Store', b'x')
  assert source_identity(tmp_path) == before


def test_what_files_hold_counts_by_itself(tmp_path, monkeypatch):
  """On file systems whose inodes and times of change say nothing."""
  formats.write(tmp_path / '1.npz', b'one')

  same = types.SimpleNamespace(
    st_size=3, st_mtime_ns=3, st_ctime_ns=3, st_ino=3
  )
  system = types.SimpleNamespace(path=os.path, stat=lambda _: same)
  monkeypatch.setattr(identity, 'os', system)
  before = source_identity(tmp_path / '1.npz')
  formats.write(tmp_path / '1.npz', b'two')
  assert source_identity(tmp_path / '1.npz') != before


def test_folders_that_cannot_be_listed_are_an_error(tmp_path, monkeypatch):
  formats.write(tmp_path / 'a/1.png', b'one')

  def refuse(path):
    raise PermissionError(13, 'Permission denied', path)

  monkeypatch.setattr(tree.os, 'scandir', refuse)
  with pytest.raises(tree.DataDietError, match='Permission denied'):
    source_identity(tmp_path)
