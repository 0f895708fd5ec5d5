"""What only stages that were not asked for use stops nobody."""

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.config import sweep
from datadiet.errors import ConfigError
from datadiet.stages.checks import check_paths
from datadiet.workdir.artifacts import Workdir
from datadiet.workdir.tables import STAGES
from tests import running

# Settings that disagree, and the stages that they stop; no others.
DISAGREEING = [
  ({'select__scores': ('aum@4000',)}, ('select', 'retrain')),
  ({'select__scores': ('loss',)}, ('select', 'retrain')),
  ({'select__step': 4000}, ('select', 'retrain')),
  ({'select__policies': ('beta',)}, ('select', 'retrain')),
  (
    {'select__policies': ('rs2',), 'select__class_balanced': True},
    ('select', 'retrain'),
  ),
  ({'select__embeddings': 'features'}, ('select', 'retrain')),
  (
    {'select__policies': ('d2',), 'select__scores': ('input_norm',)},
    ('select', 'retrain'),
  ),
  ({'select__higher_is': 'harder'}, ('select', 'retrain')),
  ({'retrain__num_steps': 4000}, ('retrain',)),
  ({'score__names': ('el2n', 'grand_subset')}, ('train', 'score')),
  ({'score__names': ('el2n', 'tracin_self')}, ('train', 'score')),
  ({'score__steps': (4000,)}, None),
  ({'train__early_until': 4000}, ('train', 'score')),
]


def _refusing(changes) -> set[str]:
  """The stages that are refused, each asked for alone."""
  refused = set()
  for stage in STAGES:
    try:
      config = running.tiny_config(**changes)
      config_lib.check(config, stages=(stage,))
      config_lib.resolve(config, 0, (stage,))
    except ConfigError as error:
      assert '\n' not in str(error)
      refused.add(stage)
  return refused


@pytest.mark.parametrize(('changes', 'stages'), DISAGREEING)
def test_settings_that_disagree_stop_the_stages_that_use_them(changes, stages):
  refused = _refusing(changes)
  if stages is None:
    assert refused and not refused & {'audit', 'report'}
  else:
    assert refused == {*stages}
  with pytest.raises(ConfigError):  # And all stages together.
    config_lib.check(running.tiny_config(**changes))


def test_a_misspelt_name_is_always_told():
  changes = {'select__scores': ('eln2',)}
  with pytest.raises(ConfigError, match='did you mean el2n'):
    config_lib.check(running.tiny_config(**changes), stages=('train',))


def test_steps_are_compared_by_stage_where_epochs_are_counted_too():
  config = running.tiny_config(
    train__num_epochs=1,
    train__schedule_steps=0,
    score__steps=(),
    retrain__num_steps=0,
    select__step=10**6,
  )
  config_lib.resolve(config, 10, ('train', 'score'))
  with pytest.raises(ConfigError, match='select.step'):
    config_lib.resolve(config, 10, ('select',))


def test_combinations_of_a_sweep_are_checked_by_stage(tmp_path):
  config = running.tiny_config()
  config.sweep.select.step = (-1, 4000)
  found = sweep.children_of(config, str(tmp_path), None, ('train', 'score'))
  assert len(found) == 2
  with pytest.raises(ConfigError, match='select.step'):
    sweep.children_of(config, str(tmp_path), None, ('select',))


@pytest.mark.parametrize(
  ('setting', 'read_by'),
  [
    ('select__scores_path', {'select', 'retrain'}),
    ('select__embeddings_path', {'select', 'retrain'}),
    ('inspect__embeddings_path', {'inspect'}),
    ('train__init_from', {'train', 'audit', 'retrain'}),
    ('model__weights', {'train', 'score', 'audit', 'retrain'}),
  ],
)
def test_a_missing_file_stops_the_stages_that_read_it(
  tmp_path, setting, read_by
):
  config = running.tiny_config(**{setting: str(tmp_path / 'gone.npy')})
  resolved, workdir = config_lib.resolve(config), Workdir.at(tmp_path / 'w')
  for stage in STAGES:
    if stage in read_by:
      with pytest.raises(ConfigError, match='does not exist'):
        check_paths(resolved, workdir, (stage,))
    else:
      check_paths(resolved, workdir, (stage,))


def test_training_goes_on_though_nothing_could_be_selected(tmp_path):
  """Sizes, a policy and a file that only the select stage would refuse."""
  config = running.tiny_config(
    select__sizes=(10**6,),
    select__fractions=(1e-6,),
    select__policies=('beta',),
    select__scores_path=str(tmp_path / 'gone.npy'),
    select__step=4000,
    train__num_runs=1,
    train__num_steps=2,
    train__schedule_steps=2,
    score__steps=(2,),
  )
  main.run(config, str(tmp_path / 'w'), ['train', 'score', 'audit'])
  scores = np.load(tmp_path / 'w/scores/mean/step_2/el2n.npy')
  assert np.isfinite(scores).all()
  with pytest.raises(ConfigError, match='config.select'):
    main.run(config, str(tmp_path / 'w'), ['select'])
