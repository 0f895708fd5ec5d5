"""Tests of what the compiler for TPUs says of the programs, by no TPU.

Needs libtpu: `make test-accelerators` installs it in an environment of its own.
"""

import re

import pytest

pytest.importorskip('libtpu', reason='needs libtpu: make test-accelerators')

from datadiet.forecast import compiled, machines, table
from tests.accelerators.narrow import NUM_PARAMS, PIXELS, narrow_programs


@pytest.mark.parametrize(
  'name, number',
  [('v4:2x2x4', 16), ('v5e:2x4', 8), ('v5p:2x2x2', 8), ('v6e:2x4', 8)],
)
def test_a_device_is_a_whole_chip(name, number):
  """Memory and price are of a chip."""
  devices = machines.open_machine(name).devices
  assert {device.platform for device in devices} == {'tpu'}
  assert len({tuple(device.coords) for device in devices}) == number
  assert len(devices) == number


@pytest.fixture(scope='module')
def split():
  """Two runs on eight chips: four chips share each batch."""
  program = narrow_programs('v5e:2x4', 2)['train']
  text = program.lower().compile()
  return program, compiled.read(text, program.trips), text.as_text()


def test_devices_of_a_run_send_gradients_and_little_else(split):
  program, read, _ = split
  sent = sum(size for _, size in read.collectives.values()) / program.trips
  assert sent < 1.5 * 4 * NUM_PARAMS
  largest = max(size for _, size in read.collectives.values()) / program.trips
  assert largest > 0.5 * 4 * NUM_PARAMS, 'the gradients themselves are sent'


def test_no_collective_crosses_runs(split):
  _, _, text = split
  groups = re.findall(r'replica_groups=\{(\{[\d,{}]*\})\}', text)
  for group in groups:
    for members in re.findall(r'\{([\d,]+)\}', group):
      runs = {int(device) // 4 for device in members.split(',')}
      assert len(runs) == 1, group


def test_nothing_as_large_as_the_data_set_is_copied(split):
  _, read, _ = split
  assert read.largest_copy < PIXELS / 10
  assert read.temporaries < PIXELS


def test_every_instruction_has_an_estimate(split):
  _, read, _ = split
  assert read.cycles > 0 and not read.num_unknown


def test_runs_on_a_chip_each_send_nothing():
  program = narrow_programs('v5e:2x2', 4)['train']
  read = compiled.read(program.lower().compile(), program.trips)
  assert not read.collectives


def test_el2n_sends_only_scores():
  program = narrow_programs('v5e:2x2', 4)['score']
  read = compiled.read(program.lower().compile())
  sent = sum(size for _, size in read.collectives.values())
  assert sent <= 64 * program.images
  assert read.largest_copy < PIXELS / 10


def test_grand_takes_flat_positions_and_has_an_estimate():
  """Of the small CNN, which compiles in a minute."""
  changes = {'model__name': 'simple_cnn', 'model__width': 32}
  program = narrow_programs('v5e:2x2', 4, **changes)['grand']
  assert program.images == 4 * 128
  compiled_program = program.lower().compile()
  read = compiled.read(compiled_program)
  assert read.cycles > 0 and not read.num_unknown
  assert read.total < 2**30
  # Every product of a site takes three passes, and none is left to rounding.
  text = compiled_program.as_text()
  assert 'operand_precision={high,high}' in text
  assert 'operand_precision={default' not in text


def test_what_does_not_fit_is_refused_with_the_compilers_figure():
  """ResNet-50 with a batch of 8,192 a chip."""
  changes = {
    'model__name': 'resnet50_lowres',
    'model__width': 64,
    'train__batch_size': 8_192,
  }
  program = narrow_programs('v5e:2x2', 4, **changes)['train']
  row = table._row(program, machines.open_machine('v5e:2x2'))
  assert re.search(r'RESOURCE_EXHAUSTED.* \(\d+\.\d+G\) exceeds', row.refusal)
