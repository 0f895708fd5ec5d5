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
  'settings, message',
  [
    ({'policies': ('d2',)}, r'num_neighbours=10 others.* only 10 examples'),
    ({'policies': ('cal',)}, r'in class 2, num_neighbours=10 others'),
    ({'policies': ('infomax',), 'num_neighbours': 12}, 'in class 2'),
    ({'policies': ('prototypes',), 'num_clusters': 11}, 'num_clusters=11'),
    (
      {'policies': ('prototypes',), 'num_clusters': 121, 'balanced': False},
      'num_clusters=121 clusters of 120 examples',
    ),
    # A class keeps all, of which its cut-off would leave 9.
    ({'policies': ('ccs:aum',)}, r'in class 2, .*of 10 examples leaves 9'),
    ({'policies': ('d2',), 'budget': 'proportional'}, 'in class 2'),
    ({'policies': ('d2',), 'budget': 'worst_class'}, 'in class 2'),
  ],
)
def test_what_no_class_can_have_is_refused_before_training(
  tmp_path, settings, message
):
  settings = dict(settings)
  balanced = settings.pop('balanced', 'budget' not in settings)
  options = {
    name: settings.pop(name)
    for name in ('num_neighbours', 'num_clusters')
    if name in settings
  }
  context = _context(
    tmp_path,
    (70, 40, 10),
    select__class_balanced=balanced,
    select__sizes=(30,),
    select__fractions=(),
    select__options=options,
    select__baselines=(),
    **{f'select__{name}': value for name, value in settings.items()},
  )
  with pytest.raises(ConfigError, match=f'cannot be made: .*{message}') as told:
    select.check_sizes(context)
  # Nothing is wrong with the classes' sizes.
  assert 'smallest class' not in str(told.value)


def test_a_budget_that_training_tells_may_be_warned_of(tmp_path, caplog):
  context = _context(
    tmp_path,
    (70, 40, 10),
    select__budget='worst_class',
    select__policies=('ccs', 'random'),
    select__sizes=(30,),
    select__fractions=(),
    select__baselines=(),
  )
  with caplog.at_level('WARNING', logger='absl'):
    select.check_sizes(context)
  told = [record.getMessage() for record in caplog.records]
  assert len(told) == 3
  assert 'ccs_30_worst_class' in told[1] and 'leaves 9' in told[1]
  assert all('train.folds=5' in told[number] for number in (0, 2))


@pytest.mark.parametrize('balance', ['', 'balanced', 'proportional'])
@pytest.mark.parametrize('fraction', [1.0, 0.95, 0.9, 0.5, 0.1])
def test_auto_can_be_made_at_any_size(tmp_path, fraction, balance):
  context = _context(
    tmp_path,
    (40, 40, 39),
    select__policies=('auto',),
    select__fractions=(fraction,),
    select__baselines=(),
  )
  if balance:
    # With a budget what changes while training is refused.
    select_settings = dataclasses.replace(
      context.config.select, policies=('auto',), budget=balance
    )
    config = dataclasses.replace(context.config, select=select_settings)
    context = Context(config, context.workdir, context.dataset)
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
