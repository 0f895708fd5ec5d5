"""Tests that wrong code of the user's is told in a sentence before training."""

import sys

import pytest

from datadiet import main
from datadiet.config import _REGISTRIES
from datadiet.errors import DataDietError
from datadiet.reporting.sections import SECTIONS
from tests import running

_START = """
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from datadiet.feeding.epochs import Epochs
from datadiet.models import MODELS
from datadiet.reporting.sections import SECTIONS, Section
from datadiet.scoring.registry import SCORES
from datadiet.scoring.score import DYNAMICS, FORWARD, Score
from datadiet.selection import POLICIES, Policy
from datadiet.training.optimizer import SCHEDULES
from datadiet.training.recorders import Recorder

def score(function, kind=FORWARD, higher_is='harder', **more):
  SCORES['mine'] = Score(
    kind=kind, function=function, definition='', higher_is=higher_is,
    based_on='logits', source='', **more)

def policy(**given):
  POLICIES['mine'] = Policy(nested=False, summary='mine', source='', **given)
"""
_MODEL = """
class Mine(nn.Module):
  num_classes: int
  width: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, train=False):
    hidden = nn.Dense(self.num_classes)(images.reshape(len(images), -1))
    {end}

MODELS['mine'] = Mine
"""
_RECORDER = """
score(
  lambda dynamics: dynamics['r.seen'],
  kind=DYNAMICS,
  recorders=(Recorder('r', lambda sizes: {init}, lambda at, visit: {update}),),
)
"""
_EPOCHS = """
class Mine(Epochs):
  def epoch(self, number, first_step, losses):
    {body}

policy(epochs=Mine)
"""
_BY_SCORE = {'score__names': ('el2n', 'mine'), 'select__scores': ('mine',)}
_BY_MODEL = {'model__name': 'mine', 'model__width': 0}
_BY_POLICY = {'select__policies': ('mine',), 'select__class_balanced': False}
_BY_RATE = {'optimizer__schedule': 'mine'}


@pytest.fixture
def start(tmp_path, monkeypatch):
  """Runs the program with a plugin of this text; returns what it says."""
  before = [(entries, dict(entries)) for entries in _REGISTRIES.values()]
  before.append((SECTIONS, dict(SECTIONS)))
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', [*sys.path])
  monkeypatch.delitem(sys.modules, 'mine', raising=False)

  def run(text, changes, stages=('train', 'score', 'select', 'retrain')):
    (tmp_path / 'mine.py').write_text(_START + text)
    config = running.tiny_config(plugins=('mine',), **changes)
    workdir = tmp_path / 'workdir'
    with pytest.raises(DataDietError) as caught:
      main.run(config, str(workdir), list(stages))
    assert not (workdir / 'train').exists()
    message = str(caught.value)
    assert '\n' not in message
    return message

  yield run
  sys.modules.pop('mine', None)
  for entries, saved in before:
    entries.clear()
    entries.update(saved)


@pytest.mark.parametrize(
  ('text', 'changes', 'message'),
  [
    ('score(lambda o: o.probs)', _BY_SCORE, "'mine' gives float32[4,"),
    ('score(lambda o: o.probs.sum())', _BY_SCORE, "'mine' gives float32[]"),
    ('score(lambda o: o.nothing)', _BY_SCORE, 'AttributeError'),
    ("score(len, kind='forwards')", _BY_SCORE, "kind 'forwards'; allowed: for"),
    ("score(len, higher_is='hard')", _BY_SCORE, "higher_is 'hard'; allowed: h"),
    ('score(None)', _BY_SCORE, "kind 'forward' has no function"),
    ("score(len, kind='gradient')", _BY_SCORE, "kind 'gradient' has a functi"),
    (
      "score(None, kind='trajectory', made_of='el2n')",
      _BY_SCORE,
      "adds the score 'mine' of kind 'trajectory', which nothing would compute",
    ),
    (
      "score(len, needs=frozenset({'feature'}))",
      _BY_SCORE,
      "cannot need 'feature'",
    ),
    (
      "score(lambda d: d['visits'].sum(), kind=DYNAMICS)",
      _BY_SCORE,
      "'mine' gives int64[]",
    ),
    (
      "score(lambda d: d['none'], kind=DYNAMICS)",
      _BY_SCORE,
      "KeyError: 'none'",
    ),
    (
      _RECORDER.format(
        init="{'seen': jnp.zeros(sizes.num_examples)}",
        update="{'seen': at['seen'].astype(int) + 1}",
      ),
      _BY_SCORE,
      "the recorder 'r' makes 'seen' int32[4] of the rows 'seen' float32[4]",
    ),
    (
      _RECORDER.format(init="{'seen': jnp.zeros(3)}", update='at'),
      _BY_SCORE,
      "the recorder array 'r.seen' is float32[3] for 4 examples",
    ),
    (
      _MODEL.replace('{end}', 'return hidden[:, :3]'),
      _BY_MODEL,
      "'mine' gives float32[4, 3] for 4 images; allowed: logits float32[4, 10]",
    ),
    (
      _MODEL.replace('{end}', 'return hidden + none'),
      _BY_MODEL,
      "NameError: name 'none' is not defined",
    ),
    (
      "SCHEDULES['mine'] = lambda settings, horizon: lambda step: 1 / step",
      _BY_RATE,
      'ZeroDivisionError',
    ),
    (
      "SCHEDULES['mine'] = lambda s, horizon: lambda step: jnp.ones(2)",
      _BY_RATE,
      "'mine' gives [1. 1.] at step 0; allowed: a schedule that gives one",
    ),
    (
      _EPOCHS.format(body='return np.zeros(self.num_kept, int), None'),
      _BY_POLICY,
      "'mine' gives an epoch of int64[719]; allowed: distinct positions",
    ),
    (
      _EPOCHS.format(body='return self.example_index, np.ones(3)'),
      _BY_POLICY,
      "'mine' gives an epoch of int64[1437]; allowed: distinct",
    ),
    ('policy()', _BY_POLICY, 'this one has neither: mine'),
    ("policy(function=len, needs=frozenset({'x'}))", _BY_POLICY, "need 'x'"),
    (
      'policy(function=lambda inputs, n, rng: np.arange(n)[::-1])',
      _BY_POLICY,
      '(mine) returned int64[719] where it had to return 719 positions',
    ),
    (
      'policy(function=lambda inputs, n, rng: np.arange(n - 1))',
      _BY_POLICY,
      '(mine) returned int64[718] where',
    ),
    (
      'policy(function=lambda inputs, n, rng: np.arange(n) + 1437)',
      _BY_POLICY,
      '(mine) returned int64[719] where',
    ),
    (
      "SCORES['el2n'] = SCORES['el1n']",
      {},
      "config.plugins: mine replaces the score 'el2n'; allowed: a name that no "
      'score has',
    ),
  ],
)
def test_wrong_code_is_one_sentence_before_training(
  start, text, changes, message
):
  assert message in start(text, changes)


@pytest.mark.parametrize(
  ('section', 'message'),
  [
    (
      "SECTIONS['my counts'] = Section('A', '<p>', dict)",
      "the section 'my counts' of the report cannot be linked to",
    ),
    (
      "SECTIONS['mine'] = Section('A', '{% for %}', dict)",
      "the template of the section 'mine' of the report cannot be read: ",
    ),
    (
      "SECTIONS['summary'] = Section('A', '<p>', dict)",
      "a plugin replaces the section 'summary' of the report",
    ),
    (
      "SECTIONS['mine'] = Section('A', 'none.html', dict)",
      'none.html',
    ),
  ],
)
def test_a_wrong_section_is_one_sentence_before_training(
  start, section, message
):
  assert message in start(section, {}, ('train', 'score', 'report'))


def test_the_line_of_the_plugin_is_named(start, tmp_path):
  told = start('score(lambda o: o.nothing)', _BY_SCORE)
  line = _START.count('\n') + 1
  assert told.startswith(f'{tmp_path}/mine.py, line {line}: AttributeError: ')
