"""Tests what is known, before it is scored, of scores that will change."""

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.stages import changes, due, mean_scores
from datadiet.stages.context import Context
from datadiet.stages.network_scores import write_scores
from tests import running
from tests.field.selections_test import _context

_SIZES = (60, 60, 60)


def _scored(tmp_path, settings) -> Context:
  """A workdir whose networks were scored: the numbers are made up."""
  context = _context(tmp_path, _SIZES, **settings)
  rng, num_examples = np.random.default_rng(0), context.num_examples
  for run in context.runs:
    for step in context.config.score.steps:
      arrays = {
        name: rng.random(num_examples).astype(np.float32)
        for name in due.scores_of(context, run, step)
      }
      for name in due.extra_arrays(context):
        rows = rng.dirichlet(np.ones(3), num_examples)
        arrays[name] = rows.astype(np.float32)
      write_scores(context, run, step, arrays)
  mean_scores.write_trajectories(context)
  for step in context.config.score.steps:
    mean_scores.write_means(context, step)
  return context


_WORST = {'select__policies': ('random',), 'select__budget': 'worst_class'}
_FOLDS = {'train__folds': 5, 'train__num_runs': 5}
_TRACIN = {
  'score__names': ('el2n', 'grand', 'tracin_self'),
  'select__scores': ('tracin_self',),
}
_CLD = {
  'train__folds': 2,
  'train__num_runs': 2,
  'score__names': ('loss', 'cld'),
  'score__steps': (0, 11, 22, 44),
  'select__scores': ('cld',),
}
_MEMORIZATION = {
  **_FOLDS,
  'score__names': ('el2n', 'memorization'),
  'select__scores': ('memorization',),
}
_BFLOAT16 = {'score__dtype': 'bfloat16'}
_MORE_NAMES = {'score__names': ('el2n', 'loss')}


def _by(policy):
  return {'select__policies': (policy,), 'score__names': ('el2n',)}


@pytest.mark.parametrize(
  'settings, changed, outdated',
  [
    ({}, {'train__num_runs': 3}, True),
    ({}, {'train__num_runs': 1}, True),
    ({}, _BFLOAT16, True),
    ({}, {'score__batch_size': 77}, False),
    ({}, _MORE_NAMES, False),
    ({**_WORST, **_FOLDS}, {'train__num_runs': 10}, True),
    ({**_WORST, **_FOLDS}, _BFLOAT16, True),
    ({**_WORST, **_FOLDS}, {}, False),
    (_WORST, _BFLOAT16, True),
    (_WORST, {'train__num_runs': 3}, False),  # Of run 0 alone.
    ({**_WORST, 'select__budget': 'proportional'}, _BFLOAT16, False),
    (_TRACIN, {'score__steps': (11, 44)}, True),
    (_TRACIN, {'score__steps': (44,)}, False),  # 0 led from no update.
    (_TRACIN, _BFLOAT16, True),
    (_CLD, {'score__steps': (0, 11, 33, 44)}, True),
    (_CLD, _BFLOAT16, True),
    (_CLD, {}, False),
    (_MEMORIZATION, _BFLOAT16, True),
    (_MEMORIZATION, {}, False),
    (_by('k_center'), _BFLOAT16, True),
    (_by('craig'), _BFLOAT16, True),
    (_by('contextual_diversity'), _BFLOAT16, True),
    (_by('craig'), _MORE_NAMES, False),
    (_by('craig'), {'train__num_runs': 3}, False),
  ],
)
def test_what_will_change_is_known_before(
  tmp_path, settings, changed, outdated
):
  settings = {'train__batch_size': 8, 'select__baselines': (), **settings}
  before = _scored(tmp_path, settings)
  config = running.tiny_config(**{**settings, **changed})
  context = Context(config_lib.resolve(config), before.workdir, before.dataset)
  (one,) = context.selections
  assert changes.will_change(context, one) == outdated


def test_embeddings_of_one_s_own_do_not_change(tmp_path):
  np.save(tmp_path / 'own.npy', np.random.default_rng(0).random((180, 3)))
  settings = {
    **_by('k_center'),
    'select__embeddings_path': str(tmp_path / 'own.npy'),
  }
  before = _scored(tmp_path / 'workdir', settings)
  context = _context(tmp_path / 'workdir', _SIZES, **settings, **_BFLOAT16)
  assert context.dataset.fingerprint == before.dataset.fingerprint
  assert not changes.will_change(context, context.selections[0])
