"""Mutated folders of images: every image read is of the class it was put in."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datadiet.data import load_dataset
from tests.data import formats
from tests.field import mutations

# Each image has a colour of its own, so that it is known by its pixels.
_SPLITS = {
  'train': ('train', 'Train', 'training_set', 'seg_train', 'train2017'),
  'test': ('test', 'Test', 'eval', 'TestImages', 'val', 'validation'),
}
_ENDINGS = ('.png', '.PNG', '.bmp', '.tif', '.Webp')
_FORMS = {'.png': 'PNG', '.bmp': 'BMP', '.tif': 'TIFF', '.webp': 'WEBP'}
_DROPPINGS = ('@eaDir', '__MACOSX', '.git', '.ipynb_checkpoints', 'lost+found')
_OTHERS = ('notes.txt', 'Thumbs.db', '.DS_Store', '._a.png', 'labels.csv', 'x')


# Each with a folder of its own; of one class alone; of all, of one name; two of
# one class; a folder of a class's name in another.
_DEEPER = ('', '', '', '', 'own', 'one', 'all', 'two', 'another')
_FEW = ('', '', '', '', 'one image', 'none in test', 'one class')
_CLASS_NAMES = st.lists(mutations.NAMES, min_size=2, max_size=4, unique=True)
_COUNTS = st.integers(2, 4)
_LEFT = st.lists(
  st.tuples(
    st.integers(0, 9),
    st.sampled_from([*_DROPPINGS, '']),
    st.sampled_from(_OTHERS),
  ),
  max_size=3,
)


@st.composite
def trees(draw):
  """What to write: path -> number of the image, or None for another file.

  With it, the split and the class that each image is meant to have, and
  whether the tree has to be read.
  """
  names = draw(_CLASS_NAMES)
  splits = draw(st.sampled_from([('',), ('', ''), ('train', 'test')]))[:2]
  splits = splits if splits != ('', '') else ('train',)
  bases = [split and draw(st.sampled_from(_SPLITS[split])) for split in splits]
  deeper, few = draw(st.sampled_from(_DEEPER)), draw(st.sampled_from(_FEW))
  names = names[:1] if few == 'one class' else names
  files, meant = {}, {}
  for split, base in zip(splits, bases):
    for place, name in enumerate(names):
      num = draw(_COUNTS)
      if not place and few == 'one image':
        num = 1
      elif not place and few == 'none in test' and split == 'test':
        num = 0
      for i in range(num):
        stem, ending = draw(mutations.NAMES), draw(st.sampled_from(_ENDINGS))
        inner = {
          'own': f'of {name}',
          'one': '' if place else 'more',
          'all': 'images',
          'two': 'ab'[i % 2] if not place else '',
          'another': names[-1] if not place else '',
        }.get(deeper, '')
        path = '/'.join(filter(None, (base, name, inner, f'{i}{stem}{ending}')))
        meant[path] = (split or 'train', name)
        files[path] = len(meant)
  folders = sorted({os.path.dirname(path) for path in files} | {''})
  for number, dropping, other in draw(_LEFT):
    folder = folders[number % len(folders)]
    files['/'.join(filter(None, (folder, dropping, other)))] = None
    if dropping:
      files['/'.join(filter(None, (folder, dropping, 'y.png')))] = 0
  is_plain = deeper in ('', 'all') and not few
  return files, meant, is_plain and _are_plain(names)


def _is_hidden(name):
  return name.startswith('.') or name.casefold() in (
    *map(str.casefold, _DROPPINGS),
    'thumbs.db',
  )


def _are_plain(names):
  """Whether names of folders can mean classes alone, by this test's rules."""
  plain = {unicodedata.normalize('NFC', name.strip()) for name in names}
  words = ('train', 'test', 'val', 'dev', 'images')
  return (
    len(plain) == len(names)
    and '' not in plain
    and not any(map(_is_hidden, names))
    and not any(word in name.casefold() for word in words for name in names)
  )


def _write(root, files):
  for path, number in files.items():
    content = b'nothing'
    if number is not None:
      pixels = formats.random_images(1, 6, number)[0]
      ending = os.path.splitext(path)[1].lower()
      options = {'lossless': True} if ending == '.webp' else {}
      content = formats.encode(pixels, _FORMS[ending], **options)
    try:
      formats.write(root / path, content)
    except OSError:
      pytest.skip('this file system has no such names')


@given(trees())
@mutations.inputs(0.25)
def test_no_image_gets_another_class_than_its_folder(tree):
  files, meant, must_be_read = tree
  with mutations.folder() as root:
    _write(root, files)
    dataset = mutations.read_or_refused(
      'folders', load_dataset, formats.settings('image_folder', root)
    )
  if dataset is None:
    assert not must_be_read
    return
  found = {}
  for split_name in ('train', 'test'):
    split = getattr(dataset, split_name)
    for name, label, image in zip(split.ids, split.labels, split.images):
      found[str(name)] = (split_name, dataset.class_names[label])
      expected = formats.random_images(1, 6, files[name])[0]
      assert (image == expected).all(), name
  hidden = {path for path in meant if any(map(_is_hidden, path.split('/')))}
  assert {*found} == {*meant} - hidden
  has_test = 'test' in {split for split, _ in meant.values()}
  for path, (split_name, class_name) in found.items():
    assert class_name == meant[path][1]
    if has_test:
      assert split_name == meant[path][0]
