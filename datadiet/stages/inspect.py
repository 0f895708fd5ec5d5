"""The inspection stage: what images are compared by, and what that finds."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

import datadiet
from datadiet.data import Split
from datadiet.inspection.embedding_map import embedding_map
from datadiet.inspection.neighbours import cosine_neighbours
from datadiet.models.settings import make_network
from datadiet.runtime import processes
from datadiet.runtime.mesh import flat_mesh
from datadiet.runtime.progress import progress
from datadiet.scoring import aggregate
from datadiet.scoring.engine import Partial
from datadiet.scoring.features import HOW, sows_features
from datadiet.scoring.passes import FEATURES
from datadiet.stages import findings, train
from datadiet.stages.context import Context
from datadiet.stages.label_evidence import scored_step
from datadiet.stages.network_scores import make_engine
from datadiet.stages.test_predictions import predict_test
from datadiet.workdir import artifacts, checkpoints, storage, tables

# The run whose network gives the features.
_RUN = 0
# The files that are there only where there are embeddings.
_OF_EMBEDDINGS = (
  tables.EMBEDDINGS,
  tables.TEST_EMBEDDINGS,
  tables.NEIGHBOUR_INDEX,
  tables.NEIGHBOUR_DISTANCE,
  tables.MAP,
  tables.BAD_GROUPS,
)
# How many nearest neighbours of each example are kept.
NUM_NEIGHBOURS = 10


@dataclasses.dataclass(frozen=True)
class Embeddings:
  """What images are compared by.

  Attributes:
    source: where they are from, in words; why there are none, if so.
    train: float32[N, d]; None for none.
    test: float32[M, d]; None for none.
  """

  source: str
  train: np.ndarray | None = None
  test: np.ndarray | None = None


def _expected(context: Context) -> dict[str, Any]:
  """What the manifest must say for the inspection to be the one wanted."""
  subset = context.subset
  return {
    'version': datadiet.__version__,
    'labels_fingerprint': context.dataset.labels_fingerprint,
    'subset': None if subset is None else artifacts.checksum(subset),
    'step': scored_step(context),
    'map': context.config.inspect.map,
    'num_runs': context.config.train.num_runs,
    'own_embeddings': [
      None if array is None else artifacts.checksum(array)
      for array in context.own_embeddings
    ],
  }


def _is_done(context: Context) -> bool:
  return context.is_complete(context.workdir.inspection, **_expected(context))


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  done = ' (done)' if _is_done(context) else ''
  return f'{context.workdir.inspection}{done}'


def run(context: Context) -> None:
  """Writes embeddings, neighbours, and what they and the pixels tell.

  Raises:
    DataDietError: if a network is missing, or its features are not finite.
    Preempted: if the process was asked to stop.
  """
  if processes.broadcast_from_lead(lambda: _is_done(context)):
    return
  embeddings = _embeddings(context)
  test_predictions = predict_test(context)
  if processes.is_lead():
    # What was there is no longer whole from here on.
    storage.remove(context.workdir.inspection / artifacts.MANIFEST)
    if test_predictions is not None:
      path = context.workdir.inspection / tables.TEST_PREDICTIONS
      artifacts.write_npy(path, test_predictions)
  # The lead alone works; between two parts all look whether one is to stop.
  parts = _write(context, embeddings)
  while processes.broadcast_from_lead(lambda: next(parts, None)):
    processes.stop_if_any_is_asked_to()


def _embeddings(context: Context) -> Embeddings:
  """The user's own embeddings, or the features of a network.

  Only the lead process gets the values.
  """
  own_train, own_test = context.own_embeddings
  if own_train is not None:
    return Embeddings('config.inspect.embeddings_path', own_train, own_test)
  config, dataset, step = context.config, context.dataset, scored_step(context)
  source = f'features of run {_RUN} at step {step}'
  stored = context.workdir.scores(_RUN, step) / f'{FEATURES}.npy'
  has_stored = processes.broadcast_from_lead(stored.exists)
  train_features = None
  if has_stored and processes.is_lead():
    train_features = context.run_array(_RUN, step, FEATURES)
  if config.train.imported:
    if not has_stored:
      source = 'none: no features were imported'
    return Embeddings(source, train_features)
  network = make_network(config.model, dataset.num_classes)
  if not sows_features(network, dataset.input_shape):
    return Embeddings(
      f'none: the model {config.model.name!r} sows no features, by {HOW}'
    )
  variables = checkpoints.load_variables(
    context.workdir.run(train.GROUP, _RUN), step
  )
  if not has_stored:
    train_features = _features(context, variables, dataset.train)
  test_features = _features(context, variables, dataset.test)
  return Embeddings(source, train_features, test_features)


def _features(context: Context, variables: Any, split: Split) -> np.ndarray:
  """The input of the last layer for each example of a split, float32[N, d].

  Raises:
    DataDietError: if it is not finite.
    Preempted: if the process was asked to stop.
  """
  engine = make_engine(context, (), flat_mesh(), split, (FEATURES,))
  title = f'features of {split.num_examples} images'
  with progress(title, split.num_examples, 'images') as shown:

    def on_chunk(partial: Partial) -> None:
      shown.advance(partial.num_done - shown.done)
      processes.stop_if_any_is_asked_to()

    features = engine.score(variables, on_chunk=on_chunk)[FEATURES]
  features = features.reshape(len(features), -1).astype(np.float32)
  aggregate.check_finite(
    np.abs(features).max(1), name=FEATURES, where=f'run {_RUN}'
  )
  return features


def _write(context: Context, embeddings: Embeddings) -> Iterator[str]:
  """Writes all that is found, then the manifest; yields what is written."""
  folder, neighbours = context.workdir.inspection, None
  for name in _OF_EMBEDDINGS:
    storage.remove(folder / name)  # Those of other embeddings.
  if embeddings.train is None:
    logging.warning(
      'Inspection by pixels alone; embeddings: %s', embeddings.source
    )
  else:
    neighbours = _write_neighbours(context, embeddings.train)
    yield tables.NEIGHBOUR_INDEX
    artifacts.write_npy(folder / tables.EMBEDDINGS, embeddings.train)
    kind = context.config.inspect.map
    places = embedding_map(kind, embeddings.train)
    artifacts.write_npy(folder / tables.MAP, places)
    yield tables.MAP
  if embeddings.test is not None:
    artifacts.write_npy(folder / tables.TEST_EMBEDDINGS, embeddings.test)
  found = {}
  for name, value in findings.write_findings(
    context, embeddings.train, embeddings.test, neighbours
  ):
    found[name] = value
    yield name
  context.write_manifest(
    folder,
    {
      'kind': 'inspection',
      'fingerprint': context.dataset.fingerprint,
      **_expected(context),
      'embeddings': embeddings.source,
      **found,
    },
  )
  logging.info(
    'Inspection: %d pairs of copies, %d of them of a test image; flagged: %s',
    found['duplicates']['num_pairs'],
    found['duplicates']['num_leaks'],
    ', '.join(f'{name} {num}' for name, num in found['flags'].items() if num)
    or 'nothing',
  )


def _write_neighbours(context: Context, embeddings: np.ndarray) -> np.ndarray:
  """Writes the nearest neighbours; returns their numbers, int[N, k]."""
  num_neighbours = min(NUM_NEIGHBOURS, len(embeddings) - 1)
  distances, positions = cosine_neighbours(embeddings, num_neighbours)
  folder = context.workdir.inspection
  artifacts.write_npy(
    folder / tables.NEIGHBOUR_INDEX, positions.astype(np.int32)
  )
  artifacts.write_npy(folder / tables.NEIGHBOUR_DISTANCE, distances)
  return positions
