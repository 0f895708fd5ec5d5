"""Mutated settings: of the right type and in their range, or refused."""

import json
import math
import os
import random
import subprocess
import sys

import ml_collections
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datadiet import config as config_lib
from datadiet.config import stored
from datadiet.configs import base
from datadiet.settings import to_values
from tests import running
from tests.field import mutations

_FIELDS = config_lib.FIELDS
_SECTIONS = sorted({name.rpartition('.')[0] for name in _FIELDS} - {''})
_SCALARS = st.one_of(
  st.none(),
  st.booleans(),
  st.integers(-3, 9),
  st.sampled_from([2**31 - 1, 2**31, -(2**63), 10**30]),
  st.floats(),
  st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e-300, math.nan, math.inf]),
  st.sampled_from(
    ['', '3', 'none', 'auto', 'el2n', 'el2n@390', 'cat,dog', '(']
  ),
  mutations.NAMES,
  st.sampled_from(
    [b'bytes', 1j, np.float32(0.5), np.int64(3), np.zeros(2), {}]
  ),
  st.sampled_from(
    [*'abc', os.sep, 'random', 'keep_max', 'sgd', 'device', range(3)]
  ),
)
_VALUES = st.one_of(
  _SCALARS,
  st.lists(_SCALARS, max_size=3),
  st.lists(_SCALARS, max_size=3).map(tuple),
  st.dictionaries(
    mutations.NAMES.filter(lambda name: '.' not in name), _SCALARS, max_size=2
  ),
)
# Values of the right type, so that rules between settings are met, too.
_TYPED = {
  bool: st.booleans(),
  int: st.sampled_from([0, 1, 2, 3, 100, 390, 78_000]),
  float: st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0]),
  str: st.sampled_from(['', 'x', 'none', 'random']),
  tuple: st.sampled_from([(), (0,), (1, 2), (0.5,), ('el2n',), ('keep_max',)]),
  dict: st.sampled_from([{}, {'offset': 1}, {'beta': 0.1}, {'x': {}}]),
}


@st.composite
def _changes(draw):
  """Some settings with values, most of a wrong type or out of range."""
  changed = draw(
    st.lists(st.sampled_from(list(_FIELDS)), min_size=1, max_size=3)
  )
  wild = draw(st.booleans())
  return {
    name: draw(_VALUES if wild else _TYPED[type(_FIELDS[name].default)])
    for name in changed
  }


_WRONG_NAMES = st.one_of(
  st.just(''),
  st.just(''),
  st.sampled_from(
    ['train.num_run', 'trian.num_runs', 'score', 'x', 'train.x.y']
  ),
  st.sampled_from(_SECTIONS),
)


def _has_type(value, default) -> bool:
  """Whether a value is of a default's type, by this test's own rules."""
  if isinstance(default, bool):
    return isinstance(value, bool)
  if isinstance(default, int):
    return type(value) is int and abs(value) < 2**31
  if isinstance(default, float):
    return type(value) in (int, float) and math.isfinite(value)
  if isinstance(default, str):
    return isinstance(value, str)
  if isinstance(default, tuple):
    kinds = (
      {type(item) for item in value} if isinstance(value, tuple | list) else {0}
    )
    return kinds <= {int, float, str}
  return isinstance(value, dict | ml_collections.ConfigDict)


def _resolved(config):
  config_lib.check(config)
  return config_lib.resolve(config)


@given(_changes(), _WRONG_NAMES, _SCALARS)
@mutations.inputs(0.28)
def test_settings_are_of_their_type_or_refused(changes, wrong_name, scalar):
  config = base.get_config()
  for name, value in changes.items():
    config = running.with_raw_value(config, name, value)
  if wrong_name:
    try:
      config = running.with_raw_value(config, wrong_name, scalar)
    except (KeyError, TypeError):  # There is no such section to set it in.
      wrong_name = ''
  resolved = mutations.read_or_refused('settings', _resolved, config)
  are_right = all(
    _has_type(value, _FIELDS[name].default) for name, value in changes.items()
  )
  if wrong_name or not are_right:
    assert resolved is None
  if resolved is None:
    return
  # What was asked for is there, and comes back from config.json.
  flat = dict(config_lib.flatten(resolved))
  for name, value in changes.items():
    if name in (
      'score.names',
      'select.scores',
      'select.policies',
      'model.name',
    ):
      continue  # Aliases become the names that they stand for.
    # Empty ones and -1 stand for what is chosen then.
    if value not in ((), [], 0, -1) and name != 'train.num_steps':
      assert flat[name] == (tuple(value) if isinstance(value, list) else value)
  json.dumps(to_values(resolved))


def _read_stored(content):
  with mutations.folder() as root:
    (root / 'config.json').write_text(content)
    return _resolved(stored.get_config(str(root / 'config.json')))


@given(_changes(), _WRONG_NAMES, _SCALARS, st.integers(0, 3))
@mutations.inputs(0.05)
def test_a_stored_config_is_taken_or_refused(changes, wrong_name, scalar, cut):
  values = to_values(config_lib.resolve(base.get_config()))
  for name, value in [*changes.items(), (wrong_name, scalar)]:
    try:
      running.set_field(values, name, value)
    except (KeyError, TypeError):  # A section was overwritten.
      continue
  content = json.dumps({'config': values}, default=str)
  content = content[: len(content) // 2] if not cut else content
  resolved = mutations.read_or_refused('config.json', _read_stored, content)
  if not cut:
    assert resolved is None
  elif resolved is not None:
    for name, value in config_lib.flatten(resolved):
      assert _has_type(value, _FIELDS[name].default)


_CHECK = """
import json, sys
from datadiet import config as config_lib
from datadiet.config import flags
from datadiet.errors import DataDietError
from absl import flags as absl_flags
import os
for line in json.loads(sys.stdin.read()):
  sys.stdout.flush()
  child = os.fork()
  if not child:
    try:
      flags.parse(['datadiet', '--workdir=none', *line])
      config_lib.check(flags.given().config)
      print(json.dumps(['taken', '']))
    except DataDietError as error:
      print(json.dumps(['refused', str(error)]))
    except absl_flags.Error as error:
      print(json.dumps(['refused', ' '.join(str(error).split())]))
    except BaseException as error:
      print(json.dumps([type(error).__name__, str(error)]))
    sys.stdout.flush()
    os._exit(0)
  os.waitpid(child, 0)
"""
_TEXTS = (
  '',
  '3',
  '-3',
  '0.5',
  'nan',
  'inf',
  'True',
  'yes',
  'None',
  '()',
  '(1,)',
  '(1, 2)',
  "('el2n',)",
  '1,2',
  'el2n,grand',
  ',',
  '(1',
  '[',
  '"',
  "'a",
  'a b',
  'é',
  '🙂',
  '{}',
  '{"a": 1}',
  '1e400',
  '1_000',
  '0x10',
  '٣',
  'lambda: 0',
  '__import__("os")',
  'a=b',
  '\n',
)


def test_texts_on_the_command_line_are_taken_or_refused():
  rng = random.Random(0)
  names = [*_FIELDS, 'train.num_run', 'train', 'x', 'select.options.offset']
  lines = []
  for _ in range(max(20, round(0.2 * mutations.NUM_INPUTS))):
    name, text = rng.choice(names), rng.choice(_TEXTS)
    form = rng.choice(
      ['--config.{}={}', '-config.{}={}', '--config.sweep.{}={}']
    )
    lines.append(['--config=configs/cnn_digits.py', form.format(name, text)])
  done = subprocess.run(
    [sys.executable, '-c', _CHECK],
    cwd=running.REPOSITORY,
    input=json.dumps(lines),
    capture_output=True,
    text=True,
    check=True,
  )
  ended = [json.loads(line) for line in done.stdout.splitlines()]
  assert len(ended) == len(lines)
  for line, (what, message) in zip(lines, ended):
    assert what in ('taken', 'refused'), (line, what, message)
    assert len(message.splitlines()) == (what == 'refused'), (line, message)
    mutations.OUTCOMES[
      'command lines', 'read' if what == 'taken' else what
    ] += 1
