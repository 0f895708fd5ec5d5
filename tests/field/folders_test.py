"""Folders as people have them: read as they are meant, or refused."""

import os
import random
import types
import unicodedata

import pytest

from datadiet.data import load_dataset, tree
from datadiet.data.sources import folder_classes, folder_layout
from datadiet.data.sources.folder_layout import class_folders, split_kind
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats


def _load(root, *folders, num=5, **changes):
  formats.write_image_folder(root, dict.fromkeys(folders, num), size=8)
  return load_dataset(formats.settings('image_folder', root, **changes))


def _splits(dataset):
  return [
    {os.path.dirname(os.path.dirname(name)) for name in split.ids.tolist()}
    for split in (dataset.train, dataset.test)
  ]


@pytest.mark.parametrize(
  'train, test',
  [
    ('Train', 'Test'),
    ('training', 'validation'),
    ('TRAINING_SET', 'TEST_SET'),
    ('train2017', 'val2017'),
    ('seg_train', 'seg_test'),
    ('seg_train/seg_train', 'seg_test/seg_test'),
    ('Train/Train', 'eval'),
    ('TrainImages', 'TestImages'),
    ('Training', 'dev'),
  ],
)
def test_split_folders_of_any_name_are_splits(tmp_path, train, test):
  # Beside them what is no split, with images and without.
  formats.write(tmp_path / 'annotations/cat.xml', b'<xml/>')
  formats.write_image_folder(tmp_path, {'pred/pred': 2, 'samples': 1}, size=8)
  dataset = _load(
    tmp_path, f'{train}/cat', f'{train}/dog', f'{test}/cat', f'{test}/dog'
  )
  assert dataset.class_names == ('cat', 'dog')
  assert _splits(dataset) == [{train}, {test}]


def test_what_is_left_out_beside_splits_is_told(tmp_path, caplog):
  caplog.set_level('INFO')
  formats.write_image_folder(tmp_path, {'pred/pred': 2, 'samples': 1}, size=8)
  formats.write(tmp_path / 'loose.png', b'x')
  folders = [f'{s}/{c}' for s in ('Train', 'Test') for c in 'ab']
  _load(tmp_path, *folders)
  assert 'left out 4 images' in caplog.text
  assert '1 in no folder, 2 in pred, 1 in samples' in caplog.text


def test_validation_is_the_test_split_where_there_is_no_other(tmp_path):
  folders = [f'{s}/{c}' for s in ('TRAIN', 'Valid', 'extra') for c in 'ab']
  assert _splits(_load(tmp_path, *folders)) == [{'TRAIN'}, {'Valid'}]
  dataset = _load(tmp_path, 'Test_1/a', 'Test_1/b')
  assert _splits(dataset) == [{'TRAIN'}, {'Test_1'}]
  with pytest.raises(DataDietError, match='several folders.*Test_1, Test_2'):
    _load(tmp_path, 'Test_2/a', 'Test_2/b')
  dataset = _load(tmp_path, test_split='Test_2')
  assert _splits(dataset) == [{'TRAIN'}, {'Test_2'}]


def test_an_unlabelled_test_folder_is_no_test_split(tmp_path, caplog):
  dataset = _load(tmp_path, 'train/a', 'train/b', 'test')
  assert _splits(dataset) == [{'train'}, {'train'}]
  assert 'left out 5 images' in caplog.text


@pytest.mark.parametrize(
  'names',
  [('steam_train', 'diesel_train'), ('bus', 'train'), ('test_tube', 'flask')],
)
def test_classes_may_be_named_like_splits(tmp_path, names):
  assert _load(tmp_path, *names).class_names == tuple(sorted(names))


@pytest.mark.parametrize('other', ['diesel_train', 'diesel_train/old', 'train'])
def test_classes_named_like_splits_with_folders_are_refused(tmp_path, other):
  folders = ('steam_train/a', 'steam_train/b', other)
  with pytest.raises(DataDietError, match='train split|has no split|splits'):
    _load(tmp_path, *folders)


def test_a_train_folder_beside_classes_is_for_the_user_to_name(tmp_path):
  folders = ('bus', 'train/steam', 'train/diesel')
  with pytest.raises(DataDietError, match='beside bus; if it is a split, set'):
    _load(tmp_path, *folders)
  dataset = _load(tmp_path, train_splits=('train',))
  assert dataset.class_names == ('diesel', 'steam')


def test_folds_can_be_chosen_as_splits(tmp_path):
  folders = [f'fold{i}/{c}' for i in range(3) for c in 'ab']
  dataset = _load(
    tmp_path, *folders, train_splits=('fold0', 'fold1'), test_split='fold2'
  )
  assert _splits(dataset) == [{'fold0', 'fold1'}, {'fold2'}]


@pytest.mark.parametrize(
  'folders, where',
  [
    (('archive/cat', 'archive/dog'), 'archive'),
    (('archive/train/cat', 'archive/train/dog'), 'archive'),
    (('data/cat/a', 'data/dog/b'), 'data'),
    (('train/data/cat', 'train/data/dog'), 'train/data'),
  ],
)
def test_a_folder_one_level_too_high_names_the_right_one(
  tmp_path, folders, where
):
  message = f'makes one class.*config.dataset.data_dir={tmp_path}/{where}$'
  with pytest.raises(DataDietError, match=message):
    _load(tmp_path, *folders)


@pytest.mark.parametrize('folders', [('cat',), ('train/cat', 'test/cat')])
def test_one_class_is_an_error(tmp_path, folders):
  with pytest.raises(DataDietError, match='one class, and two are needed'):
    _load(tmp_path, *folders)


@pytest.mark.parametrize(
  'folders',
  [
    # Two data sets, or what lies above two.
    ('flowers/rose', 'flowers/tulip', 'animals/cat', 'animals/dog'),
    ('bottle/train/good', 'bottle/test/bad', 'cable/train/good'),
    ('cat/train', 'dog/train'),
    ('cat/2019', 'cat/2020', 'dog/2019'),
    # The archive holds itself once more.
    ('sick', 'well', 'cells/sick', 'cells/well'),
    ('cat', 'dog', 'archive/horse', 'archive/cow'),
    # Small copies beside the images.
    ('cat', 'dog', 'cat/small', 'dog/small'),
    ('train/x/cat', 'train/x/dog', 'train/y/cat', 'test/x/cat', 'test/y/cat'),
  ],
)
def test_deeper_folders_that_could_be_classes_are_refused(tmp_path, folders):
  with pytest.raises(DataDietError, match='deeper than CLASS/FILE.* with '):
    _load(tmp_path, *folders)


@pytest.mark.parametrize(
  'folders',
  [
    ('cat/images', 'dog/images'),
    ('cat/full/images', 'dog/full/images'),
    ('cat', 'dog/more'),
    ('cat/a', 'dog/b'),
    ('cat/cat', 'dog/dog'),
  ],
)
def test_deeper_folders_of_a_class_belong_to_it(tmp_path, folders):
  assert _load(tmp_path, *folders).class_names == ('cat', 'dog')


def test_droppings_of_file_systems_are_left_out(tmp_path, caplog):
  caplog.set_level('INFO')
  names = '@eaDir __MACOSX .ipynb_checkpoints lost+found $RECYCLE.BIN'.split()
  for folder in (tmp_path, tmp_path / 'cat', tmp_path / 'dog'):
    for name in names:
      formats.write(folder / name / 'x.png', b'no image')
    for name in ('.DS_Store', 'Thumbs.db', '._000.png'):
      formats.write(folder / name, b'no image')
  dataset = _load(tmp_path, 'cat', 'dog')
  assert dataset.class_names == ('cat', 'dog')
  assert dataset.train.num_examples + dataset.test.num_examples == 10
  for name in (*names, '.DS_Store', 'Thumbs.db', '._*'):
    assert f'{name} (3)' in caplog.text


def test_empty_class_folders_are_told_of(tmp_path, caplog):
  for name in ('fox', 'hen'):
    (tmp_path / name).mkdir()
  formats.write(tmp_path / 'notes/read me.txt', b'x')
  assert _load(tmp_path, 'cat', 'dog').class_names == ('cat', 'dog')
  assert '3 folders hold no images and are no classes: fox, hen' in caplog.text


def _refusing(monkeypatch, number, *names):
  """Listing folders of these names fails as it does for other users."""

  def scandir(path):
    if os.path.basename(path) in names:
      raise OSError(number, os.strerror(number), path)
    return os.scandir(path)

  system = types.SimpleNamespace(
    scandir=scandir, stat=os.stat, fspath=os.fspath, PathLike=os.PathLike
  )
  monkeypatch.setattr(tree, 'os', system)


@pytest.mark.parametrize('number', [13, 116, 5])
@pytest.mark.parametrize('folder', ['dog', 'more', 'train'])
def test_a_folder_that_cannot_be_listed_is_an_error(
  tmp_path, monkeypatch, number, folder
):
  folders = [f'{s}/{c}' for s in ('train', 'test') for c in ('cat', 'dog')]
  _load(tmp_path, *folders, 'train/cat/more')
  _refusing(monkeypatch, number, folder)
  message = f'{folder} cannot be read .{os.strerror(number)}'
  with pytest.raises(DataDietError, match=message):
    _load(tmp_path)
  with pytest.raises(DataDietError, match=message):
    _load(tmp_path, cache_dir=str(tmp_path.parent / 'cache'))


def test_a_file_that_cannot_be_read_is_never_skipped(tmp_path, monkeypatch):
  """skip_unreadable is for damaged files: this one may be good."""
  _load(tmp_path, 'cat', 'dog')
  (tmp_path / 'cat/000.png').unlink()
  (tmp_path / 'cat/000.png').mkdir()  # What opening it says: a directory.
  formats.write(tmp_path / 'dog/001.png', b'damaged')

  def listed(root):
    return ['cat/000.png', *(p for p in paths if p != 'cat/000.png')]

  paths = sorted(tree.walk(tmp_path).files)
  found = tree.Tree(listed(tmp_path), [], tree.Counter(), [])
  monkeypatch.setattr(tree, 'walk', lambda _: found)
  with pytest.raises(DataDietError, match='Is a directory.*; remove it$'):
    _load(tmp_path, num=0, skip_unreadable=True)


def test_a_class_of_which_nothing_can_be_read_is_an_error(tmp_path):
  _load(tmp_path, 'cat', 'dog')
  for path in (tmp_path / 'dog').iterdir():
    path.write_bytes(b'damaged')
  with pytest.raises(DataDietError, match="no image of the class 'dog' can be"):
    _load(tmp_path, num=0, skip_unreadable=True)


def test_all_unreadable_images_are_told_at_once(tmp_path):
  _load(tmp_path, 'cat', 'dog', num=30)
  for i in range(25):
    (tmp_path / f'cat/{i:03d}.png').write_bytes(b'damaged')
  with pytest.raises(DataDietError) as error:
    _load(tmp_path, num=0)
  assert 'nor 24 others' in str(error.value)
  assert 'and 5 more' in str(error.value)
  assert str(error.value).count('.png') == 20
  assert 'skip_unreadable=True' in str(error.value)


def test_links_in_circles_end(tmp_path, caplog):
  caplog.set_level('INFO')
  root = tmp_path / 'data'
  _load(root, 'cat', 'dog')
  (root / 'cat/itself').symlink_to(root / 'cat')
  (root / 'cat/up').symlink_to(root)
  # Each of two folders leads to the other.
  for name in 'xy':
    (tmp_path / name).mkdir()
  (tmp_path / 'x/to_y').symlink_to(tmp_path / 'y')
  (tmp_path / 'y/to_x').symlink_to(tmp_path / 'x')
  (root / 'dog/x').symlink_to(tmp_path / 'x')
  (root / 'dog/broken.txt').symlink_to(root / 'dog/broken.txt')
  dataset = _load(root, num=0)
  assert dataset.train.num_examples + dataset.test.num_examples == 10
  assert 'cat/itself, cat/up, dog/x/to_y/to_x' in caplog.text


def test_a_pipe_is_not_waited_for(tmp_path):
  (tmp_path / 'cat').mkdir()
  os.mkfifo(tmp_path / 'cat/pipe.png')
  assert _load(tmp_path, 'cat', 'dog').num_classes == 2


@pytest.mark.parametrize('names', [('é', 'é'), ('cat', 'cat '), ('Å', 'Å')])
def test_classes_that_read_the_same_are_refused(tmp_path, names):
  one = unicodedata.normalize('NFC', names[0])
  other = unicodedata.normalize('NFD', names[1])
  with pytest.raises(DataDietError, match='two classes that read'):
    _load(tmp_path, one, other, 'dog')


def test_classes_that_differ_by_case_are_told_of(tmp_path, caplog):
  assert _load(tmp_path, 'Cat', 'cat', 'dog').num_classes == 3
  assert 'differ by case alone: Cat, cat' in caplog.text


@pytest.mark.parametrize(
  'names, found',
  [
    (('a.heic', 'b.heic', 'c.txt'), '2 .heic, 1 .txt'),
    (('a.svg',), '1 .svg'),
    (('noending',), '1 without an ending'),
  ],
)
def test_endings_that_were_found_are_named(tmp_path, names, found):
  for name in names:
    formats.write(tmp_path / 'cat' / name, b'x')
  with pytest.raises(DataDietError, match=f'no images but .*{found}'):
    _load(tmp_path)
  (tmp_path / 'empty').mkdir()
  with pytest.raises(DataDietError, match='no images; allowed'):
    _load(tmp_path / 'empty')


def test_images_without_any_folder_are_no_class(tmp_path):
  formats.write_image_folder(tmp_path, {'.': 3}, size=8)
  with pytest.raises(DataDietError, match='3 images and no folder of a class'):
    _load(tmp_path)
  with pytest.raises(ConfigError, match='train_splits'):
    _load(tmp_path, train_splits=('train',))


def test_the_words_that_name_splits():
  kinds = {
    'train': 'Train training TRAINSET train_01 seg_train my-train',
    'test': 'test Testing test2 eval Evaluation seg_test',
    'validation': 'val valid VALIDATION dev val2017',
    '': 'cat trainer testament value device train_test retrain a_train_b',
  }
  for kind, names in kinds.items():
    assert {split_kind(name) for name in names.split()} == {kind}


def test_class_folders_of_ids():
  paths = ['s/s/a/1.png', 's/s/b/c/2.png']
  assert class_folders(paths, ['a', 'b']) == ['s/s/a', 's/s/b']
  assert class_folders(['a/a/1.png', 'a/b/2.png'], ['a', 'b']) == ['a/a', 'a/b']
  mixed = ['train/a/1.png', 'x/x/b/1.png']
  assert class_folders(mixed, ['a', 'b']) == ['train/a', 'x/x/b']


_NAMES = (
  'train Train test val cat dog Cat images 2019 archive seg_train/seg_train '
  'annotations dev'
).split()


@pytest.mark.parametrize('seed', range(4))
def test_random_trees_are_read_in_one_way_or_refused_in_a_line(seed):
  """Each image read is of the class that its folder below a split names."""
  rng = random.Random(seed)
  num_read = 0
  for _ in range(250):
    files = sorted(
      {
        '/'.join(
          [*rng.choices(_NAMES, k=rng.choice((0, 1, 2, 2, 3))), f'{i}.png']
        )
        for i in range(rng.randint(1, 12))
      }
    )
    settings = formats.settings('image_folder', '/data')
    try:
      layout = folder_layout.find(files, settings, '/data')
      paths = {
        split: [path for path in files if layout.class_of(path, bases)]
        for split, bases in layout.bases.items()
      }
      class_of = layout.class_by_path(paths)
      names = sorted({class_of[path] for path in paths['train']})
      folder_classes.check_classes(layout, paths, names, '/data')
    except DataDietError as error:
      assert '\n' not in str(error)
      continue
    num_read += 1
    assert len(names) > 1
    assert not {*paths['train']} & {*paths.get('test', ())}
    for split, bases in layout.bases.items():
      for path in paths[split]:
        assert any(
          path.startswith('/'.join(filter(None, (base, class_of[path], ''))))
          for base in bases
        )
        # No class is a folder of other classes.
        inside = path.split(class_of[path] + '/', 1)[1].split('/')[:-1]
        assert not {*inside} & ({*names} - {class_of[path]})
  assert num_read > 5


@pytest.mark.parametrize(
  'names', [('images', 'masks'), ('JPEGImages', 'Annotations'), ('img', 'gt_x')]
)
def test_pictures_beside_their_masks_are_no_classes(names, tmp_path):
  counts = dict.fromkeys(names, 6)
  formats.write_image_folder(tmp_path, counts, size=8)
  settings = formats.settings('image_folder', tmp_path)
  if names[1] == 'gt_x':  # Any other name is a class.
    assert load_dataset(settings).class_names == ('gt_x', 'img')
    return
  with pytest.raises(DataDietError, match='read as pictures and what belongs'):
    load_dataset(settings)
