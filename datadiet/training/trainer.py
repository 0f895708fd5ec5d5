"""The compiled functions of training, made once for all runs and waves."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from datadiet.data.dataset import Dataset
from datadiet.decoders.crops import Crops
from datadiet.feeding import order
from datadiet.feeding.augmentation import PHOTO_CROP_FLIP
from datadiet.feeding.placement import Placements
from datadiet.models import over_data_axis
from datadiet.models.settings import make_network
from datadiet.runtime import randomness
from datadiet.runtime.mesh import RunMesh
from datadiet.training.evaluation import Evaluator
from datadiet.training.jobs import Job
from datadiet.training.optimizer import make_optimizer, make_schedule
from datadiet.training.plan import TrainingPlan
from datadiet.training.settings import augmentation_of
from datadiet.training.state import (
  Meters,
  TrainState,
  init_meters,
  init_state,
  variable_shapes,
)
from datadiet.training.steps import StepKeys, make_train_step, step_keys
from datadiet.training.vector import usual_vector


class Trainer:
  """Trains the stacked states of several runs on one mesh; writes no files.

  Attributes:
    run_mesh: the mesh.
    plan: what to train, with the platform that trains.
    evaluate: the evaluation on the test split.
    extra_tests: those on further test splits, by name.
  """

  def __init__(
    self,
    dataset: Dataset,
    plan: TrainingPlan,
    run_mesh: RunMesh,
    placements: Placements | None = None,
  ):
    """Puts the data on the devices; compilation waits for the first calls.

    Args:
      dataset: the data.
      plan: what to train, and how.
      run_mesh: the mesh to train on.
      placements: where data that is already on the devices is found; None to
        put it there for this trainer alone.
    """
    placements = placements or Placements(plan.placement)
    self.run_mesh = run_mesh
    # What a call trains depends on the devices.
    self.plan = plan = dataclasses.replace(plan, platform=run_mesh.platform)
    model = _network(dataset, plan, run_mesh)
    self._placement = placements.of(dataset.train, run_mesh.replicated)
    self._input_size = dataset.input_shape[0]
    tx = make_optimizer(plan.optimizer, plan.train.schedule_steps)
    self._init = run_mesh.per_run(
      functools.partial(
        init_state,
        model=model,
        tx=tx,
        image_shape=dataset.input_shape,
        num_examples=dataset.train.num_examples,
        num_classes=dataset.num_classes,
        trainable=plan.train.trainable,
        dynamics_settings=plan.dynamics,
        uses_losses=plan.uses_losses,
      ),
      run_once=True,
    )
    self._vector = usual_vector(self.state_shapes().params, plan)
    self._train_step = self._make_train_step(dataset, model, tx)
    compiled = functools.partial(
      run_mesh.per_run, shared=(3, 4), split={1: 2}, donate=(0,)
    )
    self._steps = compiled(self._run_steps)
    self._one_step = compiled(self._run_one_step)
    # Counts and positions on the devices: sent once each.
    self._numbers: dict[int, jax.Array] = {}
    self._split_meters = run_mesh.per_run(
      lambda meters: (jax.tree.map(jnp.copy, meters), init_meters())
    )
    evaluators = {
      name: Evaluator(
        placements.of(split, run_mesh.replicated),
        split.num_examples,
        run_mesh,
        model=model,
        num_classes=dataset.num_classes,
        mean=dataset.mean,
        std=dataset.std,
        batch_size=plan.train.eval_batch_size,
      )
      for name, split in {'': dataset.test, **dataset.extra_tests}.items()
    }
    self.evaluate, self.extra_tests = evaluators.pop(''), evaluators
    self._learning_rates = _learning_rates(plan, run_mesh)

  def _make_train_step(
    self, dataset: Dataset, model: nn.Module, tx: optax.GradientTransformation
  ) -> Callable:
    """The step of one run."""
    train = self.plan.train
    return make_train_step(
      model,
      tx,
      mean=dataset.mean,
      std=dataset.std,
      augmentation=augmentation_of(train, dataset.train.crop_size),
      label_smoothing=train.label_smoothing,
      trainable=train.trainable,
      recorders=self.plan.dynamics.recorders,
      data_axis=self.run_mesh.data_axis,
      vector=self._vector,
    )

  def learning_rate(self, step: int) -> float:
    """The learning rate of an optimizer step, from 0; waits for no device."""
    return float(self._learning_rates[step])

  def _run_one_step(self, state, feed, keys, position, resident):
    """Trains one run for the step at a position of `feed`."""
    at_step = jax.tree.map(lambda leaf: leaf[position], feed)
    batch = self._placement.gather(resident, at_step, whole=True)
    return self._train_step(state, batch, keys)

  def _run_steps(self, state, feed, keys, num_steps, resident):
    """Trains one run for `num_steps` of the steps in `feed`."""

    def one_step(position, state):
      return self._run_one_step(state, feed, keys, position, resident)

    if self.plan.steps_per_call == 1:
      return one_step(0, state)
    if self._is_counted:
      num_steps = self.plan.steps_per_call
    if self._vector is None:
      return jax.lax.fori_loop(0, num_steps, one_step, state)
    packed = self._vector.pack_state(state)
    packed = jax.lax.fori_loop(0, num_steps, one_step, packed)
    return self._vector.unpack_state(packed)

  @property
  def _is_counted(self) -> bool:
    """Whether the loop over steps always runs over all steps of a feed.

    GPUs can hold a loop in a graph only if the compiler knows how often it
    runs; of any other, the host decides after each step whether it goes on.
    """
    return self.plan.platform == 'gpu'

  def init(self, jobs: Sequence[Job]) -> TrainState:
    """The stacked states of jobs before their first step."""
    seed = self.plan.train.model_seed
    keys = [
      randomness.run_key(seed, job.run, randomness.INIT_STREAM) for job in jobs
    ]
    return self._init(self._stack_keys(keys))

  def state_shapes(self) -> TrainState:
    """Shapes and types of one run's state, for restoring it."""
    key = np.zeros((self.run_mesh.num_slots, 2), np.uint32)
    return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype),
      jax.eval_shape(self._init, key),
    )

  def abstract_state(self) -> TrainState:
    """Shapes of the stacked states on the mesh, to compile for."""
    lead = (self.run_mesh.num_slots,)
    return self.run_mesh.abstract(
      self.state_shapes(), self.run_mesh.by_run, lead
    )

  def lower_steps(self) -> jax.stages.Lowered:
    """Lowers `run_steps` for the mesh's devices, which need not exist."""
    mesh, slots = self.run_mesh, (self.run_mesh.num_slots,)
    steps = (*slots, self.plan.steps_per_call, self.plan.train.batch_size)
    feed = self._placement.feed(np.zeros(steps, np.int32), self.crops([], ()))
    return self._steps.lower(
      self.abstract_state(),
      mesh.abstract(feed, mesh.batch_sharding(2)),
      mesh.abstract(step_keys(0, 0), mesh.by_run, slots),
      mesh.abstract(np.int32(0), mesh.replicated),
      self._placement.resident,
    )

  def put(self, states: Sequence[TrainState]) -> TrainState:
    """Stacks restored host states onto the mesh."""
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    return self.run_mesh.put(stacked, self.run_mesh.by_run)

  def step_keys(self, jobs: Sequence[Job]) -> StepKeys:
    """Keys uint32[slots, 2] by name, for `run_steps`."""
    seed = self.plan.train.data_seed
    return self._stack_keys([step_keys(seed, job.run) for job in jobs])

  def _stack_keys(self, keys: Sequence[Any]) -> Any:
    stacked = jax.tree.map(lambda *slots: np.stack(slots), *keys)
    return self.run_mesh.put(stacked, self.run_mesh.by_run)

  def index_blocks(
    self, jobs: Sequence[Job], first_step: int
  ) -> Iterator[np.ndarray]:
    """The examples of each step from one on, int32[slots, batch_size]."""
    streams = [
      order.batches(
        job.epochs,
        batch_size=self.plan.train.batch_size,
        first_step=first_step,
      )
      for job in jobs
    ]
    while True:
      yield np.stack([next(stream) for stream in streams])

  def crops(self, jobs: Sequence[Job], steps: Iterable[int]) -> Crops | None:
    """The rectangles of some steps, for `make_feed`; None if none are cut.

    The seeds are uint64[num_steps, slots, batch_size].
    """
    train = self.plan.train
    if train.augmentation != PHOTO_CROP_FLIP:
      return None
    seeds = [
      [
        randomness.generator(
          train.data_seed, job.run, randomness.CROP_STREAM, step
        ).integers(2**64, size=train.batch_size, dtype=np.uint64)
        for job in jobs
      ]
      for step in steps
    ]
    return Crops(np.array(seeds), self._input_size, train.min_crop_area)

  def make_feed(
    self,
    blocks: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] = (),
    crops: Crops | None = None,
  ) -> dict[str, jax.Array]:
    """Transfers the batches of some steps to the devices, for `run_steps`.

    Args:
      blocks: the example indices of each step, int32[slots, batch_size].
      weights: the weights of the losses at each step, float32[slots,
        batch_size]; () to weight all losses equally.
      crops: of `crops`, for the same steps.
    """
    if crops is not None:
      crops = crops._replace(seeds=self._stack(crops.seeds))
    feed = self._placement.feed(self._stack(blocks), crops)
    if weights:
      feed['weight'] = self._stack(weights)
    return self.run_mesh.put(feed, self.run_mesh.batch_sharding(2))

  def _stack(self, steps: Sequence[np.ndarray]) -> np.ndarray:
    # Always the same shape, so that nothing compiles twice.
    padding = self.plan.steps_per_call - len(steps)
    return np.stack([*steps, *[steps[-1]] * padding], axis=1)

  def run_steps(
    self, state: TrainState, feed: Any, keys: StepKeys, num_steps: int
  ) -> TrainState:
    """Trains all slots for `num_steps` steps, without waiting for them."""
    resident = self._placement.resident
    if self._is_counted and num_steps < self.plan.steps_per_call:
      for position in map(self._on_devices, range(num_steps)):
        state = self._one_step(state, feed, keys, position, resident)
      return state
    count = self._on_devices(num_steps)
    return self._steps(state, feed, keys, count, resident)

  def _on_devices(self, number: int) -> jax.Array:
    """A number, int32[], on every device."""
    if number not in self._numbers:
      self._numbers[number] = self.run_mesh.put(
        np.int32(number), self.run_mesh.replicated
      )
    return self._numbers[number]

  def warm_up_tests(self, state: TrainState) -> None:
    """Compiles the evaluations on all test splits."""
    for evaluator in (self.evaluate, *self.extra_tests.values()):
      evaluator.warm_up(state)

  def test(
    self, state: TrainState, cut_off: Callable[[jax.Array], bool]
  ) -> dict[str, Any] | None:
    """Evaluates all slots on all test splits.

    Args:
      state: stacked.
      cut_off: as `Evaluator` takes it.

    Returns:
      The sums of `evaluate` and, where there are `extra_tests`, theirs by name
      under 'extra'; None if it was abandoned.
    """
    found: dict[str, Any] | None = self.evaluate(state, cut_off)
    for name, evaluator in self.extra_tests.items():
      sums = None if found is None else evaluator(state, cut_off)
      if found is None or sums is None:
        return None
      found.setdefault('extra', {})[name] = sums
    return found

  def take_meters(self, state: TrainState) -> tuple[TrainState, Meters]:
    """Returns the state with meters at zero, and the meters it had."""
    taken, fresh = self._split_meters(state.meters)
    return dataclasses.replace(state, meters=fresh), taken


def _network(
  dataset: Dataset, plan: TrainingPlan, run_mesh: RunMesh
) -> nn.Module:
  """The network, whose batch statistics are of a run's whole batch."""
  model = make_network(
    plan.model, dataset.num_classes, platform=run_mesh.platform
  )
  shapes = variable_shapes(model, dataset.input_shape)
  return over_data_axis(model, run_mesh.data_axis, bool(shapes['batch_stats']))


def _learning_rates(plan: TrainingPlan, run_mesh: RunMesh) -> np.ndarray:
  """The learning rate of every step, float32[num_steps].

  All at once: at a log point one would wait behind training steps.
  """
  schedule = make_schedule(plan.optimizer, plan.train.schedule_steps)
  rates = run_mesh.jit(jax.vmap(schedule), run_once=True)
  return np.asarray(rates(np.arange(plan.num_steps)))
