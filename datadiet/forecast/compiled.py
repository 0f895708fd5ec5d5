"""Reads what a compiler says of a program: memory, collectives, work."""

import collections
import dataclasses
import math
import re
from typing import Any

import numpy as np

# A larger estimate is the compiler's way to give none.
_NO_ESTIMATE = 10**12
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_COLLECTIVE = re.compile(
  r'= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|'
  r'collective-permute)(?:-start)?\('
)
_SHAPE = re.compile(r'\b([a-z]+\d+)\[([\d,]*)\]')
_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.-]+) .*\{$')
_OPERATION = re.compile(r'^ *(?:ROOT )?%?[\w.-]+ = .*? ([a-z][\w-]*)\(')
# Operations that start nothing on a device: they name memory, or run others.
_NOTHING = re.compile(
  r'parameter|constant|tuple|get-tuple-element|bitcast|after-all|while|call|'
  r'conditional|opt-barrier|partition-id|replica-id|[\w-]+-(?:done|update)'
)
# {{0,1},{2,3}} or, of an arrangement of all devices, [2,2]<=[4] and
# [2,2]<=[2,2]T(1,0).
_GROUPS = re.compile(
  r'(?:replica_groups|source_target_pairs)=\{(\{[\d,{} ]*)\}'
)
_ARRANGED = re.compile(
  r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?'
)
# The positions of the devices that exchange something.
Groups = frozenset[tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A program as its compiler sees it, on one device.

  Attributes:
    arguments: bytes of what it is given.
    temporaries: bytes beside arguments and outputs.
    total: bytes of all, donated memory counted once.
    collectives: kind -> (how many, bytes sent a call).
    cycles: estimated of a call, loops by their trips; None where the compiler
      gives no estimates at all.
    num_unknown: instructions without an estimate.
    largest_copy: bytes of the largest copy or transpose.
    groups: kind of a collective -> which devices exchange something, by their
      position in the mesh; an empty group for all of them.
    kernels: operations started on the device in a call, loops by their trips.
    has_counted_loop: whether the compiler knows how often the program's own
      loop runs; None where it has none.
  """

  arguments: int
  temporaries: int
  total: int
  collectives: dict[str, tuple[int, int]]
  cycles: float | None
  num_unknown: int
  largest_copy: int
  groups: dict[str, Groups]
  kernels: int
  has_counted_loop: bool | None


def read(compiled: Any, trips: int = 1) -> Compiled:
  """Reads a compiled program.

  Args:
    compiled: of `jax.stages.Lowered.compile`.
    trips: of the program's own loop over steps, where the compiler does not
      know them.
  """
  memory = compiled.memory_analysis()
  arguments, temporaries = (
    memory.argument_size_in_bytes,
    memory.temp_size_in_bytes,
  )
  outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
  parts = _computations(compiled.as_text())
  counts = _times(parts, trips)
  sent: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
  groups: dict[str, Groups] = collections.defaultdict(frozenset)
  cycles, estimated, unknown, largest_copy, kernels = 0.0, 0, 0, 0, 0
  for name, lines in parts.items():
    for line in lines:
      if match := _CYCLES.search(line):
        estimated += 1
        if int(match[1]) < _NO_ESTIMATE:
          cycles += counts[name] * int(match[1])
        else:
          unknown += 1
      if match := _COLLECTIVE.search(line):
        sent[match[2]][0] += counts[name]
        sent[match[2]][1] += counts[name] * _bytes(match[1])
        groups[match[2]] |= _groups(line)
      if match := re.search(r'= (.*?) (?:copy|transpose)\(', line):
        largest_copy = max(largest_copy, _bytes(match[1]))
      if match := _OPERATION.match(line):
        kernels += counts[name] * (not _NOTHING.fullmatch(match[1]))
  loops = [line for line in parts[''] if ' while(' in line]
  return Compiled(
    arguments,
    temporaries,
    arguments + temporaries + outputs,
    {kind: (number, size) for kind, (number, size) in sent.items()},
    cycles if estimated else None,
    unknown,
    largest_copy,
    {**groups},
    kernels,
    all(map(_TRIPS.search, loops)) if loops else None,
  )


def _groups(line: str) -> Groups:
  """Which devices a collective lets exchange something."""
  if match := _ARRANGED.search(line):
    shape, order, axes = (
      [int(size) for size in (part or '').split(',') if size]
      for part in match.groups()
    )
    devices = np.arange(math.prod(order)).reshape(order)
    grid = devices.transpose(axes or None).reshape(shape[0], -1)
    return frozenset(map(tuple, grid.tolist()))
  match = _GROUPS.search(line)
  found = re.findall(r'\{([\d, ]+)\}', match[1]) if match else []
  rows = [tuple(map(int, row.split(','))) for row in found]
  return frozenset(rows or [()])


def _computations(text: str) -> dict[str, list[str]]:
  """Computation -> its instructions; that of the entry is named ''."""
  parts: dict[str, list[str]] = {}
  current: list[str] | None = None
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      current = parts.setdefault(
        '' if line.startswith('ENTRY') else match[1], []
      )
    elif line.startswith('}'):
      current = None
    elif current is not None:
      current.append(line)
  return parts


def _times(parts: dict[str, list[str]], trips: int) -> dict[str, int]:
  """How often each computation runs in a call; 0 for what is fused."""
  times = dict.fromkeys(parts, 0)

  def visit(name: str, factor: int, depth: int) -> None:
    times[name] += factor
    for line in parts[name]:
      called = re.findall(
        r'(?:body|to_apply|true_computation|false_computation)=%?([\w.-]+)',
        line,
      )
      if branches := re.search(r'branch_computations=\{([^}]*)\}', line):
        called += [part.strip(' %') for part in branches[1].split(',')]
      if ' while(' not in line and ' call(' not in line and not branches:
        continue
      number = 1
      if ' while(' in line:
        known = _TRIPS.search(line)
        number = int(known[1]) if known else (trips if depth == 0 else 1)
      for other in called:
        if other in parts:
          visit(other, factor * number, depth + (' while(' in line))

  visit('', 1, 0)
  return times


def _bytes(shapes: str) -> int:
  """Bytes of all arrays that a type names; the largest of a tuple's pairs."""
  sizes = [
    math.prod(map(int, filter(None, dims.split(','))))
    * max(1, int(re.sub(r'\D', '', kind)) // 8)
    for kind, dims in _SHAPE.findall(shapes)
  ]
  return sum(sizes)
