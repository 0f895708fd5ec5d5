"""Mutated arrays of images: read pixel by pixel, or refused."""

import dataclasses
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datadiet.data import load_dataset
from tests.data import formats
from tests.field import mutations

_GOOD_SHAPES = ((5, 4, 3), (6, 6), (6, 6, 1), (7, 7, 4), (9, 9, 12))
# What may be wrong, and how.
_FAULTS = {
  'dtype': ('i1', 'u2', 'i8', 'f4', 'f8', '?', 'O', 'U1'),
  'shape': ((3, 8, 8), (1, 8, 8), (12, 32, 32), (28,) * 3, (0, 4, 3), (4,), ()),
  'labels': ('f4', '?', 'U2', 'square'),
  'label': (-1, 9, 2**40),
  'names': (
    ['dog', 'cat', 'x'],
    ['a'],
    ['a', 'a '],
    [1, 0],
    ['a', 'b', 'c', ''],
  ),
  'highest': (1, 0),
  'num': (1, 2),
  'num_classes': (1, 3),
  'file': ('no labels', 'cut', 'extra', 'lengths'),
}
_KINDS = st.sampled_from(['', '', '', '', *_FAULTS])


@dataclasses.dataclass
class _Made:
  """Arrays by name, how they are written, and whether they must be read."""

  arrays: dict = dataclasses.field(repr=False)
  broken: str
  in_folder: bool
  fits: bool
  fault: str


@st.composite
def sets(draw):
  """Arrays with one fault, or without."""
  kind = draw(_KINDS)
  fault = draw(st.sampled_from(_FAULTS[kind])) if kind else None

  def choose(what, *usual):
    return fault if kind == what else draw(st.sampled_from(usual))

  rng = np.random.default_rng(draw(st.integers(0, 99)))
  num = choose('num', 6, 7, 12)
  shape = choose('shape', *_GOOD_SHAPES)
  images = rng.integers(0, choose('highest', 255) + 1, (num, *shape))
  images = images.astype(choose('dtype', 'u1'))
  names = choose('names', None, ['cat', 'dog'])
  said = np.arange(num) % choose('num_classes', 2)
  if kind == 'label':
    said[0] = fault
  form = choose('labels', 'i4', 'i8', 'u1', '>i2', 'u8', 'column')
  given_labels = {
    'column': lambda: said[:, None],
    'square': lambda: np.stack([said, said], -1),
  }.get(form, lambda: said.astype(form))()
  broken = choose('file', '')
  parts = draw(st.sampled_from([('',), ('train_', 'test_')]))
  arrays = {}
  for part in parts:
    arrays[f'{part}images'] = images
    arrays[f'{part}labels'] = given_labels
  if names:
    arrays['class_names'] = np.array(names)
  if broken == 'no labels':
    del arrays[f'{parts[-1]}labels']
  elif broken == 'lengths':
    arrays[f'{parts[0]}images'] = images[:-1]
  elif broken == 'extra':
    arrays['notes'] = np.array([{}, 1], object)
  is_whole = broken in ('', 'extra')
  fits = is_whole and _fits(images, given_labels, names, parts == ('',))
  return _Made(arrays, broken, draw(st.booleans()), fits, f'{kind}: {fault}')


def _fits(images, labels, names, is_divided):
  """Whether a set has to be read, by rules of this test's own."""
  are_labels = labels.dtype.kind in 'iu' and labels.size == len(labels)
  is_picture = images.dtype == np.uint8 and images.shape[1:] in _GOOD_SHAPES
  if not (is_picture and are_labels) or images.max() <= 1:
    return False
  counts = Counter(labels.reshape(-1).tolist())
  num_classes = len(names) if names else 99
  return (
    names not in (['a'], ['a', 'a '], ['a', 'b', 'c', ''])
    and len(counts) > 1
    and 0 <= min(counts) < max(counts) < num_classes
    and (not is_divided or min(counts.values()) > 1)
  )


def _write(root, arrays, broken, in_folder):
  if in_folder:
    for name, array in arrays.items():
      np.save(root / f'{name}.npy', array)
    path = root / f'{next(iter(arrays))}.npy'
    data_dir = root
  else:
    path = data_dir = root / 'mine.npz'
    np.savez(path, **arrays)
  if broken == 'cut':
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
  return data_dir


@given(sets())
@mutations.inputs(0.12)
def test_arrays_are_read_as_they_are_or_refused(made):
  arrays = made.arrays
  with mutations.folder() as root:
    data_dir = _write(root, arrays, made.broken, made.in_folder)
    dataset = mutations.read_or_refused(
      'arrays', load_dataset, formats.settings('arrays', data_dir)
    )
    if dataset is None:
      assert not made.fits
      return
    # Divided or not, each number in an id is that of a record.
    for split_name in ('train', 'test'):
      split = getattr(dataset, split_name)
      prefix = f'{split_name}_' if 'train_images' in arrays else ''
      images = np.asarray(arrays[f'{prefix}images'])
      labels = np.asarray(arrays[f'{prefix}labels']).reshape(-1)
      for name, label, image in zip(split.ids, split.labels, split.images):
        number = int(str(name).rpartition('_')[2])
        assert label == labels[number]
        assert image.dtype == images.dtype == np.uint8
        assert (image.reshape(images.shape[1:]) == images[number]).all()
  assert made.fits
