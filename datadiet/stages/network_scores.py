"""Computes and stores the scores of one network; resumes inside a pass."""

import contextlib
import functools
import os
import time
from collections.abc import Collection
from typing import Any

import jax
import numpy as np
from absl import logging

from datadiet.data import Split
from datadiet.errors import Preempted
from datadiet.models.settings import make_network
from datadiet.runtime import processes, stopping
from datadiet.runtime.mesh import RunMesh, flat_mesh
from datadiet.runtime.progress import progress
from datadiet.scoring import aggregate, registry
from datadiet.scoring.dynamics import score_of_dynamics
from datadiet.scoring.engine import Partial, ScoringEngine
from datadiet.scoring.gradient import LAYERS, leaf_names
from datadiet.scoring.passes import pass_groups
from datadiet.scoring.precision import PRECISIONS
from datadiet.stages import chunks, due, train
from datadiet.stages.context import Context
from datadiet.workdir import (
  artifacts,
  checkpoints,
  score_arrays,
  storage,
  top_probs,
)

# Seconds between two saves of partial scores.
_PARTIAL_INTERVAL = 20.0
_PARTIAL = 'partial.npz'


class NetworkScorer:
  """Scores networks of one architecture, compiling once for all of them."""

  def __init__(self, context: Context):
    self._context = context
    self._engines: dict[tuple[str, ...], ScoringEngine] = {}

  def score(
    self, run: int, step: int, names: tuple[str, ...], extra_arrays: bool
  ) -> None:
    """Computes and writes the named scores of one network.

    Args:
      run: the number of the network's run.
      step: the optimizer step of the network.
      names: the scores to compute.
      extra_arrays: whether arrays that a forward pass stores beside scores are
        missing, and to be written too.

    Raises:
      DataDietError: if the network or its dynamics are missing, or scores are
        not finite.
      Preempted: if the process was asked to stop; what is done is saved.
    """
    run_folder = self._context.workdir.run(train.GROUP, run)
    groups = pass_groups(names, extra_arrays)
    if groups:
      variables = checkpoints.load_variables(run_folder, step)
    for group in groups:
      scores = self._one_pass(variables, run, step, group)
      # Written now, so that a stop in the next pass does not lose these.
      layers = leaf_names(variables['params']) if LAYERS in scores else None
      write_scores(self._context, run, step, scores, layers)
    dynamics_names = registry.of_kind(names, registry.DYNAMICS)
    if dynamics_names:
      path = artifacts.dynamics_file(run_folder, step)
      dynamics: dict[str, Any] = {**artifacts.read_npz(path), 'step': step}
      scores = {
        name: score_of_dynamics(
          registry.SCORES[name].function, dynamics, str(path)
        )
        for name in dynamics_names
      }
      write_scores(self._context, run, step, scores)

  def _engine(self, group: tuple[str, ...], variables: Any) -> ScoringEngine:
    if group in self._engines:
      return self._engines[group]
    engine = make_engine(self._context, group, flat_mesh())
    if chunks.is_fitted(self._context.config.score, group):
      free_bytes = processes.broadcast_from_lead(_free_bytes)
      chunks.fit_chunk(engine, variables, free_bytes)
    self._engines[group] = engine
    return engine

  def _one_pass(
    self, variables: Any, run: int, step: int, group: tuple[str, ...]
  ) -> dict[str, np.ndarray]:
    """Scores all examples in one pass, resuming where it was interrupted."""
    engine = self._engine(group, variables)
    num_examples = self._context.num_examples
    notes = _PartialScores(self._context, run, step, group)
    done = notes.read()
    if done.chunk_size:
      # With the same chunks, so that scores are bitwise the same.
      engine.use_chunks_of(done.chunk_size)
    title = f'scoring run {run} at step {step} ({", ".join(group)})'
    with contextlib.ExitStack() as stack:
      shown = stack.enter_context(
        progress(title, num_examples, 'images', done.num_done)
      )
      # Once: after the first chunk there is something to save.
      hold = functools.cache(
        lambda: stack.enter_context(stopping.unsaved_work())
      )

      def on_chunk(partial: Partial) -> None:
        hold()
        shown.advance(partial.num_done - shown.done)
        stop = processes.any_process(stopping.stop_requested())
        if stop or notes.are_due():
          notes.write(partial, engine.chunk_size)
        if stop:
          raise Preempted

      while True:
        try:
          scores = engine.score(variables, done=done, on_chunk=on_chunk)
          break
        except jax.errors.JaxRuntimeError as error:
          # One of several processes cannot change its chunks alone.
          if (
            not chunks.is_out_of_memory(error)
            or processes.has_peers()
            or not chunks.halve_chunk(engine)
          ):
            raise
          logging.warning(
            'Out of memory: resuming with %d examples a chunk',
            engine.chunk_size,
          )
      logging.info('%s', shown.line())
    return scores


def make_engine(
  context: Context,
  group: tuple[str, ...],
  mesh: RunMesh,
  split: Split | None = None,
  keep: Collection[str] = (),
) -> ScoringEngine:
  """The engine of one of the passes that `pass_groups` gives.

  Args:
    context: of the experiment.
    group: the scores of the pass.
    mesh: all devices in one slot.
    split: what to pass through the network; the train split if None.
    keep: arrays of a forward pass; those stored beside scores if ().
  """
  config, dataset = context.config, context.dataset
  score = config.score
  is_gradient = bool(registry.of_kind(group, registry.GRADIENT))
  chunk_size = score.gradient_batch_size or chunks.most_examples(mesh)
  if not is_gradient:
    chunk_size = mesh.forward_batch_size(score.batch_size)
  return ScoringEngine(
    split or dataset.train,
    make_network(
      config.model,
      dataset.num_classes,
      PRECISIONS[score.dtype].dtype,
      mesh.platform,
    ),
    group,
    mean=dataset.mean,
    std=dataset.std,
    chunk_size=chunk_size,
    mesh=mesh,
    placements=context.placements,
    precision=score.dtype,
    keep=() if is_gradient else keep or due.extra_arrays(context),
    gradient=score,
    trainable=config.train.trainable,
  )


def _free_bytes() -> float:
  """Free bytes on one device; host devices share the host's memory equally."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  free = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  return free / jax.local_device_count()


class _PartialScores:
  """Stores the partial scores of one pass, to resume from."""

  def __init__(self, context: Context, run: int, step: int, group):
    self._path = context.workdir.scores(run, step) / _PARTIAL
    score = context.config.score
    self._key = repr(
      (
        group,
        context.dataset.fingerprint,
        due.extra_arrays(context),
        score.dtype,
        score.per_layer,
        score.grand_subset,
        score.unclog_sample_size,
        score.unclog_seed,
      )
    )
    self._last = time.monotonic()

  def are_due(self) -> bool:
    return time.monotonic() - self._last > _PARTIAL_INTERVAL

  def write(self, partial: Partial, chunk_size: int) -> None:
    self._last = time.monotonic()
    if processes.is_lead():
      arrays = {f'value_{name}': v for name, v in partial.values.items()}
      arrays |= {
        'key': np.array(self._key),
        'num_done': np.array(partial.num_done),
        'chunk_size': np.array(chunk_size),
      }
      artifacts.write_npz(self._path, arrays)

  def read(self) -> Partial:
    """Reads the partial scores; only the lead process gets the values."""
    found = self._read() if processes.is_lead() else Partial(0, {})
    found.num_done, found.chunk_size = processes.broadcast_from_lead(
      lambda: (found.num_done, found.chunk_size)
    )
    return found

  def _read(self) -> Partial:
    if not self._path.exists():
      return Partial(0, {})
    arrays = artifacts.read_npz(self._path)
    if str(arrays['key']) != self._key:
      return Partial(0, {})
    values = {
      name.removeprefix('value_'): value
      for name, value in arrays.items()
      if name.startswith('value_')
    }
    num_done = int(arrays['num_done'])
    logging.info('Resuming at example %d: %s', num_done, self._path.parent)
    return Partial(num_done, values, int(arrays['chunk_size']))


def write_scores(
  context: Context,
  run: int,
  step: int,
  scores: dict[str, np.ndarray],
  layers: list[str] | None = None,
) -> None:
  """Writes the scores, then the manifest, and deletes the partial scores.

  Args:
    context: of the workdir.
    run: the number of the network's run.
    step: the optimizer step of the network.
    scores: name -> [N, ...], also of arrays beside the scores.
    layers: the columns of 'grand_layers', where they are among them.

  Raises:
    DataDietError: if scores are not finite.
  """
  if not processes.is_lead():
    return
  folder = context.workdir.scores(run, step)
  where = f'run {run} at step {step}'
  statements = {}
  for name, values in scores.items():
    if name in registry.SCORES:
      statements[name] = due.statement(context.config, name)
      # A run has no dynamics of examples it did not train on.
      if registry.SCORES[name].kind != registry.DYNAMICS:
        aggregate.check_finite(values, name=name, where=where)
  checksums = score_arrays.write(folder, scores)
  before = context.manifest(folder) or {}
  known = {**before.get('checksums', {}), **checksums}
  # Predictions of an earlier pass, kept in the other way.
  for name in top_probs.others(scores):
    storage.remove(folder / f'{name}.npy')
    known.pop(name, None)
  manifest = {
    **context.provenance(step),
    'kind': 'scores of one network',
    'run': run,
    'scores': {**before.get('scores', {}), **statements},
    'checksums': known,
  }
  if layers is not None or 'layers' in before:
    manifest['layers'] = layers or before['layers']
  context.write_manifest(folder, manifest)
  storage.remove(folder / _PARTIAL)
