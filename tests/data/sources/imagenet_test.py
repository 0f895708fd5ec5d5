"""Tests of ImageNet's layouts: folders of synsets, a flat val/, its labels."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import io

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

SYNSETS = ('n01440764', 'n02012849', 'n03126707')
GLOSSES = ('tench, Tinca tinca', 'crane', 'crane')
NAMES = ('tench', 'crane (n02012849)', 'crane (n03126707)')
# Of the images of val/ in their order.
VAL = (2, 0, 1, 1, 0, 2)
STEMS = [f'ILSVRC2012_val_{i + 1:08d}' for i in range(len(VAL))]


def _lines(*lines):
  return '\n'.join(lines).encode() + b'\n'


def _jpeg(seed, mode='RGB'):
  image = Image.fromarray(formats.random_images(1, seed=seed)[0])
  return formats.encode(image.convert(mode), 'JPEG')


def _write(root, flat=True):
  seed = 0
  for synset in SYNSETS:
    for number in range(4):
      seed += 1
      name = f'train/{synset}/{synset}_{number}.JPEG'
      formats.write(root / name, _jpeg(seed))
  for stem, label in zip(STEMS, VAL):
    seed += 1
    folder = 'val' if flat else f'val/{SYNSETS[label]}'
    formats.write(root / f'{folder}/{stem}.JPEG', _jpeg(seed))


def _meta(path):
  kind = [('ILSVRC2012_ID', 'O'), ('WNID', 'O'), ('words', 'O')]
  # The devkit numbers the classes in an order of its own.
  rows = [(i, SYNSETS[2 - i], GLOSSES[2 - i]) for i in range(3)]
  path.parent.mkdir(parents=True, exist_ok=True)
  io.savemat(path, {'synsets': np.array(rows, kind)})


def _kaggle(root):
  rows = (f'{s},{SYNSETS[y]} 1 2 3 4' for s, y in zip(STEMS, VAL))
  # Its rows are in no order.
  rows = ('ImageId,PredictionString', *reversed([*rows]))
  (root / 'LOC_val_solution.csv').write_bytes(_lines(*rows))


def _by_synset(root):
  name = 'imagenet_2012_validation_synset_labels.txt'
  (root / name).write_bytes(_lines(*(SYNSETS[label] for label in VAL)))


def _caffe(root):
  rows = (f'{stem}.JPEG {label}' for stem, label in zip(STEMS, VAL))
  (root / 'val.txt').write_bytes(_lines(*rows))


def _devkit(root):
  folder = root / 'ILSVRC2012_devkit_t12/data'
  _meta(folder / 'meta.mat')
  rows = _lines(*(str(2 - label) for label in VAL))
  (folder / 'ILSVRC2012_validation_ground_truth.txt').write_bytes(rows)


def _check(dataset):
  labels = [SYNSETS.index(i.split('/')[1]) for i in dataset.train.ids]
  assert dataset.train.labels.tolist() == labels
  by_stem = {
    str(i).rpartition('/')[2].partition('.')[0]: label
    for i, label in zip(dataset.test.ids, dataset.test.labels.tolist())
  }
  assert by_stem == dict(zip(STEMS, VAL))


@pytest.mark.parametrize('labels', [_kaggle, _by_synset, _caffe, _devkit])
def test_a_flat_val_gets_its_labels_from_the_file_beside_it(tmp_path, labels):
  _write(tmp_path)
  labels(tmp_path)
  dataset = load_dataset(formats.settings('imagenet', tmp_path))
  _check(dataset)
  names = NAMES if labels is _devkit else SYNSETS
  assert dataset.class_names == names


def test_folders_in_val_and_kaggles_layout(tmp_path):
  _write(tmp_path, flat=False)
  _check(load_dataset(formats.settings('imagenet', tmp_path)))
  kaggle = tmp_path / 'kaggle'
  _write(kaggle / 'ILSVRC/Data/CLS-LOC')
  # The unlabelled test images are not read.
  formats.write(kaggle / 'ILSVRC/Data/CLS-LOC/test/a.JPEG', b'damaged')
  _kaggle(kaggle)
  _check(load_dataset(formats.settings('imagenet', kaggle)))


def test_other_labels_of_val_are_not_read_from_the_cache(tmp_path):
  _write(tmp_path / 'data')
  _by_synset(tmp_path / 'data')
  settings = formats.settings(
    'imagenet', tmp_path / 'data', tmp_path / 'cache', image_size=32
  )
  before = load_dataset(settings).test.labels.tolist()
  name = 'imagenet_2012_validation_synset_labels.txt'
  others = _lines(*(SYNSETS[2 - label] for label in VAL))
  (tmp_path / 'data' / name).write_bytes(others)
  after = load_dataset(settings).test.labels.tolist()
  assert after == [2 - label for label in before]


@pytest.mark.parametrize(
  'name, content',
  [
    ('LOC_synset_mapping.txt', _lines(*map(' '.join, zip(SYNSETS, GLOSSES)))),
    ('words.txt', _lines(*map('\t'.join, zip(SYNSETS, GLOSSES)), 'n1\tentity')),
    (
      'imagenet_class_index.json',
      json.dumps(
        {
          i: [s, g.split(',')[0]]
          for i, (s, g) in enumerate(zip(SYNSETS, GLOSSES))
        }
      ).encode(),
    ),
  ],
)
def test_classes_are_called_as_a_map_says(tmp_path, name, content):
  _write(tmp_path, flat=False)
  (tmp_path / name).write_bytes(content)
  dataset = load_dataset(formats.settings('imagenet', tmp_path))
  assert dataset.class_names == NAMES


@pytest.mark.parametrize('placement', ['host', 'stream'])
def test_jpegs_of_four_colours_and_a_png_named_jpeg_are_read(
  tmp_path, placement
):
  _write(tmp_path, flat=False)
  folder = tmp_path / 'train' / SYNSETS[0]
  colours = Image.new('RGB', (32, 32), (200, 30, 60))
  (folder / 'cmyk.JPEG').write_bytes(
    formats.encode(colours.convert('CMYK'), 'JPEG')
  )
  (folder / 'png.JPEG').write_bytes(formats.encode(colours, 'PNG'))
  settings = formats.settings(
    'imagenet', tmp_path, tmp_path / 'cache', placement=placement, image_size=32
  )
  train = load_dataset(settings).train
  for name, bound in (('cmyk', 4), ('png', 0)):
    row = train.ids.tolist().index(f'train/{SYNSETS[0]}/{name}.JPEG')
    difference = train.images[row].astype(int) - (200, 30, 60)
    assert abs(difference).max() <= bound


def test_what_does_not_fit_is_refused(tmp_path):
  with pytest.raises(ConfigError, match='holds no train/ and val/'):
    load_dataset(formats.settings('imagenet', tmp_path))
  _write(tmp_path)
  settings = formats.settings('imagenet', tmp_path)
  with pytest.raises(DataDietError, match='allowed: LOC_val_solution.csv'):
    load_dataset(settings)
  labels = tmp_path / 'imagenet_2012_validation_synset_labels.txt'
  labels.write_bytes(_lines(*SYNSETS))
  with pytest.raises(DataDietError, match='it has 3 lines for 6 images'):
    load_dataset(settings)
  labels.unlink()
  (tmp_path / 'val.txt').write_bytes(_lines(f'{STEMS[0]}.JPEG 0'))
  with pytest.raises(DataDietError, match='no label for 5 of the 6 images'):
    load_dataset(settings)
  (tmp_path / 'val.txt').write_bytes(_lines(f'{STEMS[0]}.JPEG -1'))
  with pytest.raises(DataDietError, match='-1 is no label'):
    load_dataset(settings)
  (tmp_path / 'val.txt').unlink()
  _devkit(tmp_path)
  (tmp_path / 'ILSVRC2012_devkit_t12/data/meta.mat').unlink()
  with pytest.raises(DataDietError, match=r'by meta\.mat, which is not there'):
    load_dataset(settings)
  formats.write(tmp_path / 'val' / SYNSETS[0] / 'a.JPEG', _jpeg(0))
  with pytest.raises(DataDietError, match='one or the other'):
    load_dataset(settings)
  formats.write(tmp_path / 'train/a.JPEG', _jpeg(0))
  with pytest.raises(DataDietError, match=r'no folder of a class: train/a'):
    load_dataset(settings)
