"""Tests of what the compiler for GPUs says of the programs, by no GPU.

Needs XLA's plug-in for CUDA: `make test-accelerators` installs it in an
environment of its own.
"""

import re

import pytest

pytest.importorskip(
  'jax_cuda12_plugin', reason='needs jax[cuda12]: make test-accelerators'
)

from datadiet.forecast import compiled, machines
from datadiet.forecast.gpus import GPUS
from tests.accelerators.narrow import (
  MOST_KERNELS,
  NETWORK,
  NUM_PARAMS,
  PIXELS,
  narrow_programs,
)


@pytest.fixture(scope='module')
def split():
  """Two runs on eight GPUs: four share each batch."""
  program = narrow_programs('h100:8', 2)['train']
  found = program.lower().compile()
  return program, compiled.read(found, program.trips), found.as_text()


@pytest.mark.parametrize('kind', GPUS)
@pytest.mark.parametrize('number', [1, 8, 16])
def test_the_compiler_knows_the_gpus(kind, number):
  devices = machines.open_machine(f'{kind}:{number}').devices
  assert {device.device_kind for device in devices} == {GPUS[kind].name}
  assert {device.platform for device in devices} == {'gpu'}
  hosts = [device.process_index for device in devices]
  assert [hosts.count(host) for host in sorted({*hosts})] in ([number], [8, 8])


def test_devices_of_a_run_send_gradients_and_little_else(split):
  program, read, _ = split
  sent = sum(size for _, size in read.collectives.values()) / program.trips
  assert 0.9 * 4 * NUM_PARAMS < sent < 1.5 * 4 * NUM_PARAMS
  assert read.collectives.keys() <= {'all-reduce', 'all-gather'}


def test_no_collective_crosses_runs(split):
  _, read, _ = split
  members = {group for groups in read.groups.values() for group in groups}
  assert members and members <= {(0, 1, 2, 3), (4, 5, 6, 7)}


def test_convolutions_are_of_bfloat16(split):
  _, _, text = split
  convolutions = re.findall(r'= \((\w+)\[.*custom_call_target="__cudnn\$', text)
  assert convolutions and {*convolutions} == {'bf16'}


def test_nothing_as_large_as_the_data_set_is_copied(split):
  _, read, _ = split
  assert read.largest_copy < PIXELS / 10
  assert read.temporaries < PIXELS


@pytest.fixture(scope='module')
def apart():
  """A run on a GPU each."""
  program = narrow_programs('a100:4', 4)['train']
  return program, compiled.read(program.lower().compile(), program.trips)


def test_runs_on_a_gpu_each_send_nothing(apart):
  _, read = apart
  assert not read.collectives


def test_the_loop_over_steps_is_counted_and_its_kernels_no_more(apart):
  program, read = apart
  assert read.has_counted_loop
  assert 10 < read.kernels / program.trips <= MOST_KERNELS[NETWORK]


def test_el2n_sends_only_scores():
  program = narrow_programs('h200:4', 4)['score']
  read = compiled.read(program.lower().compile())
  sent = sum(size for _, size in read.collectives.values())
  assert sent <= 64 * program.images
  assert read.largest_copy < PIXELS / 10
