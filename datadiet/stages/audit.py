"""The audit stage: which labels are probably wrong, ranked, in one table."""

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
from absl import logging

import datadiet
from datadiet import audit
from datadiet.errors import DataDietError
from datadiet.runtime import processes
from datadiet.scoring import aggregate
from datadiet.stages import due, threshold_trainings, train
from datadiet.stages.context import Context
from datadiet.training.settings import IN_SAMPLE, OUT_OF_SAMPLE
from datadiet.workdir import artifacts
from datadiet.workdir.tables import LABEL_ISSUES, LABEL_ISSUES_COLUMNS

# What the predictions are.
VOTES = 'votes'
_MEASURED_ON = {
  OUT_OF_SAMPLE: 'the examples they were not trained on',
  IN_SAMPLE: 'the examples they were trained on',
  VOTES: 'the examples they were trained on',
}
# Where the number of issues comes from.
THRESHOLD_SAMPLES = 'threshold samples'
CONFIDENT_LEARNING = 'confident learning'
MIXTURE = 'mixture of two normal distributions'


@dataclasses.dataclass(frozen=True)
class Predictions:
  """The labels that the networks predict.

  Attributes:
    kind: OUT_OF_SAMPLE, IN_SAMPLE, VOTES, or None where nothing was kept.
    pred_probs: float32[N, num_classes], the mean over runs; None with VOTES.
    suggested: int32[N]; None where nothing was kept.
  """

  kind: str | None = None
  pred_probs: np.ndarray | None = None
  suggested: np.ndarray | None = None


def _step(context: Context) -> int:
  """The step whose scores are the evidence: the last one that is scored."""
  return context.config.score.steps[-1]


def _expected(context: Context) -> dict:
  """What the manifest must say for the audit to be the one wanted."""
  digest = hashlib.sha256(datadiet.__version__.encode())
  scores = context.manifest(context.workdir.scores(None, _step(context)))
  digest.update(json.dumps(scores, sort_keys=True).encode())
  return {
    'labels_fingerprint': context.dataset.labels_fingerprint,
    'step': _step(context),
    'made_from': digest.hexdigest()[:16],
    'threshold_samples': context.config.audit.threshold_samples,
  }


def _is_done(context: Context) -> bool:
  return context.is_complete(context.workdir.audit, **_expected(context))


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  trainings = ''
  if context.config.audit.threshold_samples:
    trainings = (
      f', {audit.NUM_DRAWS} runs of {context.config.train.num_steps} steps '
      'with threshold samples'
    )
  done = ' (done)' if _is_done(context) else ''
  return f'{context.workdir.audit / LABEL_ISSUES}{trainings}{done}'


def run(context: Context) -> None:
  """Ranks all labels by suspicion and marks those that are probably wrong.

  Without a score that can tell, it logs a warning and skips the audit.

  Raises:
    DataDietError: if scores are missing or damaged.
    Preempted: if the process was asked to stop; everything is saved.
  """
  if processes.broadcast_from_lead(lambda: _is_done(context)):
    return
  if not _has_evidence(context):
    logging.warning(
      'Label audit left out: at step %d, the last scored one, there is none of '
      'the scores %s of a trained network',
      _step(context),
      ', '.join(audit.EVIDENCE),
    )
    return
  if context.config.audit.threshold_samples:
    threshold_trainings.train(context)
  if processes.is_lead():
    _write(context)


def _has_evidence(context: Context) -> bool:
  """Whether there is anything to judge labels by."""
  # Predictions of an untrained network say nothing about labels.
  return _step(context) > 0 and (
    _best_score(context) is not None or _predicts_unseen(context)
  )


def _predicts_unseen(context: Context) -> bool:
  """Whether there are predictions by networks that left the example out."""
  train = context.config.train
  return train.leaves_out or train.imported == OUT_OF_SAMPLE


def _best_score(context: Context) -> str | None:
  """The score to judge labels by.

  Raises:
    DataDietError: if nothing was scored yet.
  """
  train, step = context.config.train, _step(context)
  folder = context.workdir.scores(None, step)
  manifest = context.manifest(folder)
  if manifest is None:
    raise DataDietError(
      f'{folder} has no finished scores; run the score stage first '
      '(--stages=train,score)'
    )
  num_visits = step * train.batch_size / context.num_trained_on
  return audit.best_score(manifest['scores'], num_visits)


def _read_predictions(context: Context) -> Predictions:
  """Reads the best predictions that the score stage stored."""
  step = _step(context)
  num_examples = context.num_examples
  if _predicts_unseen(context):
    path = context.workdir.scores(None, step) / 'pred_probs.npy'
    probs = artifacts.read_npy(path, num_examples)
    return Predictions(OUT_OF_SAMPLE, probs, audit.most_probable(probs))
  if _all_runs_have(context, 'pred_probs'):
    total: Any = 0.0  # Then an array of the predictions' own type.
    for run_number in context.runs:
      total += context.run_array(run_number, step, 'pred_probs')
    probs = total / len(context.runs)
    return Predictions(IN_SAMPLE, probs, audit.most_probable(probs))
  if _all_runs_have(context, 'prediction'):
    votes = np.stack(
      [
        context.run_array(run_number, step, 'prediction')
        for run_number in context.runs
      ]
    )
    return Predictions(VOTES, None, audit.most_voted(votes))
  return Predictions()


def _all_runs_have(context: Context, name: str) -> bool:
  folders = [context.workdir.scores(r, _step(context)) for r in context.runs]
  return all((folder / f'{name}.npy').exists() for folder in folders)


def _write(context: Context) -> None:
  """Judges all labels and writes the table, then the manifest."""
  predictions = _read_predictions(context)
  labels = context.dataset.train.labels
  evidence = _evidence(context, predictions)
  suspicion = audit.suspicion(list(evidence.values()))
  num_issues, threshold = _count(context, evidence, predictions)
  candidates = np.ones(len(labels), bool)
  if predictions.suggested is not None:
    candidates = predictions.suggested != labels
  is_issue = audit.most_suspicious(suspicion, num_issues or 0, candidates)
  _write_table(context, suspicion, is_issue, predictions.suggested)
  counted = num_issues is not None
  context.write_manifest(
    context.workdir.audit,
    {
      'kind': 'label audit',
      'fingerprint': context.dataset.fingerprint,
      **_expected(context),
      'evidence': list(evidence),
      'suggestions': predictions.kind,
      'threshold': threshold,
      'num_issues': int(is_issue.sum()) if counted else None,
      'noise_rate': float(is_issue.mean()) if counted else None,
    },
  )
  if not counted:
    logging.warning('Label audit: %s', threshold['warning'])
    return
  logging.info(
    'Label audit: %d of %d labels are probably wrong (by %s)',
    is_issue.sum(),
    len(is_issue),
    threshold['kind'],
  )


def _evidence(
  context: Context, predictions: Predictions
) -> dict[str, np.ndarray]:
  """The evidence for wrong labels by name, float64[N] each: high if wrong."""
  evidence = {}
  name = _best_score(context)
  if name is not None:
    if due.is_out_of_sample(context.config, name):
      # Beside predictions by the same networks it would say nothing new.
      scores, known_as = _mean_in_sample(context, name), f'{name} in sample'
    else:
      scores, known_as = context.mean_score(name, _step(context)), name
    evidence[known_as] = audit.EVIDENCE[name](scores)
  # In-sample predictions add nothing to the scores.
  probs = predictions.pred_probs
  if predictions.kind == OUT_OF_SAMPLE and probs is not None:
    evidence['out-of-sample predictions'] = audit.of_predictions(
      probs, context.dataset.train.labels
    )
  return evidence


def _mean_in_sample(context: Context, name: str) -> np.ndarray:
  """A score's mean over the runs that trained on the example, float32[N]."""
  inside = context.held_out
  assert inside is not None  # Or it would not be out of sample.
  by_run = [
    context.run_array(run, _step(context), name) for run in context.runs
  ]
  by_run = aggregate.of_trained_on(by_run, inside)
  return aggregate.mean_and_spread(by_run, name=name)['mean']


def _count(
  context: Context, evidence: dict[str, np.ndarray], predictions: Predictions
) -> tuple[int | None, dict]:
  """The number of wrong labels, and the manifest's entry about the estimate.

  The number is None where the networks are too inaccurate to judge; the entry
  then gives the reason.
  """
  accuracy, of_what = _accuracy(context, predictions)
  threshold = {'kind': None, 'accuracy': accuracy}
  labels = context.dataset.train.labels
  # How far groups are apart says nothing of threshold samples.
  is_judged = (
    predictions.kind == OUT_OF_SAMPLE
    and not context.config.audit.threshold_samples
  )
  warning = audit.too_little_known(
    accuracy, labels, of_what, predictions.pred_probs if is_judged else None
  )
  if context.config.audit.threshold_samples:
    warning = (
      threshold_trainings.too_few_epochs(context)
      or threshold_trainings.too_little_fitted(context)
      or warning
    )
  if warning:
    return None, {**threshold, 'warning': warning}
  if context.config.audit.threshold_samples:
    over, thresholds = audit.margins_over_threshold(
      threshold_trainings.read_margins(context),
      threshold_trainings.draw(context),
    )
    return int((over <= 0).sum()), {
      **threshold,
      'kind': THRESHOLD_SAMPLES,
      'aum': thresholds.tolist(),
    }
  *_, best = evidence.values()
  counts = {MIXTURE: int(audit.mixture_issues(best).sum())}
  if predictions.pred_probs is not None:
    found = audit.confident_issues(predictions.pred_probs, labels)
    counts[CONFIDENT_LEARNING] = int(found.sum())
  kind = min(counts, key=counts.__getitem__)
  return counts[kind], {**threshold, 'kind': kind, 'counts': counts}


def _accuracy(context: Context, predictions: Predictions) -> tuple[float, str]:
  """The accuracy of the networks, and which examples it was measured on.

  Measured on held-out examples; without any, the lower of the accuracies on the
  training examples and on the test split.
  """
  found = []
  if predictions.kind is not None and predictions.suggested is not None:
    right = predictions.suggested == context.dataset.train.labels
    found.append((float(right.mean()), _MEASURED_ON[predictions.kind]))
  if predictions.kind != OUT_OF_SAMPLE:
    folders = [context.workdir.run(train.GROUP, run) for run in context.runs]
    manifests = [context.manifest(folder) or {} for folder in folders]
    tested = [
      manifest['test_accuracy']
      for manifest in manifests
      if manifest.get('test_accuracy') is not None
    ]
    if tested:
      found.append((float(np.mean(tested)), 'the test split'))
  return min(found, default=(0.0, 'nothing that was measured'))


def _write_table(
  context: Context,
  suspicion: np.ndarray,
  is_issue: np.ndarray,
  suggested: np.ndarray | None,
) -> None:
  """Writes label_issues.csv, the most suspicious label first."""
  train = context.dataset.train
  by_rank = np.argsort(-suspicion, kind='stable')
  class_names = np.array(context.dataset.class_names)
  suggestions: list[str] | np.ndarray = [''] * len(by_rank)
  suggested_names = suggestions
  if suggested is not None:
    suggestions = suggested[by_rank]
    suggested_names = class_names[suggested[by_rank]]
  rows = zip(
    by_rank,
    train.ids[by_rank],
    train.labels[by_rank],
    class_names[train.labels[by_rank]],
    suggestions,
    suggested_names,
    (f'{value:.9g}' for value in suspicion[by_rank]),
    range(1, len(by_rank) + 1),
    is_issue[by_rank].astype(int),
    strict=True,
  )
  artifacts.write_csv(
    context.workdir.audit / LABEL_ISSUES, LABEL_ISSUES_COLUMNS, rows
  )
