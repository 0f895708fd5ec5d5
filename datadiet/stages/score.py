"""The score stage: every example under every network, and the mean."""

import time

import jax
import numpy as np
from absl import logging
from etils import epath

from datadiet import artifacts, checkpoints, preemption
from datadiet.data import Dataset
from datadiet.errors import DataDietError, Preempted
from datadiet.models import make_model
from datadiet.progress import Progress, progress
from datadiet.scoring import aggregate, registry
from datadiet.scoring.dynamics import read_off
from datadiet.scoring.engine import Partial, ScoringEngine, pass_groups
from datadiet.stages import train
from datadiet.stages.context import Context

# Seconds between two notes of how far scoring has come.
_PARTIAL_INTERVAL = 20.0
_PARTIAL = 'partial.npz'


def wanted(context: Context, run: int, step: int) -> tuple[str, ...]:
  """The scores to be computed for one network."""
  config = context.config
  names = config.score.names
  if config.score.gradient_runs and run >= config.score.gradient_runs:
    left_out = registry.of_kind(names, registry.GRADIENT)
    names = tuple(name for name in names if name not in left_out)
  steps_per_epoch = (
    context.dataset.train.num_examples // config.train.batch_size
  )
  if step < steps_per_epoch:
    # Before the end of the first epoch most examples were never trained on.
    left_out = registry.of_kind(names, registry.DYNAMICS)
    names = tuple(name for name in names if name not in left_out)
  return names


def _missing(context: Context, run: int, step: int) -> tuple[str, ...]:
  folder = context.workdir.scores(run, step)
  manifest = artifacts.read_manifest(folder)
  if manifest is None:
    return wanted(context, run, step)
  artifacts.check_fingerprint(manifest, context.dataset.fingerprint, folder)
  return tuple(
    name
    for name in wanted(context, run, step)
    if name not in manifest['scores'] or not (folder / f'{name}.npy').exists()
  )


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  steps, runs = context.config.score.steps, context.runs
  done = sum(not _missing(context, r, s) for s in steps for r in runs)
  names = ', '.join(context.config.score.names)
  return (
    f'{len(runs)} runs at step {", ".join(map(str, steps))}: {names} '
    f'({done} of {len(runs) * len(steps)} done)'
  )


def run(context: Context) -> None:
  """Computes what is missing, then the means and tables.

  Raises:
    DataDietError: if a network is missing, or scores are not finite.
    Preempted: if the process was asked to stop; what is done is saved.
  """
  engines: dict[tuple[str, ...], ScoringEngine] = {}
  for step in context.config.score.steps:
    for run_number in context.runs:
      missing = _missing(context, run_number, step)
      if missing:
        _score_network(context, run_number, step, missing, engines)
    if jax.process_index() == 0:
      _aggregate(context, step)
  if jax.process_index() == 0:
    last = context.workdir.scores_csv(context.config.score.steps[-1])
    artifacts.write_bytes(context.workdir.scores_csv(), last.read_bytes())


def _score_network(
  context: Context,
  run_number: int,
  step: int,
  names: tuple[str, ...],
  engines: dict[tuple[str, ...], ScoringEngine],
) -> None:
  """Computes and writes the named scores of one network."""
  run_folder = context.workdir.run(train.GROUP, run_number)
  scores = {}
  for group in pass_groups(names):
    if group not in engines:
      engines[group] = _engine(context, group)
    scores |= _one_pass(
      context, engines[group], run_folder, run_number, step, group
    )
  dynamics_names = registry.of_kind(names, registry.DYNAMICS)
  if dynamics_names:
    path = run_folder / 'dynamics' / f'{artifacts.step_name(step)}.npz'
    dynamics = artifacts.read_npz(path)
    for name in dynamics_names:
      function = registry.SCORES[name].function
      scores[name] = read_off(function, dynamics)
  if jax.process_index() == 0:
    _write(context, run_number, step, scores)


def _engine(context: Context, group: tuple[str, ...]) -> ScoringEngine:
  config, dataset = context.config, context.dataset
  gradient = registry.of_kind(group, registry.GRADIENT)
  score = config.score
  return ScoringEngine(
    dataset.train,
    make_model(
      config.model.name,
      num_classes=dataset.num_classes,
      width=config.model.width,
      dtype='float32',
    ),
    group,
    mean=dataset.mean,
    std=dataset.std,
    chunk_size=score.gradient_batch_size if gradient else score.batch_size,
    placement=config.dataset.placement,
  )


def _one_pass(
  context: Context,
  engine: ScoringEngine,
  run_folder: epath.Path,
  run_number: int,
  step: int,
  group: tuple[str, ...],
) -> dict[str, np.ndarray]:
  """Scores all examples by one pass, going on where it was cut off."""
  folder = context.workdir.scores(run_number, step)
  variables = checkpoints.load_variables(run_folder, step)
  done = _read_partial(folder, group, engine, context.dataset)
  last_note = time.monotonic()

  def on_chunk(partial: Partial) -> None:
    nonlocal last_note
    shown.advance(min(engine.chunk_size, partial.num_done - position[0]))
    position[0] = partial.num_done
    stop = preemption.stop_requested()
    if stop or time.monotonic() - last_note > _PARTIAL_INTERVAL:
      last_note = time.monotonic()
      _write_partial(folder, group, engine, partial, context.dataset)
    if stop:
      raise Preempted

  position = [done.num_done if done else 0]
  title = f'scoring run {run_number} at step {step} ({", ".join(group)})'
  with progress(
    title, context.dataset.train.num_examples, 'images', position[0]
  ) as shown:
    shown: Progress
    scores = engine.score(variables, done=done, on_chunk=on_chunk)
    logging.info('%s', shown.line())
  return scores


def _partial_key(group, engine: ScoringEngine, dataset: Dataset) -> str:
  return f'{",".join(group)} {engine.chunk_size} {dataset.fingerprint}'


def _write_partial(folder, group, engine, partial: Partial, dataset) -> None:
  if jax.process_index() == 0:
    arrays = {f'value_{name}': value for name, value in partial.values.items()}
    artifacts.write_npz(
      folder / _PARTIAL,
      {
        'key': np.array(_partial_key(group, engine, dataset)),
        'num_done': np.array(partial.num_done),
        **arrays,
      },
    )


def _read_partial(folder, group, engine, dataset) -> Partial | None:
  path = folder / _PARTIAL
  if not path.exists():
    return None
  arrays = artifacts.read_npz(path)
  if str(arrays['key']) != _partial_key(group, engine, dataset):
    return None
  values = {
    name.removeprefix('value_'): value
    for name, value in arrays.items()
    if name.startswith('value_')
  }
  logging.info('Going on at example %d: %s', int(arrays['num_done']), folder)
  return Partial(int(arrays['num_done']), values)


def _write(context, run_number: int, step: int, scores: dict) -> None:
  folder = context.workdir.scores(run_number, step)
  where = f'run {run_number} at step {step}'
  for name, values in scores.items():
    if name in registry.SCORES and (
      registry.SCORES[name].kind != registry.DYNAMICS
    ):
      aggregate.check_finite(values, name=name, where=where)
    artifacts.write_npy(folder / f'{name}.npy', values)
  manifest = artifacts.read_manifest(folder) or {}
  statements = {
    name: registry.SCORES[name].statement()
    for name in scores
    if name in registry.SCORES
  }
  artifacts.write_manifest(
    folder,
    {
      **_provenance(context, step),
      'kind': 'scores of one network',
      'run': run_number,
      'scores': {**manifest.get('scores', {}), **statements},
    },
  )
  (folder / _PARTIAL).unlink(missing_ok=True)


def _provenance(context: Context, step: int) -> dict:
  config, dataset = context.config, context.dataset
  return {
    'fingerprint': dataset.fingerprint,
    'labels_fingerprint': dataset.labels_fingerprint,
    'num_examples': dataset.train.num_examples,
    'step': step,
    'model': config.model.to_dict(),
    'model_seed': config.train.model_seed,
    'data_seed': config.train.data_seed,
  }


def _aggregate(context: Context, step: int) -> None:
  """Writes the means over runs and the table of one step."""
  dataset = context.dataset
  folder = context.workdir.scores(None, step)
  means, statements = {}, {}
  for name in context.config.score.names:
    runs = [r for r in context.runs if name in wanted(context, r, step)]
    if not runs:
      logging.info('%s: not defined at step %d, left out', name, step)
      continue
    by_run = [
      artifacts.read_npy(
        context.workdir.scores(r, step) / f'{name}.npy',
        dataset.train.num_examples,
      )
      for r in runs
    ]
    spread = aggregate.mean_and_std(by_run, name=name)
    means[name] = spread['mean']
    artifacts.write_npy(folder / f'{name}.npy', spread['mean'])
    artifacts.write_npy(folder / f'{name}_std.npy', spread['std'])
    statement = registry.SCORES[name].statement()
    statements[name] = {**statement, 'runs': runs}
  artifacts.write_manifest(
    folder,
    {
      **_provenance(context, step),
      'kind': 'mean scores over runs',
      'runs': list(context.runs),
      'scores': statements,
    },
  )
  split = dataset.train
  columns = [[f'{value:.9g}' for value in means[name]] for name in means]
  artifacts.write_csv(
    context.workdir.scores_csv(step),
    ['example_index', 'id', 'label', *means],
    zip(
      range(split.num_examples),
      split.ids.tolist(),
      split.labels.tolist(),
      *columns,
      strict=True,
    ),
  )


def read_mean_score(context: Context, name: str, step: int) -> np.ndarray:
  """A mean score, float32[N], checked against the data.

  Raises:
    DataDietError: if it is missing, of other data, of the wrong length or not
      finite.
  """
  folder = context.workdir.scores(None, step)
  manifest = artifacts.read_manifest(folder)
  if manifest is None or name not in manifest['scores']:
    raise DataDietError(
      f'{folder} has no finished {name}; run the score stage first '
      '(--stages=train,score)'
    )
  artifacts.check_fingerprint(manifest, context.dataset.fingerprint, folder)
  path = folder / f'{name}.npy'
  scores = artifacts.read_npy(path, context.dataset.train.num_examples)
  aggregate.check_finite(scores, name=name, where=str(path))
  return scores
