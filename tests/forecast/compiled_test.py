"""Tests of what is read from a compiled program."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from datadiet.forecast import compiled as compiled_lib
from datadiet.runtime.mesh import flat_mesh

_TEMPLATE = """HloModule jit_run, entry_computation_layout={}

%fused (p: f32[8]) -> f32[8] {
  %add = f32[8]{0} add(%p, %p) @7
}

%inner (p: f32[8]) -> f32[8] {
  ROOT %m = f32[8]{0} multiply(%p, %p) @10
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %conv = f32[8]{0} fusion(%x), calls=%fused @1000
  %sum = f32[4,2]{1,0} all-reduce(%conv), to_apply=%fused
  %twice = f32[8]{0} while(%t), condition=%cond, body=%inner @twice
}

%cond (p: (s32[], f32[8])) -> pred[] {
  ROOT %lt = pred[] compare(%a, %b), direction=LT @1
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %copy = u8[100,32]{1,0} copy(%a) @500
  %loop = (s32[], f32[8]) while(%t), condition=%cond, body=%body
  %odd = f32[8]{0} scatter(%a) @9223372036854775807
}
"""
_TEXT = re.sub(
  r' @(\d+)', r', backend_config={"estimated_cycles":"\1"}', _TEMPLATE
).replace(' @twice', ', backend_config={"known_trip_count":{"n":"2"}}')


def _fake(text):
  memory = types.SimpleNamespace(
    argument_size_in_bytes=1000,
    temp_size_in_bytes=200,
    output_size_in_bytes=900,
    alias_size_in_bytes=850,
  )
  return types.SimpleNamespace(
    as_text=lambda: text, memory_analysis=lambda: memory
  )


def test_a_loop_counts_by_its_trips():
  found = compiled_lib.read(_fake(_TEXT), trips=5)
  # Once a call 500; five steps of 1,000, and twice 10 in each.
  assert found.cycles == 500 + 5 * (1000 + 2 * 10)
  assert found.num_unknown == 1
  assert found.collectives == {'all-reduce': (5, 5 * 32)}
  assert found.largest_copy == 3200
  # A copy and a scatter; of each step a fusion, a sum and twice a product.
  assert found.kernels == 2 + 5 * (1 + 1 + 2)


def test_the_compiler_knows_how_often_a_loop_runs_or_not():
  assert compiled_lib.read(_fake(_TEXT)).has_counted_loop is False
  text = _TEXT.replace(
    'condition=%cond, body=%body',
    'body=%body, backend_config={"known_trip_count":{"n":"5"}}',
  )
  found = compiled_lib.read(_fake(text), trips=7)
  assert found.has_counted_loop is True
  assert found.collectives['all-reduce'][0] == 5
  without = text.replace('  %loop', '  // %loop').replace(' while(%t)', ' x')
  assert compiled_lib.read(_fake(without)).has_counted_loop is None


def test_memory_counts_what_is_donated_once():
  found = compiled_lib.read(_fake(_TEXT))
  assert found.total == 1000 + 200 + 50


def test_a_program_of_the_cpu_has_no_estimates_and_its_collectives():
  mesh = flat_mesh(jax.devices()[:4])
  step = jax.jit(
    jax.shard_map(
      lambda value: jax.lax.psum(value, 'data'),
      mesh=mesh.mesh,
      in_specs=P('data'),
      out_specs=P(),
      check_vma=False,
    )
  )
  value = jax.ShapeDtypeStruct((8, 3), jnp.float32)
  found = compiled_lib.read(step.lower(value).compile())
  assert found.cycles is None and not found.num_unknown
  assert found.collectives == {'all-reduce': (1, 2 * 3 * 4)}
  assert found.groups == {'all-reduce': {(0, 1, 2, 3)}}


@pytest.mark.parametrize(
  'text, groups',
  [
    ('replica_groups={{0,1},{2,3}}, use_global_device_ids', {(0, 1), (2, 3)}),
    ('replica_groups=[2,2]<=[4], to_apply=%add', {(0, 1), (2, 3)}),
    ('replica_groups=[2,2]<=[2,2]T(1,0), x={1}', {(0, 2), (1, 3)}),
    ('replica_groups={}, to_apply=%add', {()}),
    ('source_target_pairs={{0,1},{1,0}}, x={{2}}', {(0, 1), (1, 0)}),
  ],
)
def test_groups_of_devices(text, groups):
  assert compiled_lib._groups(f'  %a = f32[] all-reduce(%b), {text}') == groups


@pytest.mark.parametrize(
  'text, size',
  [
    ('f32[2,3]{1,0}', 24),
    ('(f32[2], u8[3,3])', 17),
    ('bf16[]', 2),
    ('pred[4]', 0),  # Never sent by a program of this project.
  ],
)
def test_bytes_of_types(text, size):
  assert compiled_lib._bytes(text) == np.int64(size)
