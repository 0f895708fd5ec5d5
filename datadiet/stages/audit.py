"""The audit stage: which labels are probably wrong, ranked, in one table."""

import dataclasses
import hashlib

import jax
import numpy as np
from absl import logging

from datadiet import artifacts, audit
from datadiet.data import Dataset, order
from datadiet.errors import DataDietError
from datadiet.parallel import make_run_mesh
from datadiet.scoring import registry
from datadiet.stages.context import Context, train_settings
from datadiet.stages.score_mean import read_mean_score, read_run_score
from datadiet.training.jobs import Job
from datadiet.training.loop import train_jobs

GROUP = 'audit'
TABLE = 'label_issues.csv'
_COLUMNS = (
  'example_index',
  'id',
  'given_label',
  'suggested_label',
  'suspicion',
  'rank',
  'is_issue',
)

# What the predictions are.
OUT_OF_SAMPLE, IN_SAMPLE, VOTES = 'out-of-sample', 'in-sample', 'votes'
# Where the number of issues comes from.
THRESHOLD_SAMPLES = 'threshold samples'
CONFIDENT_LEARNING = 'confident learning'
MIXTURE = 'mixture of two normal distributions'


@dataclasses.dataclass(frozen=True)
class Predictions:
  """What the networks say the labels should be.

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
  folder = context.workdir.scores(None, _step(context))
  source = folder / artifacts.MANIFEST
  content = source.read_bytes() if source.exists() else b''
  return {
    'fingerprint': context.dataset.fingerprint,
    'labels_fingerprint': context.dataset.labels_fingerprint,
    'step': _step(context),
    'made_from': hashlib.sha256(content).hexdigest()[:16],
    'threshold_samples': context.config.audit.threshold_samples,
  }


def _is_done(context: Context) -> bool:
  return artifacts.is_complete(context.workdir.audit, **_expected(context))


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  trainings = ''
  if context.config.audit.threshold_samples:
    trainings = (
      f', {audit.NUM_DRAWS} runs of {context.config.train.num_steps} steps '
      'with threshold samples'
    )
  done = ' (done)' if _is_done(context) else ''
  return f'{context.workdir.audit / TABLE}{trainings}{done}'


def run(context: Context) -> None:
  """Ranks all labels and says which are probably wrong.

  Where no score that could tell was computed, it says so and leaves the audit
  out.

  Raises:
    DataDietError: if scores are missing or damaged.
    Preempted: if the process was asked to stop; everything is saved.
  """
  if _is_done(context):
    return
  names = _evidence_names(context)
  if not names:
    logging.warning(
      'Label audit left out: at step %d, which is the last scored one, there is '
      'none of the scores %s of a trained network',
      _step(context),
      ', '.join(audit.EVIDENCE),
    )
    return
  drawn = None
  if context.config.audit.threshold_samples:
    drawn = _train_with_threshold_samples(context)
  if jax.process_index() == 0:
    _write(context, names, drawn)


def _evidence_names(context: Context) -> list[str]:
  """The scores to judge labels by, the best first."""
  folder = context.workdir.scores(None, _step(context))
  manifest = artifacts.read_manifest(folder)
  if manifest is None:
    raise DataDietError(
      f'{folder} has no finished scores; run the score stage first '
      '(--stages=train,score)'
    )
  # What an untrained network says of labels is nothing.
  scored = manifest['scores'] if _step(context) else ()
  return [name for name in audit.EVIDENCE if name in scored]


def _read_predictions(context: Context) -> Predictions:
  """The best predictions that the score stage has left."""
  step = _step(context)
  num_examples = context.dataset.train.num_examples
  if context.config.train.subset_fraction < 1.0:
    path = context.workdir.scores(None, step) / 'pred_probs.npy'
    probs = artifacts.read_npy(path, num_examples)
    return Predictions(OUT_OF_SAMPLE, probs, audit.most_probable(probs))
  if _all_runs_have(context, 'pred_probs'):
    total = 0.0
    for run_number in context.runs:
      total += read_run_score(context, run_number, step, 'pred_probs')
    probs = total / len(context.runs)
    return Predictions(IN_SAMPLE, probs, audit.most_probable(probs))
  if _all_runs_have(context, 'prediction'):
    votes = np.stack(
      [
        read_run_score(context, run_number, step, 'prediction')
        for run_number in context.runs
      ]
    )
    return Predictions(VOTES, None, audit.most_voted(votes))
  return Predictions()


def _all_runs_have(context: Context, name: str) -> bool:
  folders = [context.workdir.scores(r, _step(context)) for r in context.runs]
  return all((folder / f'{name}.npy').exists() for folder in folders)


def _train_with_threshold_samples(context: Context) -> np.ndarray:
  """Trains on labels with an extra class; bool[NUM_DRAWS, N], its examples."""
  config, dataset = context.config, context.dataset
  drawn = audit.draw_threshold_samples(
    dataset.train.num_examples,
    dataset.num_classes,
    order.generator(config.train.data_seed, 0, order.THRESHOLD_SAMPLE_STREAM),
  )
  for number, samples in enumerate(drawn):
    job = Job(
      name=f'{GROUP}/run_{number:02d}',
      folder=context.workdir.run(GROUP, number),
      # No network that scores is trained again.
      run=config.train.num_runs + number,
      example_index=np.arange(dataset.train.num_examples),
    )
    train_jobs(
      [job],
      with_extra_class(dataset, samples),
      train_settings(config, config.train.num_steps, ()),
      make_run_mesh(1, config.train.batch_size),
      name=f'training with threshold samples {number + 1},',
    )
  return drawn


def with_extra_class(dataset: Dataset, samples: np.ndarray) -> Dataset:
  """The data with one class more, which is given to bool[N] samples."""
  train = dataset.train
  labels = np.where(samples, np.int32(dataset.num_classes), train.labels)
  original = dataset.original_labels
  return dataclasses.replace(
    dataset,
    train=dataclasses.replace(train, labels=labels),
    class_names=(*dataset.class_names, 'threshold samples'),
    original_labels=train.labels if original is None else original,
  )


def _read_margins(context: Context) -> np.ndarray:
  """float32[NUM_DRAWS, N], the AUM of each training; NaN if never seen."""
  file_name = f'{artifacts.step_name(context.config.train.num_steps)}.npz'
  margins = []
  for number in range(audit.NUM_DRAWS):
    folder = context.workdir.run(GROUP, number) / 'dynamics'
    dynamics = artifacts.read_npz(folder / file_name)
    seen = dynamics['visits'] > 0
    margins.append(np.where(seen, dynamics['margin_mean'], np.float32(np.nan)))
  return np.stack(margins)


def _write(
  context: Context, names: list[str], drawn: np.ndarray | None
) -> None:
  """Judges all labels and writes the table, then the manifest."""
  predictions = _read_predictions(context)
  evidence = _evidence(context, names, predictions)
  suspicion = audit.suspicion(list(evidence.values()))
  found, threshold = _find(context, evidence, predictions, drawn)
  is_issue = audit.most_suspicious(suspicion, int(found.sum()))
  _write_table(context, suspicion, is_issue, predictions.suggested)
  artifacts.write_manifest(
    context.workdir.audit,
    {
      'kind': 'label audit',
      **_expected(context),
      'evidence': list(evidence),
      'suggestions': predictions.kind,
      'threshold': threshold,
      'num_issues': int(is_issue.sum()),
      'noise_rate': float(is_issue.mean()),
    },
  )
  logging.info(
    'Label audit: %d of %d labels are probably wrong, by %s (%s)',
    is_issue.sum(),
    len(is_issue),
    ' and '.join(evidence),
    threshold['kind'],
  )


def _evidence(
  context: Context, names: list[str], predictions: Predictions
) -> dict[str, np.ndarray]:
  """What speaks for a wrong label, float32[N] each: higher if it does."""
  evidence = {}
  for name in names:
    sign = -1 if registry.SCORES[name].higher_is == 'easier' else 1
    evidence[name] = sign * read_mean_score(context, name, _step(context))
  if predictions.pred_probs is not None:
    labels = context.dataset.train.labels
    margin = audit.label_margin(predictions.pred_probs, labels)
    evidence[f'margin of {predictions.kind} predictions'] = -margin
  return evidence


def _find(
  context: Context,
  evidence: dict[str, np.ndarray],
  predictions: Predictions,
  drawn: np.ndarray | None,
) -> tuple[np.ndarray, dict]:
  """bool[N], labels found wrong, and what the manifest says of how."""
  if drawn is not None:
    over, thresholds = audit.margins_over_threshold(
      _read_margins(context), drawn
    )
    return over <= 0, {
      'kind': THRESHOLD_SAMPLES,
      'aum': thresholds.tolist(),
      'num_samples': drawn.sum(1).tolist(),
    }
  if predictions.pred_probs is not None:
    labels = context.dataset.train.labels
    found = audit.confident_issues(predictions.pred_probs, labels)
    return found, {'kind': CONFIDENT_LEARNING}
  best, values = next(iter(evidence.items()))
  return audit.mixture_issues(values), {'kind': MIXTURE, 'of': best}


def _write_table(
  context: Context,
  suspicion: np.ndarray,
  is_issue: np.ndarray,
  suggested: np.ndarray | None,
) -> None:
  """Writes label_issues.csv, the most suspicious label first."""
  train = context.dataset.train
  by_rank = np.argsort(-suspicion, kind='stable')
  suggestions = [''] * len(by_rank) if suggested is None else suggested[by_rank]
  rows = zip(
    by_rank,
    train.ids[by_rank],
    train.labels[by_rank],
    suggestions,
    (f'{value:.9g}' for value in suspicion[by_rank]),
    range(1, len(by_rank) + 1),
    is_issue[by_rank].astype(int),
    strict=True,
  )
  artifacts.write_csv(context.workdir.audit / TABLE, _COLUMNS, rows)
