"""Tests of runs that keep the most probable classes, up to the audit."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from datadiet import config as config_lib
from datadiet import main
from datadiet.data import load_dataset
from datadiet.errors import ConfigError
from datadiet.reporting.audit import read_audit
from datadiet.results import load_results
from datadiet.selection.budgets import class_errors
from datadiet.stages import draws, due, label_evidence, pred_probs, score
from datadiet.stages.audit import CONFIDENT_LEARNING
from datadiet.stages.context import Context
from datadiet.stages.findings import _is_right
from datadiet.training.settings import IN_SAMPLE, OUT_OF_SAMPLE
from datadiet.workdir import artifacts, top_probs
from datadiet.workdir.artifacts import Workdir
from datadiet.workdir.top_probs import TopProbs
from tests import running

KEPT, STEP, RUNS = 4, 88, 2
STAGES = ['train', 'score', 'audit']


@pytest.fixture
def few(monkeypatch):
  """Predictions of all classes are too many for any data."""
  monkeypatch.setattr(due, '_MAX_PRED_PROBS_BYTES', 0)
  monkeypatch.setattr(top_probs, 'NUM_KEPT', KEPT)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A workdir with two folds and predictions of all classes."""
  root = tmp_path_factory.mktemp('whole') / 'workdir'
  main.run(_config(), str(root), STAGES)
  return Workdir.at(root)


def _config(**changes):
  config = running.tiny_config(
    model__width=8,
    optimizer__name='adamw',
    optimizer__learning_rate=1e-2,
    train__num_runs=RUNS,
    train__folds=2,
    train__num_steps=STEP,
    train__schedule_steps=STEP,
    score__steps=(STEP,),
    score__names=('el2n', 'memorization', 'input_norm'),
    **changes,
  )
  config.dataset.label_noise.update(fraction=0.1, kind='uniform')
  return config


def _whole_of(workdir, run):
  return artifacts.read_npy(workdir.scores(run, STEP) / 'pred_probs.npy')


def test_the_audit_goes_by_confident_learning(whole, few, tmp_path):
  running.copy_without(whole.root, tmp_path / 'few', ('scores', 'audit'))
  workdir = Workdir.at(tmp_path / 'few')
  main.run(_config(), str(workdir.root), STAGES)
  dataset = load_dataset(_config().dataset)
  context = Context(config_lib.resolve(_config()), workdir, dataset)
  assert not [*workdir.root.glob('scores/*/*/pred_probs.npy')]
  for run in range(RUNS):
    kept = pred_probs.read(context, run, STEP)
    assert isinstance(kept, TopProbs) and kept.probs.shape[1] == KEPT
    of_run = _whole_of(whole, run)
    np.testing.assert_array_equal(kept.argmax(1), of_run.argmax(1))
    rows, classes = np.arange(len(of_run))[:, None], kept.classes
    np.testing.assert_allclose(kept.probs, of_run[rows, classes], rtol=1e-5)
    np.testing.assert_allclose(
      kept.probs, -np.sort(-of_run, 1)[:, :KEPT], rtol=1e-5
    )
  manifest = artifacts.read_manifest(workdir.audit)
  before = artifacts.read_manifest(whole.audit)
  assert manifest['suggestions'] == before['suggestions'] == OUT_OF_SAMPLE
  assert manifest['evidence'] == before['evidence']
  counts = manifest['threshold']['counts'], before['threshold']['counts']
  assert CONFIDENT_LEARNING in counts[0]
  # Measured: 194 and 193.
  numbers = [each[CONFIDENT_LEARNING] for each in counts]
  assert abs(numbers[0] - numbers[1]) <= 5
  found, expected = (
    read_audit(load_results(each)) for each in (workdir, whole)
  )
  same = found.suggested_labels == expected.suggested_labels
  assert same.mean() > 0.99
  is_wrong = dataset.train.labels != dataset.original_labels
  aurocs = [
    roc_auc_score(is_wrong, each.suspicion) for each in (found, expected)
  ]
  # Measured: 0.9811 and 0.9813.
  assert aurocs[1] > 0.97 and aurocs[0] > aurocs[1] - 0.003
  np.testing.assert_array_equal(
    artifacts.read_npy(workdir.scores(None, STEP) / 'memorization.npy'),
    artifacts.read_npy(whole.scores(None, STEP) / 'memorization.npy'),
  )
  np.testing.assert_array_equal(
    _is_right(context), found.suggested_labels == dataset.train.labels
  )


def test_whole_predictions_of_an_earlier_start_are_used(whole, few, tmp_path):
  running.copy_without(whole.root, tmp_path / 'few', ('audit',))
  before = running.all_bytes(tmp_path / 'few/scores')
  main.run(_config(), str(tmp_path / 'few'), STAGES)
  assert running.all_bytes(tmp_path / 'few/scores') == before
  # A run that lost them is scored again, and the mean is of both kinds.
  workdir = Workdir.at(tmp_path / 'few')
  (workdir.scores(1, STEP) / 'pred_probs.npy').unlink()
  main.run(_config(), str(workdir.root), STAGES)
  dataset = load_dataset(_config().dataset)
  context = Context(config_lib.resolve(_config()), workdir, dataset)
  mean = pred_probs.read(context, None, STEP)
  assert isinstance(mean, TopProbs)
  assert not (workdir.scores(None, STEP) / 'pred_probs.npy').exists()
  right = mean.argmax(1) == _whole_of(whole, None).argmax(1)
  assert right.mean() > 0.99


def test_in_sample_predictions_are_averaged(own, few):
  context = own
  whole = label_evidence.read_predictions(context)
  assert due.extra_arrays(context) == ('top_classes', 'top_probs')
  for path in context.workdir.root.glob('scores/run_*/*/pred_probs.npy'):
    path.unlink()
  context.forget()
  score.run(context)
  found = label_evidence.read_predictions(context)
  assert whole.kind == found.kind == IN_SAMPLE
  assert isinstance(found.pred_probs, TopProbs)
  rows = [pred_probs.read(context, run, 44)[:] for run in context.runs]
  expected = np.mean(rows, axis=0)
  np.testing.assert_array_equal(found.suggested, expected.argmax(1))
  np.testing.assert_allclose(
    found.pred_probs.probs, -np.sort(-expected, 1)[:, :KEPT], rtol=1e-5
  )
  # A budget by the worst class needs no more.
  worst = _with(context, policies=('random',), budget='worst_class')
  assert due.extra_arrays(worst) == ('top_classes', 'top_probs')
  due.check_due(worst, ['select'])
  (one,) = worst.selections
  labels = context.dataset.train.labels
  np.testing.assert_array_equal(
    draws.class_weights(worst, one),
    class_errors(pred_probs.read(worst, 0, 44), labels, 10),
  )


def test_policies_that_look_at_all_classes_are_refused(own, few):
  asked = {'policies': ('contextual_diversity',)}
  due.check_due(_with(own, **asked), ['train', 'score', 'audit'])
  # What was kept whole is there to be looked at.
  due.check_due(_with(own, **asked), ['select'])
  for path in own.workdir.root.glob('scores/run_*/*/pred_probs.npy'):
    path.unlink()
  message = (
    "config.select.policies: 'contextual_diversity' looks at the predictions "
    'of all classes, which take .* GB a run, .*; allowed: another policy, or '
    'score.keep=pred_probs'
  )
  with pytest.raises(ConfigError, match=message):
    due.check_due(_with(own, **asked), ['select'])
  kept = _with(own, **asked, score__keep=('pred_probs',))
  due.check_due(kept, ['select'])
  assert due.extra_arrays(kept) == ('pred_probs',)


def _with(context, score__keep=(), **changes) -> Context:
  settings = {'sizes': (60,), 'fractions': (), 'baselines': (), **changes}
  config = running.tiny_config(
    score__keep=score__keep,
    **{f'select__{key}': value for key, value in settings.items()},
  )
  return Context(config_lib.resolve(config), context.workdir, context.dataset)
