"""The audit stage: which labels are probably wrong, ranked, in one table."""

import hashlib
import json

import numpy as np
from absl import logging

import datadiet
from datadiet import audit
from datadiet.runtime import processes
from datadiet.stages import label_evidence, threshold_trainings
from datadiet.stages.context import Context
from datadiet.training.settings import OUT_OF_SAMPLE
from datadiet.workdir import artifacts
from datadiet.workdir.tables import LABEL_ISSUES, LABEL_ISSUES_COLUMNS

# Where the number of issues comes from.
THRESHOLD_SAMPLES = 'threshold samples'
CONFIDENT_LEARNING = 'confident learning'
MIXTURE = 'mixture of two normal distributions'
PROBABILITY = 'probability'
# Where only probabilities can be relied on, labels are wrong from here on.
PROBABLY = 0.5
# Of the labels, what is predicted, and what is wrong: less is explained where
# networks know next to nothing. Measured: docs/audit.md.
ENOUGH_EXPLAINED = 0.5


def _expected(context: Context) -> dict:
  """What the manifest must say for the audit to be the one wanted."""
  digest = hashlib.sha256(datadiet.__version__.encode())
  scores = context.manifest(
    context.workdir.scores(None, label_evidence.scored_step(context))
  )
  digest.update(json.dumps(scores, sort_keys=True).encode())
  return {
    'labels_fingerprint': context.dataset.labels_fingerprint,
    'step': label_evidence.scored_step(context),
    'made_from': digest.hexdigest()[:16],
    'threshold_samples': context.config.audit.threshold_samples,
    'columns': list(LABEL_ISSUES_COLUMNS),
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
  if not label_evidence.has_evidence(context):
    logging.warning(
      'Label audit left out: at step %d, the last scored one, there is none of '
      'the scores %s of a trained network',
      label_evidence.scored_step(context),
      ', '.join(audit.EVIDENCE),
    )
    return
  if context.config.audit.threshold_samples:
    threshold_trainings.train(context)
  if processes.is_lead():
    _write(context)


def _write(context: Context) -> None:
  """Judges all labels and writes the table, then the manifest."""
  predictions = label_evidence.read_predictions(context)
  labels = context.dataset.train.labels
  calibration = label_evidence.calibration(context, predictions)
  evidence = label_evidence.find_evidence(context, predictions, calibration)
  suspicion = audit.suspicion(list(evidence.values()))
  num_issues, threshold = _count(context, evidence, predictions)
  probability, stated = _probability(calibration, suspicion, threshold)
  if probability is not None and num_issues is None:
    if not context.config.audit.threshold_samples:
      num_issues = int((probability >= PROBABLY).sum())
      threshold = {'kind': PROBABILITY, 'accuracy': threshold['accuracy']}
  candidates = np.ones(len(labels), bool)
  if predictions.suggested is not None:
    candidates = predictions.suggested != labels
  is_issue = audit.most_suspicious(suspicion, num_issues or 0, candidates)
  _write_table(context, suspicion, probability, is_issue, predictions.suggested)
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
      'calibration': stated,
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


def _probability(
  calibration: audit.Calibration | None,
  suspicion: np.ndarray,
  threshold: dict,
) -> tuple[np.ndarray | None, dict]:
  """The probability that labels are wrong, and the manifest's entry on it.

  Args:
    calibration: from `label_evidence.calibration`.
    suspicion: float32[N].
    threshold: from `_count`, with the accuracy of the networks.
  """
  if calibration is None:
    return None, {
      'warning': 'Probabilities need networks that did not train on the '
      'example: train by folds (config.train.folds)'
    }
  known = {
    'noise_rate': calibration.noise_rate,
    'separation': calibration.separation,
    'same_for_all_pairs': calibration.is_uniform,
  }
  if calibration.separation < audit.ENOUGH_SEPARATION:
    return None, known | {
      'warning': f'{100 * calibration.separation:.0f} % of the labels look '
      'less suspicious than labels drawn by mistake, and 50 % would by chance: '
      'the networks know too little for probabilities; train longer'
    }
  # Classes that networks take for each other, or people: weak ones cannot tell.
  is_uniform = calibration.is_uniform
  enough = ENOUGH_EXPLAINED if is_uniform else audit.ENOUGH_ACCURACY
  explained = threshold['accuracy'] + calibration.noise_rate
  if explained < enough:
    return None, known | {
      'warning': f'Predictions and wrong labels explain {explained:.2f} of the '
      f'labels: below {enough:.2f} networks cannot tell classes that they mix '
      'up from labels that people do: there are no probabilities; train longer'
    }
  found = calibration.probability(audit.percentile_ranks(suspicion))
  return found, known | {'cuts': audit.expected_precision(found)}


def _count(
  context: Context,
  evidence: dict[str, np.ndarray],
  predictions: label_evidence.Predictions,
) -> tuple[int | None, dict]:
  """The number of wrong labels, and the manifest's entry about the estimate.

  The number is None where the networks are too inaccurate to judge; the entry
  then gives the reason.
  """
  accuracy, of_what = label_evidence.measured_accuracy(context, predictions)
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
  if predictions.kind == OUT_OF_SAMPLE and predictions.pred_probs is not None:
    best = audit.of_predictions(predictions.pred_probs, labels)
  counts = {MIXTURE: int(audit.mixture_issues(best).sum())}
  if predictions.pred_probs is not None:
    found = audit.confident_issues(predictions.pred_probs, labels)
    counts[CONFIDENT_LEARNING] = int(found.sum())
  kind = min(counts, key=counts.__getitem__)
  return counts[kind], {**threshold, 'kind': kind, 'counts': counts}


def _write_table(
  context: Context,
  suspicion: np.ndarray,
  probability: np.ndarray | None,
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
  probabilities = [''] * len(by_rank)
  if probability is not None:
    probabilities = [f'{value:.6g}' for value in probability[by_rank]]
  rows = zip(
    by_rank,
    train.ids[by_rank],
    train.labels[by_rank],
    class_names[train.labels[by_rank]],
    suggestions,
    suggested_names,
    (f'{value:.9g}' for value in suspicion[by_rank]),
    probabilities,
    range(1, len(by_rank) + 1),
    is_issue[by_rank].astype(int),
    strict=True,
  )
  artifacts.write_csv(
    context.workdir.audit / LABEL_ISSUES, LABEL_ISSUES_COLUMNS, rows
  )
