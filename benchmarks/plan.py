"""Time and cost past one machine, on paper: the tables of docs/scaling.md.

    python -m benchmarks.plan

Nothing here is measured. A step's time is that of its arithmetic and of its
memory traffic, one after the other, at the shares of the peak below, plus a
fixed time a step and, where a batch is split over devices, the sums over them.
The shares are set so that one published figure comes out: 23,000 images/s for
ResNet-18 at 32x32 on an A100, which is 7 minutes for 32.3 PFLOP (README of
KellerJordan/cifar10-airbench).
"""

import argparse
import dataclasses
import math

import flax.linen as nn

from datadiet.models import make_model
from datadiet.runtime.slots import choose_slots
from datadiet.training.state import variable_shapes

# Shares of the peak that training reaches.
_ARITHMETIC, _MEMORY, _LINK = 0.5, 0.7, 0.7
# Bytes read and written for each output of a convolution in a training step in
# bfloat16, with batch norm and ReLU fused as far as they can be: 10 forward, 20
# backward.
_BYTES_AN_OUTPUT = 30
# A layer's batch statistics are summed over devices forward and backward.
_SUMS_A_LAYER = 2
# Float32 that is not rounded: GraNd takes 1 / 1.2 of a training step and EL2N a
# third (docs/benchmarks.md).
_GRAND_STEPS, _EL2N_STEPS = 1 / 1.2, 1 / 3


@dataclasses.dataclass(frozen=True)
class Device:
  """One GPU or TPU chip, as its maker describes it.

  Attributes:
    name: for people.
    bfloat16: dense peak, FLOP/s.
    float32: peak without rounding; on TPUs in six passes of bfloat16.
    memory: bytes/s.
    link: bytes/s to other devices, in one direction.
    latency: seconds that a sum over devices takes at least.
    overhead: seconds a step beside arithmetic and memory.
    price: US dollars an hour, a list price or one that is often asked.
  """

  name: str
  bfloat16: float
  float32: float
  memory: float
  link: float
  latency: float
  overhead: float
  price: float


A100 = Device('A100', 312e12, 19.5e12, 2.0e12, 300e9, 15e-6, 1e-3, 2.0)
H100 = Device('H100', 989e12, 67e12, 3.35e12, 450e9, 15e-6, 1e-3, 3.0)
V4 = Device('TPU v4', 275e12, 275e12 / 6, 1.2e12, 100e9, 10e-6, 3e-4, 3.22)
V5E = Device('TPU v5e', 197e12, 197e12 / 6, 0.819e12, 100e9, 10e-6, 3e-4, 1.2)

# What Figure 1 is run on -> how many devices.
MACHINES = {
  '1 A100': (A100, 1),
  '1 H100': (H100, 1),
  '8 H100': (H100, 8),
  'TPU v4-32 (16 chips)': (V4, 16),
  'TPU v5e-64 (64 chips)': (V5E, 64),
}


@dataclasses.dataclass(frozen=True)
class Network:
  """What a network costs for one image.

  Attributes:
    flop: of a forward pass.
    outputs: of all convolutions.
    layers: with batch norm.
    params: trained numbers.
  """

  flop: float
  outputs: float
  layers: int
  params: float


def count(model_name: str, size: int) -> Network:
  """Counts the convolutions for an image of size x size; computes nothing."""
  found: list[tuple[int, int, int]] = []

  def note(call, inputs, options, context):
    outputs = call(*inputs, **options)
    if isinstance(context.module, nn.Conv):
      num_weights = context.module.get_variable('params', 'kernel').size
      _, height, width, channels = outputs.shape
      found.append((num_weights, height * width, channels))
    return outputs

  with nn.intercept_methods(note):
    variable_shapes(make_model(model_name, num_classes=10), (size, size, 3))
  return Network(
    sum(2 * num_weights * area for num_weights, area, _ in found),
    sum(area * channels for _, area, channels in found),
    len(found),
    sum(num_weights for num_weights, _, _ in found),
  )


RESNET18 = count('resnet18_lowres', 32)
RESNET50 = count('resnet50', 224)


def step_seconds(
  device: Device, network: Network, batch_size: int, num_devices: int = 1
) -> float:
  """Seconds of one training step of one run.

  Args:
    device: what it trains on.
    network: what is trained.
    batch_size: of the run, split over the devices.
    num_devices: that the run has.
  """
  images = batch_size / num_devices
  seconds = device.overhead
  seconds += images * 3 * network.flop / (_ARITHMETIC * device.bfloat16)
  traffic = _BYTES_AN_OUTPUT * network.outputs
  seconds += images * traffic / (_MEMORY * device.memory)
  if num_devices > 1:
    # Gradients in float32, around a ring.
    share = 2 * (num_devices - 1) / num_devices
    seconds += share * 4 * network.params / (_LINK * device.link)
    seconds += (1 + _SUMS_A_LAYER * network.layers) * device.latency
  return seconds


def images_per_second(
  device: Device, network=RESNET18, batch_size=128
) -> float:
  """Of one run on one device."""
  return batch_size / step_seconds(device, network, batch_size)


# The paper's Figure 1, as configs/paper_figure1.py has it: a score, random and
# class-balanced random at 6 sizes, 4 times each; then two more scores.
_STEPS, _BATCH, _EXAMPLES = 78_000, 128, 50_000
_SCORING_RUNS, _SCORED_STEPS = 10, 2
_RETRAININGS = (72, 24, 24)
# Each training sees the 10,000 test images every 1,950 steps: forward passes.
_EVALUATION = 1 + (_STEPS / 1_950) * 10_000 / 3 / (_STEPS * _BATCH)


def _training_seconds(device, num_devices, num_runs) -> tuple[float, str]:
  """Seconds of all waves, and how runs lie on devices."""
  slots = choose_slots(num_runs, num_devices, _BATCH)
  waves = math.ceil(num_runs / slots)
  per_run = num_devices // slots
  step = step_seconds(device, RESNET18, _BATCH, per_run)
  layout = f'{waves} x {min(slots, num_runs)} of {per_run}'
  return waves * _STEPS * step * _EVALUATION, layout


def _scoring_seconds(device: Device, num_devices: int) -> float:
  steps = _GRAND_STEPS + _EL2N_STEPS
  flop = steps * 3 * RESNET18.flop * _EXAMPLES * _SCORING_RUNS * _SCORED_STEPS
  return flop / (_ARITHMETIC * device.float32) / num_devices


def figure1() -> str:
  """Time and cost of Figure 1 by machine."""
  rows = []
  for name, (device, num_devices) in MACHINES.items():
    train, layout = _training_seconds(device, num_devices, _SCORING_RUNS)
    score = _scoring_seconds(device, num_devices)
    parts = [
      _training_seconds(device, num_devices, runs) for runs in _RETRAININGS
    ]
    retrain = sum(seconds for seconds, _ in parts)
    hours = (train + score + retrain) / 3600
    rows.append(
      (
        name,
        f'{images_per_second(device):,.0f}',
        f'{layout}: {_time(train)}',
        _time(score),
        ', '.join(text for _, text in parts) + f': {_time(retrain)}',
        _time(3600 * hours),
        f'${hours * num_devices * device.price:,.0f}',
      )
    )
  head = (
    'machine',
    'images/s a device',
    'scoring runs',
    'scores',
    'retrainings',
    'in all',
    'cost',
  )
  return _table(head, rows)


def protocol() -> str:
  """The paper's scores: ten runs of 7,800 steps, EL2N and GraNd once."""
  rows = []
  for name, (device, num_devices) in MACHINES.items():
    slots = choose_slots(_SCORING_RUNS, num_devices, _BATCH)
    step = step_seconds(device, RESNET18, _BATCH, num_devices // slots)
    train = math.ceil(_SCORING_RUNS / slots) * 7_800 * step
    images = _EXAMPLES * _SCORING_RUNS
    flop = 3 * RESNET18.flop * images / (_ARITHMETIC * device.float32)
    el2n = _EL2N_STEPS * flop / num_devices
    grand = _GRAND_STEPS * flop / num_devices
    rows.append(
      (
        name,
        *map(_time, (train, el2n, grand, train + el2n, train + el2n + grand)),
      )
    )
  head = ('machine', 'train', 'el2n', 'grand', 'for el2n', 'for both')
  return _table(head, rows)


def data_axis() -> str:
  """What a batch of 128 loses when it is split."""
  sizes = (1, 2, 4, 8, 16, 32)
  rows = []
  for device in (H100, V4, V5E):
    alone = step_seconds(device, RESNET18, _BATCH)
    cells = [device.name]
    for num_devices in sizes:
      step = step_seconds(device, RESNET18, _BATCH, num_devices)
      share = alone / step / num_devices
      cells.append(f'{1e3 * step:.2f} ms, {100 * share:.0f} %')
    rows.append(tuple(cells))
  return _table(('devices a run', *map(str, sizes)), rows)


def imagenet() -> str:
  """What 1.28 million images of 224x224 ask of a machine."""
  num_images, pixels = 1_281_167, 224 * 224 * 3
  rows = []
  for name, (device, num_devices) in MACHINES.items():
    rate = images_per_second(device, RESNET50, 256)
    epochs = 10 * 20 * num_images / (rate * num_devices)
    flop = (_GRAND_STEPS + _EL2N_STEPS) * 3 * RESNET50.flop * 10 * num_images
    score = flop / (_ARITHMETIC * device.float32) / num_devices
    rows.append(
      (
        name,
        f'{rate:,.0f}',
        f'{rate * pixels / 1e9:.2f} GB/s',
        f'{num_devices * rate * pixels / 1e9:.1f} GB/s',
        _time(epochs),
        _time(score),
        f'${(epochs + score) / 3600 * num_devices * device.price:,.0f}',
      )
    )
  head = (
    'machine',
    'images/s a device',
    'pixels a device',
    'pixels in all',
    '10 runs x 20 epochs',
    'el2n and grand',
    'cost',
  )
  return _table(head, rows)


def _time(seconds: float) -> str:
  if seconds < 100:
    return f'{seconds:.0f} s'
  return (
    f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'
  )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
  rule = ('---', *['---:'] * (len(head) - 1))
  return '\n'.join(f'| {" | ".join(row)} |' for row in (head, rule, *rows))


TABLES = (protocol, figure1, data_axis, imagenet)


def main() -> None:
  """Prints all tables."""
  argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
  for network, name in (
    (RESNET18, 'ResNet-18, 32'),
    (RESNET50, 'ResNet-50, 224'),
  ):
    print(
      f'{name}: {network.flop / 1e9:.3f} GFLOP, {network.outputs / 1e6:.3f} M '
      f'outputs, {network.layers} layers, {network.params / 1e6:.2f} M weights'
    )
  for table in TABLES:
    print(f'\n{table()}')


if __name__ == '__main__':
  main()
