"""What the inspection finds on CIFAR-10: leaks, planted copies, planted faults.

    python -m benchmarks.inspection --workdir DIR --pairs CSV

DIR is a workdir of CIFAR-10 with a trained network and the stage inspect; CSV
is ciFAIR's meta/duplicates_cifar10.csv (github.com/cvjena/cifair). Copies and
faults are planted among the first 10,000 train images. Takes some minutes.
"""

import argparse
import csv
import io
from collections.abc import Callable

import numpy as np
from absl import logging
from PIL import Image, ImageEnhance, ImageFilter
from sklearn import datasets
from sklearn.metrics import roc_auc_score

from datadiet import config as config_lib
from datadiet.config import stored
from datadiet.data import Dataset, Split, load_dataset
from datadiet.inspection import quality
from datadiet.inspection.duplicates import EXACT, find_pairs
from datadiet.inspection.outliers import outlier_scores
from datadiet.inspection.pixels import grey_levels, read_facts
from datadiet.runtime.mesh import flat_mesh
from datadiet.scoring.passes import FEATURES
from datadiet.stages.context import Context
from datadiet.stages.network_scores import make_engine
from datadiet.workdir import checkpoints, tables
from datadiet.workdir.artifacts import Workdir

_NUM_IMAGES, _NUM_PLANTED = 10_000, 100
# Strangers of each kind: fewer than make a neighbourhood of their own.
_NUM_STRANGERS = 5


def leaks(context: Context, pairs_path: str) -> None:
  """Test images with a copy in train against ciFAIR's list."""
  listed: dict[str, str] = {}
  with open(pairs_path, encoding='utf-8') as file:
    for row in csv.DictReader(file):
      listed[f'test_{int(row["TestID"]):05d}'] = row['Judgment']
  path = context.workdir.inspection / tables.NEAR_DUPLICATES
  with path.open() as file:
    rows = [row for row in csv.DictReader(file) if row['split_b'] == 'test']
  print('\n| found by | test images | recall | of very similar | on the list |')
  print('| --- ' * 5 + '|')
  for name, kinds in (
    ('embedding', ('embedding', 'both')),
    ('pixels', ('pixels', 'both')),
    ('either', ('embedding', 'pixels', 'both')),
  ):
    found = {row['id_b'] for row in rows if row['found_by'] in (*kinds, EXACT)}
    recall = [
      np.mean([one in found for one in listed if listed[one] in judged])
      for judged in ('01', '2')
    ]
    print(
      f'| {name} | {len(found)} | {recall[0]:.3f} | {recall[1]:.3f} | '
      f'{len(found & {*listed}) / len(found):.3f} |'
    )


def _pil(change: Callable) -> Callable:
  """A change of one picture as a change of uint8[N, H, W, 3]."""
  return lambda images, rng: np.stack(
    [np.asarray(change(Image.fromarray(one), rng)) for one in images]
  )


def _crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
  left, top = rng.integers(0, 5, 2)
  return image.crop((left, top, left + 28, top + 28)).resize((32, 32))


def _jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
  del rng
  file = io.BytesIO()
  image.save(file, 'JPEG', quality=40)
  return Image.open(file)


COPIES = {
  'cropped to 28 of 32': _pil(_crop),
  'JPEG of quality 40': _pil(_jpeg),
  'mirrored': lambda images, rng: images[:, :, ::-1],
  'brightness 0.6 to 1.4': _pil(
    lambda image, rng: ImageEnhance.Brightness(image).enhance(
      rng.choice([0.6, 1.4])
    )
  ),
}


def _framed(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  images = images.copy()
  width = int(rng.integers(5, 9))
  images[:, :width] = images[:, -width:] = 0
  return images


FAULTS = {
  'dark': lambda images, rng: (images * 0.2).astype(np.uint8),
  'bright': lambda images, rng: (255 - (255 - images) * 0.2).astype(np.uint8),
  'blurry': _pil(lambda image, rng: image.filter(ImageFilter.GaussianBlur(2))),
  'low_information': lambda images, rng: (images // 64 + 100).astype(np.uint8),
  'grey': lambda images, rng: np.repeat(
    np.rint(grey_levels(images)).astype(np.uint8)[..., None], 3, -1
  ),
  'border': _framed,
}


def strangers(rng: np.random.Generator) -> np.ndarray:
  """Digits, noise, stripes, one colour, and parts of two photographs."""
  num, shape = _NUM_STRANGERS, (32, 32, 3)
  digits = datasets.load_digits().images[rng.choice(1797, num)] * 15.9
  digits = np.kron(digits, np.ones((4, 4)))[..., None].repeat(3, -1)
  noise = rng.integers(0, 256, (num, *shape))
  lines = np.arange(32)[:, None, None] // rng.integers(1, 5, (num, 1, 1, 1))
  stripes = np.broadcast_to(lines % 2 * 200 + 20, (num, *shape))
  colours = np.broadcast_to(rng.integers(0, 256, (num, 1, 1, 3)), (num, *shape))
  photos = datasets.load_sample_images().images
  parts = [
    photos[rng.integers(2)][top : top + 32, left : left + 32]
    for top, left in rng.integers(0, 390, (num, 2))
  ]
  everything = [digits, noise, stripes, colours, np.stack(parts)]
  return np.concatenate(everything).astype(np.uint8)


def _features(context: Context, images: np.ndarray) -> np.ndarray:
  step = context.config.score.steps[-1]
  variables = checkpoints.load_variables(context.workdir.run('train', 0), step)
  ids = np.arange(len(images)).astype(str)
  split = Split(images, np.zeros(len(images), np.int32), ids)
  engine = make_engine(context, (), flat_mesh(), split, (FEATURES,))
  return engine.score(variables)[FEATURES]


def planted_copies(context: Context, dataset: Dataset) -> None:
  """Copies of train images in the place of test images."""
  rng = np.random.default_rng(0)
  images = dataset.train.images[:_NUM_IMAGES]
  print('\n| planted copies | recall | precision | recall by pixels alone |')
  print('| --- ' * 4 + '|')
  for kind, change in COPIES.items():
    sources = rng.choice(_NUM_IMAGES, _NUM_PLANTED, replace=False)
    both = np.concatenate([images, change(images[sources], rng)])
    facts, copies = read_facts(both), range(len(images), len(both))
    truth = {*zip(sources, copies, strict=True)}
    figures = []
    for embeddings in (_features(context, both), None):
      pairs = find_pairs(facts, _NUM_IMAGES, embeddings)
      leak = pairs.second >= _NUM_IMAGES
      found = {*zip(pairs.first[leak], pairs.second[leak], strict=True)}
      # A copy of a copy that CIFAR-10 itself has is no mistake.
      own = {*zip(pairs.first[~leak], pairs.second[~leak], strict=True)}
      source_of = {copy: source for source, copy in truth}
      wrong = {
        (one, copy)
        for one, copy in found - truth
        if tuple(sorted((one, source_of[copy]))) not in own
      }
      right = len(found & truth)
      figures += [right / len(truth), right / (right + len(wrong))]
    print(
      f'| {kind} | {figures[0]:.2f} | {figures[1]:.2f} | {figures[2]:.2f} |'
    )


def planted_faults(context: Context, dataset: Dataset) -> None:
  """How well faults are told, and how many images as they are are flagged."""
  rng = np.random.default_rng(0)
  images = dataset.train.images[:_NUM_IMAGES]
  path = context.workdir.inspection / tables.INSPECTED_EXAMPLES
  with path.open() as file:
    flags = [row['flags'].split(';') for row in csv.DictReader(file)]
  print('\n| measure | AUROC of planted ones | flagged on CIFAR-10 as it is |')
  print('| --- ' * 3 + '|')
  sources = rng.choice(_NUM_IMAGES, _NUM_PLANTED, replace=False)
  odd = strangers(rng)
  for name in ('outlier', *FAULTS):
    bad = odd if name == 'outlier' else FAULTS[name](images[sources], rng)
    both = np.concatenate([images, bad])
    properties = read_facts(both).properties
    if name == 'outlier':
      values = outlier_scores(properties, _features(context, both))
    else:
      values = quality.measures(properties)[name]
    auroc = roc_auc_score(np.arange(len(both)) >= _NUM_IMAGES, values)
    share = np.mean([name in one for one in flags])
    print(f'| `{name}` | {auroc:.3f} | {100 * share:.2f} % |')


def main() -> None:
  """Prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--pairs', default='')
  options = parser.parse_args()
  logging.set_verbosity(logging.WARNING)
  workdir = Workdir.at(options.workdir)
  config = config_lib.resolve(stored.get_config(str(workdir.config)))
  dataset = load_dataset(config.dataset)
  context = Context(config, workdir, dataset)
  if options.pairs:
    leaks(context, options.pairs)
  planted_copies(context, dataset)
  planted_faults(context, dataset)


if __name__ == '__main__':
  main()
