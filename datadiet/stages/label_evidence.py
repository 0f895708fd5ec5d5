"""What speaks for wrong labels: predictions, a score, and how they are read."""

import dataclasses

import numpy as np

from datadiet import audit
from datadiet.errors import DataDietError
from datadiet.scoring import aggregate
from datadiet.stages import due, pred_probs, train
from datadiet.stages.context import Context
from datadiet.training.settings import IN_SAMPLE, OUT_OF_SAMPLE
from datadiet.workdir.top_probs import PredProbs

# What the predictions are.
VOTES = 'votes'
_MEASURED_ON = {
  OUT_OF_SAMPLE: 'the examples they were not trained on',
  IN_SAMPLE: 'the examples they were trained on',
  VOTES: 'the examples they were trained on',
}


@dataclasses.dataclass(frozen=True)
class Predictions:
  """The labels that the networks predict.

  Attributes:
    kind: OUT_OF_SAMPLE, IN_SAMPLE, VOTES, or None where nothing was kept.
    pred_probs: float32[N, num_classes], the mean over runs, or what makes its
      rows; None with VOTES.
    suggested: int32[N]; None where nothing was kept.
  """

  kind: str | None = None
  pred_probs: PredProbs | None = None
  suggested: np.ndarray | None = None


def scored_step(context: Context) -> int:
  """The step whose scores are the evidence: the last one that is scored."""
  return context.config.score.steps[-1]


def has_evidence(context: Context) -> bool:
  """Whether there is anything to judge labels by."""
  # Predictions of an untrained network say nothing about labels.
  return scored_step(context) > 0 and (
    _best_score(context) is not None or context.config.train.predicts_unseen
  )


def _best_score(context: Context) -> str | None:
  """The score to judge labels by.

  Raises:
    DataDietError: if nothing was scored yet.
  """
  train, step = context.config.train, scored_step(context)
  folder = context.workdir.scores(None, step)
  manifest = context.manifest(folder)
  if manifest is None:
    raise DataDietError(
      f'{folder} has no finished scores; run the score stage first '
      '(--stages=train,score)'
    )
  num_visits = step * train.batch_size / context.num_trained_on
  return audit.best_score(manifest['scores'], num_visits)


def read_predictions(context: Context) -> Predictions:
  """Reads the best predictions that the score stage stored."""
  step = scored_step(context)
  if context.config.train.predicts_unseen:
    probs = pred_probs.read(context, None, step)
    return Predictions(OUT_OF_SAMPLE, probs, audit.most_probable(probs))
  if pred_probs.all_runs_have(context, step):
    probs = pred_probs.mean_of_all(context, step)
    return Predictions(IN_SAMPLE, probs, audit.most_probable(probs))
  if all_runs_have(context, 'prediction'):
    votes = np.stack(
      [
        context.run_array(run_number, step, 'prediction')
        for run_number in context.runs
      ]
    )
    return Predictions(VOTES, None, audit.most_voted(votes))
  return Predictions()


def all_runs_have(context: Context, name: str) -> bool:
  """Whether the score stage stored an array for every run."""
  folders = [
    context.workdir.scores(r, scored_step(context)) for r in context.runs
  ]
  return all((folder / f'{name}.npy').exists() for folder in folders)


def calibration(
  context: Context, predictions: Predictions
) -> audit.Calibration | None:
  """How probable wrong labels are; None without out-of-sample predictions."""
  if predictions.kind != OUT_OF_SAMPLE or context.dataset.num_classes < 2:
    return None
  probs = predictions.pred_probs
  assert probs is not None  # There are no others out of sample.
  return audit.calibrate(probs, context.dataset.train.labels)


def find_evidence(
  context: Context,
  predictions: Predictions,
  calibration: audit.Calibration | None,
) -> dict[str, np.ndarray]:
  """The evidence for wrong labels by name, float64[N] each: high if wrong."""
  evidence = {}
  name = _best_score(context)
  inside, out_of_sample = context.held_out, predictions.pred_probs
  if (
    calibration is not None
    and out_of_sample is not None
    and inside is not None
    and name in audit.OF_ONE_NETWORK
    and pred_probs.all_runs_have(context, scored_step(context))
  ):
    probs = pred_probs.mean_of_trained_on(
      context, scored_step(context), inside, out_of_sample
    )
    evidence['in-sample predictions'] = audit.odds_against_labels(
      probs, context.dataset.train.labels, calibration.noise
    )
  elif name is not None:
    # Beside predictions by the same networks it would say nothing new.
    says_nothing_new = due.is_out_of_sample(context.config, name)
    if not says_nothing_new or (inside is None and calibration is None):
      scores = context.mean_score(name, scored_step(context))
      evidence[name] = audit.EVIDENCE[name](scores)
    elif inside is not None:
      scores = _mean_in_sample(context, name)
      evidence[f'{name} in sample'] = audit.EVIDENCE[name](scores)
  if calibration is not None:
    evidence['out-of-sample predictions'] = calibration.log_odds
  return evidence


def _mean_in_sample(context: Context, name: str) -> np.ndarray:
  """A score's mean over the runs that trained on the example, float32[N]."""
  inside = context.held_out
  assert inside is not None  # Or it would not be out of sample.
  by_run = [
    context.run_array(run, scored_step(context), name) for run in context.runs
  ]
  by_run = aggregate.where(by_run, inside)
  return aggregate.mean_and_spread(by_run, name=name)['mean']


def measured_accuracy(
  context: Context, predictions: Predictions
) -> tuple[float, str]:
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
