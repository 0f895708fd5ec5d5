"""The label audit against cleanlab, on CIFAR-10 with labels made wrong.

    pip install -c constraints.txt -e '.[bench]'
    python -m benchmarks.label_audit --data_dir DATA [--workdir DIR]

Changes 10 % of the labels of CIFAR-10, each to one of the other classes, trains
a few small networks for a short while on halves of the data, and ranks all
labels. Prints the area under the ROC curve of `suspicion` and of cleanlab's
label quality scores, which are fed with the same predictions by the networks
that did not train on the example, and of the votes of the nearest neighbours;
precision and recall of `is_issue`, and of what cleanlab finds; and expected and
true precision by probability. With --workdir it goes on where it was cut off.
"""

import argparse
import os
import tempfile
import time

import numpy as np
from absl import logging
from sklearn.metrics import average_precision_score, roc_auc_score

from datadiet import main
from datadiet.configs import simple_cnn_cifar10
from datadiet.data import load_dataset
from datadiet.reporting.audit import Audit, cuts, read_audit
from datadiet.results import load_results
from datadiet.workdir import artifacts, tables

_METHODS = ('self_confidence', 'normalized_margin')
_FILTERS = ('prune_by_noise_rate', 'confident_learning')


def make_config(options: argparse.Namespace):
  """Short trainings on subsets, with labels made wrong."""
  config = simple_cnn_cifar10.get_config()
  config.dataset.data_dir = options.data_dir
  config.dataset.label_noise.fraction = options.noise
  config.dataset.label_noise.kind = options.kind
  config.model.width = options.width
  config.train.num_runs = options.num_runs
  config.train.folds = options.folds
  if not options.folds:
    config.train.subset_fraction = options.subset_fraction
  config.train.num_steps = config.train.schedule_steps = options.num_steps
  config.train.eval_every_steps = options.num_steps
  config.train.checkpoint_every_steps = options.num_steps
  config.score.steps = (options.num_steps,)
  config.score.names = ('aum', 'mean_confidence', 'el2n', 'loss')
  config.score.gradient_runs = 0
  config.audit.threshold_samples = options.threshold_samples
  config.retrain.num_steps = 0
  return config


def print_ranking(name: str, suspicion: np.ndarray, wrong: np.ndarray) -> None:
  """One line on how well a score orders wrong labels before right ones."""
  print(
    f'{name:48s} {roc_auc_score(wrong, suspicion):.4f}  '
    f'{average_precision_score(wrong, suspicion):.4f}'
  )


def print_issues(name: str, is_issue: np.ndarray, wrong: np.ndarray) -> None:
  """One line on labels that were declared wrong."""
  found = (is_issue & wrong).sum()
  print(
    f'{name:48s} {is_issue.sum():6d}  {found / max(is_issue.sum(), 1):9.3f}  '
    f'{found / wrong.sum():.3f}'
  )


def print_precision(audit: Audit, original: np.ndarray) -> None:
  """Lines on how many labels of at least a probability are wrong."""
  stated = audit.manifest['calibration']
  if 'warning' in stated:
    print(f'\nno probabilities: {stated["warning"]}')
    return
  print(f'\n{"probability":12s} labels  expected precision  true precision')
  for cut in cuts(audit, original):
    print(
      f'{cut["at_least"]:11.1f}  {cut["num_labels"]:6d}  '
      f'{cut["expected_precision"]:18.3f}  {cut["precision"]:14.3f}'
    )


def compare(config, workdir: str) -> None:
  """Prints both sides, from a finished audit."""
  from cleanlab.filter import find_label_issues
  from cleanlab.rank import get_label_quality_scores

  dataset = load_dataset(config.dataset)
  labels, original = dataset.train.labels, dataset.original_labels
  wrong = labels != original
  results = load_results(workdir)
  audit = read_audit(results)
  folder = results.workdir.scores(None, results.steps[-1])
  pred_probs = artifacts.read_npy(folder / 'pred_probs.npy')
  accuracy = (pred_probs.argmax(1) == original).mean()
  print(
    f'\n{len(labels)} labels, {wrong.sum()} of them wrong; out-of-sample '
    f'predictions are right for {100 * accuracy:.1f} %\n'
  )
  print(f'{"ranking":48s} AUROC   average precision')
  evidence = ' + '.join(audit.manifest['evidence'])
  print_ranking('suspicion', audit.suspicion, wrong)
  for method in _METHODS:
    quality = get_label_quality_scores(labels, pred_probs, method=method)
    print_ranking(f'cleanlab, {method}', -quality, wrong)
  path = results.workdir.inspection / tables.NEIGHBOUR_INDEX
  agreeing = labels[artifacts.read_npy(path)] == labels[:, None]
  print_ranking("neighbours' votes", -agreeing.sum(1), wrong)
  print(f'\n{"declared wrong":48s} number  precision  recall')
  threshold = audit.manifest['threshold']
  if threshold['kind'] is None:
    print(f'is_issue: not counted: {threshold["warning"]}')
  else:
    print_issues(f'is_issue ({threshold["kind"]})', audit.is_issue, wrong)
  for filter_by in _FILTERS:
    found = find_label_issues(labels, pred_probs, filter_by=filter_by)
    print_issues(f'cleanlab, {filter_by}', found, wrong)
  print_precision(audit, original)
  right = (audit.suggested_labels == original)[wrong].mean()
  print(
    f'\nsuspicion is of {evidence}\nnoise rate: {wrong.mean():.3f}, estimated '
    f'{audit.is_issue.mean():.3f}; suggested label right for '
    f'{100 * right:.1f} % of the wrong labels'
  )


def run() -> None:
  """Trains, audits and prints."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data_dir', default='')
  parser.add_argument('--workdir', default='')
  parser.add_argument('--noise', type=float, default=0.1)
  parser.add_argument('--kind', default='uniform')
  parser.add_argument('--width', type=int, default=0)
  parser.add_argument('--num_runs', type=int, default=4)
  parser.add_argument('--folds', type=int, default=0)
  parser.add_argument('--subset_fraction', type=float, default=0.5)
  parser.add_argument('--num_steps', type=int, default=780)
  parser.add_argument('--threshold_samples', action='store_true')
  options = parser.parse_args()
  logging.set_verbosity(logging.WARNING)
  config = make_config(options)
  start = time.monotonic()
  with tempfile.TemporaryDirectory() as scratch:
    workdir = options.workdir or os.path.join(scratch, 'workdir')
    main.run(config, workdir, ['train', 'score', 'inspect', 'audit'])
    print(f'Trained and audited in {time.monotonic() - start:.0f} s')
    compare(config, workdir)


if __name__ == '__main__':
  run()
