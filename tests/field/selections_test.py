"""Selections on data as people have it: unequal classes, runs on subsets."""

import dataclasses

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.errors import ConfigError
from datadiet.stages import select
from datadiet.stages.checks import check_against_data
from datadiet.stages.context import Context
from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.results import synthetic


def _context(tmp_path, class_sizes, **changes) -> Context:
  """Noise of as many examples a class."""
  sizes = np.array(class_sizes)
  names = tuple(f'class {number}' for number in range(len(sizes)))
  dataset = synthetic.make_images(int(sizes.sum()), names)
  labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
  train = dataclasses.replace(dataset.train, labels=labels)
  changes = {'train__batch_size': 8, **changes}
  config = config_lib.resolve(running.tiny_config(**changes))
  dataset = dataclasses.replace(dataset, train=train)
  return Context(config, Workdir.at(tmp_path), dataset)


_BOTH = {'select__baselines': ('random', 'random_balanced')}


@pytest.mark.parametrize(
  'sizes, balanced',
  [
    ((90, 20, 10), []),
    ((40, 40, 40), ['random_60_balanced', 'random_36_balanced']),
    ((70, 38, 12), ['random_36_balanced']),
    ((100, 1), []),
    ((60, 60), ['random_60_balanced', 'random_36_balanced']),
  ],
)
def test_a_balanced_baseline_stops_nothing(tmp_path, caplog, sizes, balanced):
  changes = {**_BOTH, 'select__fractions': (0.5, 0.3)}
  with caplog.at_level('WARNING', logger='absl'):
    context = _context(tmp_path, sizes, **changes)
    names = [one.name for one in context.selections]
    select.check_sizes(context)
  assert [name for name in names if name.endswith('_balanced')] == balanced
  left_out = [r for r in caplog.records if 'left out' in r.getMessage()]
  assert len(left_out) == 2 - len(balanced)


def test_a_balanced_selection_that_was_asked_for_is_refused(tmp_path):
  context = _context(tmp_path, (90, 20, 10), select__class_balanced=True)
  with pytest.raises(
    ConfigError, match='the smallest class, .class 2., has 10'
  ):
    select.check_sizes(context)


@pytest.mark.parametrize(
  'changes',
  [
    {'select__fractions': (0.01,)},
    {'select__sizes': (121,)},
    {'select__sizes': (3,)},
    {'select__scores_path': '/nowhere/mine.npy'},
  ],
)
def test_settings_of_selections_stop_no_other_stages(tmp_path, changes):
  context = _context(tmp_path, (40, 40, 40), **changes)
  check_against_data(context, ['train', 'score', 'audit'])
  with pytest.raises(Exception, match='select|nowhere'):
    check_against_data(context, ['train', 'score', 'select'])


@pytest.mark.parametrize(
  'fraction, num_runs, asked_for, expected',
  [
    (1.0, 4, 1, 1),
    (1.0, 4, 0, 4),
    (1.0, 4, 9, 4),
    (0.5, 4, 4, 4),
    (0.5, 4, 0, 4),
    (0.5, 4, 1, None),
    (0.7, 6, 1, None),
  ],
)
def test_every_example_has_gradient_scores(
  tmp_path, fraction, num_runs, asked_for, expected
):
  context = _context(
    tmp_path,
    (40, 40, 40),
    train__subset_fraction=fraction,
    train__num_runs=num_runs,
    score__gradient_runs=asked_for,
  )
  found = context.num_gradient_runs
  if expected is not None:
    assert found == expected
    return
  # The fewest, from the first on, that trained on every example.
  assert 1 < found <= num_runs
  assert context.held_out[:found].any(0).all()
  assert not context.held_out[: found - 1].any(0).all()
