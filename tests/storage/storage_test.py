"""Tests datadiet.workdir.storage against local object stores."""

import importlib.util
import os
import threading

import numpy as np
import pytest
from etils import epath

from datadiet.errors import ConfigError, DataDietError, Preempted
from datadiet.workdir import artifacts, storage
from tests.storage import stores


def test_what_is_written_is_read(store):
  folder = epath.Path(store.root) / 'artifacts'
  artifacts.write_json(folder / 'a.json', {'b': 1})
  artifacts.write_npy(folder / 'below' / 'c.npy', np.arange(5))
  artifacts.write_npz(folder / 'd.npz', {'e': np.ones(3)})
  artifacts.write_manifest(folder, {'fingerprint': 'f'})
  assert artifacts.read_json(folder / 'a.json') == {'b': 1}
  assert artifacts.read_npy(folder / 'below' / 'c.npy').tolist() == [*range(5)]
  assert artifacts.read_npz(folder / 'd.npz')['e'].tolist() == [1, 1, 1]
  assert artifacts.is_complete(folder, fingerprint='f')
  assert artifacts.read_manifest(folder / 'below') is None
  # Nothing under another name.
  assert sorted(storage.files_below(folder)) == [
    'a.json',
    'below/c.npy',
    'd.npz',
    'manifest.json',
  ]
  with pytest.raises(DataDietError, match=r'artifacts/g.npy does not exist'):
    artifacts.read_npy(folder / 'g.npy')


@pytest.mark.parametrize('name', ['plain', 'x[1] y*', 'x?', '[xy]'])
def test_folders_may_have_any_name(store, name):
  root = epath.Path(store.root) / 'names'
  for folder in (name, 'x1 yz', 'x', 'xy'):
    for path in ('a/manifest.json', 'a/b/manifest.json', 'c.csv'):
      artifacts.write_json(root / folder / path, 1)
  found = storage.matching(root / name, ['*/manifest.json', '*.csv'])
  assert found == [root / name / 'a' / 'manifest.json', root / name / 'c.csv']
  storage.move(root / name, root / 'moved *')
  storage.remove(root / 'moved *' / 'c.csv')
  storage.remove(root / 'moved *' / 'c.csv')
  assert sorted(storage.files_below(root / 'moved *')) == [
    'a/b/manifest.json',
    'a/manifest.json',
  ]
  storage.remove_folder(root / 'moved *')
  storage.remove_folder(root / 'moved *')
  left = {path.split('/')[0] for path in storage.files_below(root)}
  assert left == {'x1 yz', 'x', 'xy'}
  storage.remove_folder(root)


def test_what_others_write_is_seen_at_once(store):
  folder = epath.Path(store.root) / 'shared'
  artifacts.write_json(folder / 'a.json', 1)
  assert [path.name for path in folder.iterdir()] == ['a.json']
  store.files.pipe_file(f'{stores.BUCKET}/shared/b.json', b'2')
  assert {path.name for path in folder.iterdir()} == {'a.json', 'b.json'}
  assert artifacts.read_json(folder / 'b.json') == 2
  (folder / 'a.json').unlink()
  assert not (folder / 'a.json').exists()


def test_a_reader_sees_the_old_content_or_the_new(store):
  path = epath.Path(store.root) / 'overwritten'
  contents = [bytes([letter]) * size for letter, size in ((97, 9), (98, 2**19))]
  storage.write_bytes(path, contents[0])
  done = threading.Event()

  def write():
    try:
      for number in range(30):
        storage.write_bytes(path, contents[number % 2])
    finally:
      done.set()

  writer = threading.Thread(target=write)
  writer.start()
  seen = set()
  while not done.is_set():
    seen.add(storage.read_bytes(path))
  writer.join()
  assert seen <= set(contents)


def test_folders_are_listed_copied_and_moved(store, tmp_path):
  folder = epath.Path(store.root) / 'many'
  for name in ('a', 'b/c', 'b/d/e'):
    storage.write_bytes(folder / name, name.encode())
  # As consoles show an empty folder.
  store.files.pipe_file(f'{stores.BUCKET}/many/empty/', b'')
  found = storage.files_below(folder)
  assert {name: size for name, (size, _) in found.items()} == {
    'a': 1,
    'b/c': 3,
    'b/d/e': 5,
  }
  copied = []
  storage.copy_here(folder, tmp_path / 'here', [*found], copied.append)
  assert sum(copied) == 9
  assert (tmp_path / 'here' / 'b' / 'd' / 'e').read_text() == 'b/d/e'
  storage.move(folder, folder.parent / 'moved')
  assert not folder.exists()
  assert storage.read_bytes(folder.parent / 'moved' / 'b' / 'c') == b'b/c'


def test_copying_can_be_stopped_in_the_middle(store, tmp_path):
  path = epath.Path(store.root) / 'stopped'
  storage.write_bytes(path, bytes(2**22))

  def stop(count):
    del count
    raise Preempted

  with pytest.raises(Preempted):
    storage.copy_here(path, tmp_path / 'here', [''], stop)


def test_a_large_object_goes_there_and_back(store, tmp_path):
  content = os.urandom(2**20) * 120  # In several parts.
  (tmp_path / 'large').write_bytes(content)
  path = epath.Path(store.root) / 'large'
  storage.upload(tmp_path / 'large', path)
  storage.download(path, tmp_path / 'back')
  assert (tmp_path / 'back').read_bytes() == content
  assert storage.read_bytes(path) == content
  path.unlink()


@pytest.mark.parametrize('status', [500, 503])
def test_requests_that_fail_are_tried_again(gateway, waits, status):
  path = epath.Path(gateway.store.root) / 'retried'
  gateway.fail(lambda method, path, number: status if number < 3 else 0)
  storage.write_bytes(path, b'content')
  assert gateway.num_failed == 3
  gateway.fail(lambda method, path, number: status if number < 3 else 0)
  assert storage.read_bytes(path) == b'content'
  assert gateway.num_failed == 3
  gateway.fail(lambda method, path, number: status if number < 3 else 0)
  assert path.exists() and gateway.num_failed == 3
  # Longer and longer, and at random: S3's up to 1, 2 and 4 s, Google's 1, 2
  # and 4 s and up to one more.
  bounds = [1, 2, 4] if gateway.store.scheme == 's3' else [2, 3, 5]
  assert len(waits) == 9 and len(set(waits)) == 9
  for wait, bound in zip(waits, bounds * 3, strict=True):
    assert 0 < wait <= bound


def test_requests_are_not_tried_for_ever(gateway, waits):
  path = epath.Path(gateway.store.root) / 'failing'
  gateway.fail(lambda method, path, number: 503)
  with pytest.raises(Exception) as caught:
    storage.write_bytes(path, b'content')
  assert len(gateway.seen) == 6
  assert 10 < sum(waits) + 20 < 60
  told = storage.as_store_error(caught.value)
  assert told.is_transient
  assert str(told).startswith('the object store failed: ')
  assert '\n' not in str(told)


def test_an_answer_that_is_cut_off_is_not_taken_for_the_content(gateway, waits):
  path = epath.Path(gateway.store.root) / 'cut'
  storage.write_bytes(path, b'content' * 1000)

  def cut_first(method, path, number):
    is_first = not any(one == 'GET' for one, _ in gateway.seen)
    return -1 if method == 'GET' and is_first else 0

  gateway.fail(cut_first)
  assert storage.read_bytes(path) == b'content' * 1000
  assert gateway.num_failed == 1


def test_access_denied_is_said_at_once(gateway, waits):
  gateway.fail(lambda method, path, number: 403)
  for to_write in (True, False):
    with pytest.raises(ConfigError, match='^--workdir: .*/w cannot be used: '):
      storage.check_usable(
        f'{gateway.store.root}/w', '--workdir', to_write=to_write
      )
  assert not waits


def test_a_bucket_that_is_missing_is_said(store, waits):
  with pytest.raises(ConfigError) as caught:
    storage.check_usable(
      f'{store.scheme}://missing/w', '--workdir', to_write=True
    )
  assert 'there is no such bucket' in str(caught.value)
  assert not waits


def test_a_check_leaves_nothing(store):
  storage.check_usable(f'{store.root}/checked', '--workdir', to_write=True)
  storage.check_usable(f'{store.root}/checked', '--workdir')
  assert storage.files_below(f'{store.root}/checked') == {}


def test_a_store_that_does_not_answer_is_no_wrong_setting(use, waits):
  use(stores.Store('s3', stores.free_port()))
  with pytest.raises(DataDietError, match='cannot be used: ') as caught:
    storage.check_usable('s3://bucket/w', '--workdir', to_write=True)
  assert not isinstance(caught.value, ConfigError)


def test_missing_credentials_are_said(use, waits, monkeypatch):
  use(stores.Store('s3', stores.free_port()))
  for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
    monkeypatch.delenv(name)
  monkeypatch.setenv('AWS_EC2_METADATA_DISABLED', 'true')
  monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', os.devnull)
  with pytest.raises(ConfigError, match='no credentials were found'):
    storage.check_usable('s3://bucket/w', '--workdir', to_write=True)


@pytest.mark.parametrize(('scheme', 'extra'), [('gs', 'gcs'), ('s3', 's3')])
def test_a_missing_library_is_named_with_its_extra(scheme, extra, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ConfigError, match=rf'--workdir: .*\.\[{extra}\]'):
    storage.check_usable(f'{scheme}://bucket/w', '--workdir', to_write=True)


def test_other_schemes_are_refused():
  with pytest.raises(ConfigError, match='allowed: a local path or .* s3://'):
    storage.check_usable('az://bucket/w', 'config.dataset.data_dir')


def test_other_errors_are_none_of_a_store():
  try:
    raise ValueError('of the program')
  except ValueError as error:
    assert storage.as_store_error(error) is None
