"""Tests of local paths; tests/storage has those of object stores."""

import pytest
from etils import epath

from datadiet.workdir import storage

FILES = ('b/manifest.json', 'a/manifest.json', 'a/c/manifest.json', 'a/x.csv')


def make_files(root):
  for name in FILES:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)


@pytest.mark.parametrize('name', ['plain', 'a[1] b*', '[ab]', '**', '?'])
def test_files_are_found_below_a_folder_of_any_name(tmp_path, name):
  root = epath.Path(tmp_path / name)
  assert storage.matching(root, ['*/manifest.json']) == []
  make_files(root)
  make_files(tmp_path / 'a')
  found = storage.matching(root, ['*/*.csv', '*/manifest.json', 'none/*'])
  assert found == [
    root / 'a' / 'manifest.json',
    root / 'a' / 'x.csv',
    root / 'b' / 'manifest.json',
  ]
  assert storage.matching(root, ['*/*/manifest.json']) == [
    root / 'a' / 'c' / 'manifest.json'
  ]


@pytest.mark.parametrize('name', ['a*', '[ab]', '?'])
def test_only_what_is_named_is_removed_or_moved(tmp_path, name):
  for folder in (name, 'a', 'b'):
    make_files(tmp_path / folder)
  storage.move(epath.Path(tmp_path / name), epath.Path(tmp_path / 'moved *'))
  assert (tmp_path / 'moved *' / 'a' / 'x.csv').exists()
  storage.remove(tmp_path / 'moved *' / 'a' / 'x.csv')
  storage.remove(tmp_path / 'moved *' / 'a' / 'x.csv')
  assert not (tmp_path / 'moved *' / 'a' / 'x.csv').exists()
  for _ in range(2):
    storage.remove_folder(tmp_path / 'moved *')
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']
