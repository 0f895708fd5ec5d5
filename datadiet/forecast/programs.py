"""The programs that an experiment runs, lowered for devices not at hand."""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datadiet.config import Config
from datadiet.data.dataset import Dataset, Split, with_crop
from datadiet.data.packed import PackedImages
from datadiet.errors import ConfigError
from datadiet.feeding.placement import (
  DevicePlacement,
  HostPlacement,
  Placement,
  Placements,
  choose,
)
from datadiet.runtime.mesh import RunMesh, flat_mesh
from datadiet.scoring.engine import ScoringEngine
from datadiet.scoring.passes import pass_groups
from datadiet.stages import chunks, due, network_scores
from datadiet.stages import train as train_stage
from datadiet.stages.context import Context
from datadiet.training.trainer import Trainer
from datadiet.workdir.artifacts import Workdir


@dataclasses.dataclass(frozen=True)
class DataShape:
  """What a program has to know of a data set.

  Attributes:
    num_examples: of the train split.
    num_test: of the test split.
    image_shape: (height, width, channels).
    num_classes: number of logits.
  """

  num_examples: int
  num_test: int
  image_shape: tuple[int, int, int]
  num_classes: int

  def dataset(self) -> Dataset:
    """A data set of this shape without pixels: it takes no memory."""
    channels = self.image_shape[2]

    def split(num: int) -> Split:
      return Split(
        np.broadcast_to(np.uint8(0), (num, *self.image_shape)),
        np.zeros(num, np.int32),
        np.broadcast_to(np.str_(''), (num,)),
      )

    return Dataset(
      name='shape',
      train=split(self.num_examples),
      test=split(self.num_test),
      class_names=tuple(map(str, range(self.num_classes))),
      mean=np.full(channels, 0.5, np.float32),
      std=np.full(channels, 0.25, np.float32),
      fingerprint='',
    )


# Of data sets that are always the same.
_KNOWN = {
  'cifar10': DataShape(50_000, 10_000, (32, 32, 3), 10),
  'cifar100': DataShape(50_000, 10_000, (32, 32, 3), 100),
  'cinic10': DataShape(180_000, 90_000, (32, 32, 3), 10),
  'digits': DataShape(1_437, 360, (8, 8, 1), 10),
}


def shape_of(name: str, given: tuple[int, ...]) -> DataShape:
  """The shape of a data set, as given or as it is known.

  Args:
    name: `config.dataset.name`.
    given: of --data_shape, or ().

  Raises:
    ConfigError: if neither says it.
  """
  if given:
    num_examples, num_test, height, width, channels, num_classes = given
    return DataShape(
      num_examples, num_test, (height, width, channels), num_classes
    )
  if name not in _KNOWN:
    raise ConfigError(
      f'--data_shape is missing: what config.dataset.name = {name!r} has is '
      'not known before it is read; allowed: --data_shape=EXAMPLES,'
      'TEST_EXAMPLES,HEIGHT,WIDTH,CHANNELS,CLASSES, or one of '
      f'{", ".join(_KNOWN)}'
    )
  return _KNOWN[name]


@dataclasses.dataclass(frozen=True)
class Program:
  """One program that the experiment would compile and run.

  Attributes:
    name: for people.
    lower: lowers it; compile what it returns.
    trips: steps of its loop.
    calls: how often the experiment runs it, one wave after the other.
    images: of one call, of all devices.
    run_mesh: what it runs on.
    smaller: makes the program to take where this one does not fit, by half of
      the memory that the arguments leave; None where the stages have no other.
  """

  name: str
  lower: Callable[[], Any]
  trips: int
  calls: int
  images: int
  run_mesh: RunMesh
  smaller: 'Callable[[], Program | None] | None' = None


class ShapePlacements(Placements):
  """Places splits by their shapes alone, on devices that are not there."""

  def __init__(self, placement: str, memory: float):
    """Places nothing.

    Args:
      placement: `config.dataset.placement`.
      memory: bytes that a device has.
    """
    super().__init__(placement)
    self._memory = memory

  def of(self, split: Split, sharding: jax.sharding.Sharding) -> Placement:
    """The placement that a split has on the devices of a sharding."""
    placement = self._placement
    if placement == 'auto':
      placement = choose(split, self._memory)
    if placement != 'device':
      # Never opened: the shape of what would be sent is enough.
      images: Any = PackedImages('', split.images.shape, ())
      return HostPlacement(dataclasses.replace(split, images=images))
    num, *shape = split.images.shape
    resident = {
      'image': jax.ShapeDtypeStruct(
        (num, int(np.prod(shape))), jnp.uint8, sharding=sharding
      ),
      'label': jax.ShapeDtypeStruct((num,), jnp.int32, sharding=sharding),
    }
    return DevicePlacement(resident, tuple(shape), split.crop_size)


@dataclasses.dataclass(frozen=True)
class ShapeContext(Context):
  """The context of stages that are only compiled: no data, no workdir.

  Attributes:
    memory: bytes that a device has.
  """

  memory: float = math.inf

  # The user's file, which is of data that is not there.
  subset = None

  @functools.cached_property
  def placements(self) -> ShapePlacements:
    """The shapes of the data, on the devices or on the host."""
    return ShapePlacements(self.config.dataset.placement, self.memory)


def programs(
  config: Config,
  shape: DataShape,
  devices: list[Any],
  stages: Collection[str] = ('train', 'score'),
  memory: float = math.inf,
) -> Iterator[Program]:
  """The programs of training and scoring, as the stages run them.

  Args:
    config: of `config.resolve`, with a model.dtype.
    shape: of the data.
    devices: to compile for.
    stages: whose programs; of other stages than these two there are none.
    memory: bytes that a device has, which decide where pixels are.
  """
  dataset = with_crop(shape.dataset(), config.dataset.crop_size)
  context = ShapeContext(config, Workdir.at('.'), dataset, memory=memory)
  if 'train' in stages:
    yield from _training(context, devices)
  if 'score' in stages:
    yield from _scoring(context, devices)


def _training(context: Context, devices: list[Any]) -> Iterator[Program]:
  config, train = context.config, context.config.train
  plan, run_mesh = train_stage.plan_and_mesh(config, devices)
  trainer = Trainer(context.dataset, plan, run_mesh, context.placements)
  place = context.placements.of(context.dataset.train, run_mesh.replicated)
  is_sent = isinstance(place, HostPlacement)
  per_call = trainer.plan.steps_per_call
  waves = -(-train.num_runs // run_mesh.num_slots)
  at_once = min(train.num_runs, run_mesh.num_slots)
  yield Program(
    f'train{run_mesh.describe(train.num_runs)}, '
    f'batch {train.batch_size}, {config.model.dtype}, {per_call} steps a call'
    f'{", pixels sent by the host" if is_sent else ""}',
    trainer.lower_steps,
    per_call,
    waves * -(-train.num_steps // per_call),
    at_once * train.batch_size * per_call,
    run_mesh,
  )
  num_evaluations = -(-train.num_steps // train.eval_every_steps)
  yield Program(
    'evaluate',
    lambda: trainer.evaluate.lower(trainer.abstract_state()),
    1,
    waves * num_evaluations * trainer.evaluate.num_batches,
    at_once * trainer.evaluate.batch_size,
    run_mesh,
  )


def _scoring(context: Context, devices: list[Any]) -> Iterator[Program]:
  score, mesh = context.config.score, flat_mesh(devices)
  keep = bool(due.extra_arrays(context))
  passes = collections.Counter(
    group
    for run in context.runs
    for step in score.steps
    for group in pass_groups(due.scores_of(context, run, step), keep)
  )
  for group, num_networks in passes.items():
    yield _scoring_pass(
      context,
      group,
      num_networks,
      network_scores.make_engine(context, group, mesh),
      mesh,
    )


def _scoring_pass(
  context: Context,
  group: tuple[str, ...],
  num_networks: int,
  engine: ScoringEngine,
  mesh: RunMesh,
) -> Program:
  score = context.config.score

  def smaller() -> Program | None:
    if not chunks.halve_chunk(engine):
      return None
    return _scoring_pass(context, group, num_networks, engine, mesh)

  return Program(
    f'score {", ".join(group)}, chunks of {engine.chunk_size}, {score.dtype}',
    lambda: engine.lower(due.network_shapes(context)),
    1,
    num_networks * -(-context.num_examples // engine.chunk_size),
    engine.chunk_size,
    mesh,
    smaller if chunks.is_fitted(score, group) else None,
  )
