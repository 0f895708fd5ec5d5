"""The ('run', 'data') mesh of devices on which independent runs train.

Several runs train at once, each in a slot of its own; a batch is split over
the devices of the run's slot. `jax.shard_map` is manual over both axes: a step
sees one run and its device's share of the batch, and contains the collectives
between the devices of a slot (`lax.pmean` of gradients, batch norm's
`axis_name`). XLA's partitioner for TPUs would gather whole activations for the
gradients of convolutions.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from datadiet.errors import ConfigError
from datadiet.runtime import compilation
from datadiet.runtime.late import LateArray, made, parts_of
from datadiet.runtime.platform import platform_of
from datadiet.runtime.slots import choose_slots

RUN_AXIS = 'run'
DATA_AXIS = 'data'

# Images a device beyond which larger batches are no faster on CPUs.
_CPU_BATCH = 128


@dataclasses.dataclass(frozen=True)
class RunMesh:
  """Devices as a grid of [num_slots, devices_per_slot].

  Attributes:
    mesh: the mesh, with the axes 'run' and 'data'.
  """

  mesh: Mesh

  @property
  def num_slots(self) -> int:
    """How many runs train at once."""
    return self.mesh.shape[RUN_AXIS]

  @property
  def devices_per_slot(self) -> int:
    """How many devices share the batch of a run."""
    return self.mesh.shape[DATA_AXIS]

  @property
  def platform(self) -> str:
    """'cpu', 'gpu' or 'tpu'."""
    return platform_of(self.mesh)

  def describe(self, num_runs: int) -> str:
    """How runs lie on the devices, and what is idle.

    Args:
      num_runs: how many are to be trained.

    Returns:
      '' where there is nothing to say: for no runs, or one device.
    """
    if not num_runs or self.mesh.size == 1:
      return ''
    waves, per_slot = -(-num_runs // self.num_slots), self.devices_per_slot
    at_once = min(num_runs, self.num_slots)
    text = f', {at_once} at once on {per_slot} of {self.mesh.size} devices each'
    if idle := (waves * self.num_slots - num_runs) * per_slot:
      text += f', {idle} idle' + (' in the last wave' if waves > 1 else '')
    return text

  def forward_batch_size(self, batch_size: int) -> int:
    """The batch size of forward passes without training.

    On CPU it is limited to what is fastest, since a request to stop waits for
    the current batch.

    Args:
      batch_size: the size set by the user, for all devices of a slot together.
    """
    if self.platform != 'cpu':
      return batch_size
    return min(batch_size, _CPU_BATCH * self.devices_per_slot)

  def jit(self, function: Callable, **options) -> jax.stages.Wrapped:
    """Compiles a function for these devices, as `compilation.jit` does."""
    return compilation.jit(function, platform=self.platform, **options)

  @property
  def by_run(self) -> NamedSharding:
    """The sharding of arrays with a leading dimension of slots."""
    return NamedSharding(self.mesh, P(RUN_AXIS))

  @property
  def replicated(self) -> NamedSharding:
    """The sharding of arrays that every device holds whole."""
    return NamedSharding(self.mesh, P())

  @property
  def data_axis(self) -> str | None:
    """The mesh axis that a run's batch is split over; None if it is whole."""
    return DATA_AXIS if self.devices_per_slot > 1 else None

  def batch_sharding(self, batch_axis: int) -> NamedSharding:
    """The sharding of arrays [slot, ..., batch, ...].

    Args:
      batch_axis: the position of the batch's dimension; that of slots is 0.
    """
    return NamedSharding(self.mesh, _batch_spec(batch_axis))

  def put(self, tree: Any, sharding: NamedSharding) -> Any:
    """Transfers host arrays to the devices.

    Each process transfers the parts that its own devices hold.
    """

    def put_leaf(leaf):
      leaf = leaf if isinstance(leaf, LateArray) else np.asarray(leaf)
      places = sharding.addressable_devices_indices_map(leaf.shape)
      cut = parts_of(leaf, list(places.values()))
      # Explicit transfers, which the guard in the training loop lets pass.
      parts = list(map(jax.device_put, cut, places))
      return jax.make_array_from_single_device_arrays(
        leaf.shape, sharding, parts
      )

    if jax.process_count() == 1:
      return jax.device_put(jax.tree.map(made, tree), sharding)
    return jax.tree.map(put_leaf, tree)

  def abstract(
    self, tree: Any, sharding: NamedSharding, lead: tuple[int, ...] = ()
  ) -> Any:
    """Shapes, types and a sharding, which suffice to compile a program.

    Args:
      tree: arrays, or their shapes.
      sharding: a sharding of this mesh.
      lead: dimensions to put before those of each leaf, such as slots.
    """
    return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        (*lead, *leaf.shape), leaf.dtype, sharding=sharding
      ),
      tree,
    )

  def to_host(self, tree: Any) -> Any:
    """Copies all slots of a stacked tree to every process, as numpy arrays."""
    if jax.process_count() > 1:
      gather = self.jit(lambda same: same, out_shardings=self.replicated)
      tree = gather(tree)
    return jax.tree.map(np.array, jax.device_get(tree))

  def in_any_process(self, value: bool) -> Any:
    """Whether a value is true in some process, without waiting for it.

    Returns:
      The value itself with one process; else bool[] on the devices.
    """
    if jax.process_count() == 1:
      return value
    shape = (self.num_slots, self.devices_per_slot)
    sharding = NamedSharding(self.mesh, P(RUN_AXIS, DATA_AXIS))
    # Each process gives the parts of its own devices.
    return self._any(self.put(np.full(shape, value), sharding))

  @functools.cached_property
  def _any(self) -> Callable:
    return self.jit(jnp.any, out_shardings=self.replicated)

  def per_run(
    self,
    function: Callable,
    *,
    shared: Sequence[int] = (),
    split: Mapping[int, int] | None = None,
    donate: Sequence[int] = (),
    run_once: bool = False,
  ) -> jax.stages.Wrapped:
    """Compiles a function of one run to run in all slots at once.

    Every device of a slot calls it; all of them have to return the same values.

    Args:
      function: takes and returns arrays of one run, of arguments in `split` the
        device's share; it contains any collectives over `data_axis`.
      shared: positions of arguments that are the same for all runs; all
        others have a leading dimension of slots.
      split: position -> the axis, counting that of slots, along which the
        arrays of an argument are split over the devices of a slot; see
        `batch_sharding`.
      donate: positions of arguments whose memory may be reused.
      run_once: whether compiling fast matters more than running fast.

    Returns:
      A jitted function whose outputs have a leading dimension of slots.
    """

    split = split or {}

    def one_slot(*inputs):
      own = [
        value if i in shared else jax.tree.map(lambda leaf: leaf[0], value)
        for i, value in enumerate(inputs)
      ]
      return jax.tree.map(lambda leaf: leaf[None], function(*own))

    def spec_of(position: int) -> P:
      if position in shared:
        return P()
      return _batch_spec(split[position]) if position in split else P(RUN_AXIS)

    def all_slots(*inputs):
      return jax.shard_map(
        one_slot,
        mesh=self.mesh,
        in_specs=tuple(map(spec_of, range(len(inputs)))),
        out_specs=P(RUN_AXIS),
        check_vma=False,
      )(*inputs)

    return self.jit(all_slots, run_once=run_once, donate_argnums=tuple(donate))


def _batch_spec(batch_axis: int) -> P:
  return P(RUN_AXIS, *[None] * (batch_axis - 1), DATA_AXIS)


def make_run_mesh(
  num_runs: int,
  batch_size: int,
  *,
  runs_at_once: int = 0,
  devices: Sequence[jax.Device] | None = None,
) -> RunMesh:
  """Arranges the devices for `num_runs` independent runs.

  Args:
    num_runs: how many runs there are to train.
    batch_size: of one run; must divide over the devices of a slot.
    runs_at_once: number of slots; 0 for `choose_slots`.
    devices: all of `jax.devices()` if None.

  Raises:
    ConfigError: if `runs_at_once` does not fit, or no arrangement does.
  """
  devices = _sorted(devices)
  slots = choose_slots(num_runs, len(devices), batch_size)
  if runs_at_once:
    per_slot, rest = divmod(len(devices), runs_at_once)
    if rest or not per_slot or batch_size % per_slot:
      raise ConfigError(
        f'config.train.runs_at_once: {runs_at_once} does not divide '
        f'{len(devices)} devices into slots over which a batch of '
        f'{batch_size} splits evenly'
      )
    slots = runs_at_once
  elif not slots:
    raise ConfigError(
      f'config.train.batch_size: {batch_size} does not split evenly over '
      f'{len(devices)} devices for {num_runs} runs; use a multiple of '
      f'{len(devices)}'
    )
  grid = np.array(devices).reshape(slots, -1)
  return RunMesh(Mesh(grid, (RUN_AXIS, DATA_AXIS), (AxisType.Auto,) * 2))


def flat_mesh(devices: Sequence[jax.Device] | None = None) -> RunMesh:
  """All devices in one slot, for work on one network at a time."""
  grid = np.array(_sorted(devices))[None]
  return RunMesh(Mesh(grid, (RUN_AXIS, DATA_AXIS), (AxisType.Auto,) * 2))


def _sorted(devices: Sequence[jax.Device] | None) -> list[jax.Device]:
  """Devices in an order that all meshes use, so that they can share arrays.

  Devices of one host stand together, which their ids alone do not ensure.
  """
  devices = jax.devices() if devices is None else devices
  return sorted(devices, key=lambda one: (one.process_index, one.id))


def own_slots(tree: Any) -> list[int]:
  """The slots of a stacked tree that this process holds and has to save.

  A slot that spans processes belongs to the first of them.
  """
  leaf = jax.tree.leaves(tree)[0]
  owners: dict[int, int] = {}
  for device, index in leaf.sharding.devices_indices_map(leaf.shape).items():
    slot = index[0].start or 0
    owners[slot] = min(
      owners.get(slot, device.process_index), device.process_index
    )
  mine = jax.process_index()
  return sorted(slot for slot, owner in owners.items() if owner == mine)


def slot_to_host(tree: Any, slot: int) -> Any:
  """Copies one slot of a stacked tree to numpy arrays of this process."""

  def find(leaf):
    for shard in leaf.addressable_shards:
      start, stop, _ = shard.index[0].indices(leaf.shape[0])
      if start <= slot < stop:
        return shard.data, slot - start
    raise ValueError(f'slot {slot} is not held by this process')

  leaves, structure = jax.tree.flatten(tree)
  parts, positions = (
    zip(*map(find, leaves), strict=True) if leaves else ((), ())
  )
  # The CPU gives its own memory away, which is donated to the next step.
  is_cpu = bool(leaves) and platform_of(leaves[0]) == 'cpu'
  copy = np.array if is_cpu else np.asarray
  # At once: all copies begin before one is waited for.
  copies = [
    copy(part[position])
    for part, position in zip(jax.device_get(parts), positions, strict=True)
  ]
  return jax.tree.unflatten(structure, copies)


def pad_to_multiple(
  example_index: np.ndarray, multiple: int
) -> tuple[np.ndarray, np.ndarray]:
  """Pads indices with -1 until their number is a multiple.

  Args:
    example_index: int[num].
    multiple: what the number of indices has to be a multiple of.

  Returns:
    int32[padded], and bool[padded]: which of them are no padding.
  """
  padding = -len(example_index) % multiple
  padded = np.pad(example_index, (0, padding), constant_values=-1)
  return padded.astype(np.int32), padded >= 0
