"""Tests runs that train on subsets: memorization, out-of-sample scores."""

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.data import load_dataset
from datadiet.errors import ConfigError
from datadiet.feeding.order import (
  enough_runs,
  fold_subsets,
  held_out_subsets,
)
from datadiet.results import load_results
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir
from tests import running

NUM_RUNS, FRACTION, STEP = 4, 0.7, 16


@pytest.mark.parametrize(
  ('num_runs', 'fraction'), [(2, 0.5), (4, 0.7), (10, 0.7), (5, 0.2)]
)
def test_every_example_is_in_and_out_of_a_run(num_runs, fraction):
  assert enough_runs(num_runs, fraction)
  inside = held_out_subsets(3000, num_runs, fraction, seed=1)
  assert inside.shape == (num_runs, 3000)
  assert np.all(inside.any(0)) and np.all(~inside.all(0))
  np.testing.assert_allclose(inside.mean(1), fraction, atol=0.05)
  again = held_out_subsets(3000, num_runs, fraction, seed=1)
  assert np.array_equal(inside, again)
  assert len({row.tobytes() for row in inside}) == num_runs


@pytest.mark.parametrize(
  ('num_runs', 'fraction'), [(1, 0.5), (2, 0.7), (3, 0.7), (10, 0.95), (3, 0.2)]
)
def test_too_few_runs_are_refused(num_runs, fraction):
  assert not enough_runs(num_runs, fraction)
  config = running.tiny_config()
  config.train.num_runs = num_runs
  config.train.subset_fraction = fraction
  with pytest.raises(ConfigError, match='subset_fraction.*in and out'):
    main.run(config, '/nonexistent', ['train'])


def _config(**changes):
  return running.tiny_config(
    train__num_runs=NUM_RUNS,
    train__subset_fraction=FRACTION,
    train__num_steps=STEP,
    train__schedule_steps=STEP,
    score__steps=(STEP,),
    score__names=(
      'el2n',
      'least_confidence',
      'memorization',
      'input_norm',
      'correctness',
    ),
    retrain__num_steps=0,
    **changes,
  )


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  config = _config()
  root = tmp_path_factory.mktemp('held_out') / 'workdir'
  main.run(config, str(root), ['train', 'score'])
  return Workdir.at(root), load_dataset(config.dataset).train


def run_scores(workdir, name):
  return np.stack(
    [
      artifacts.read_npy(workdir.scores(run, STEP) / f'{name}.npy')
      for run in range(NUM_RUNS)
    ]
  )


def trained_on(workdir, num_examples):
  inside = np.zeros((NUM_RUNS, num_examples), bool)
  for run in range(NUM_RUNS):
    folder = workdir.run('train', run) / 'dynamics'
    arrays = artifacts.read_npz(folder / f'step_{STEP}.npz')
    inside[run, arrays['trained_on']] = True
    assert not arrays['visits'][~inside[run]].any()
  return inside


def test_predictions_are_of_runs_that_did_not_see_the_example(workdir):
  workdir, split = workdir
  inside = trained_on(workdir, split.num_examples)
  probs = run_scores(workdir, 'pred_probs')
  mean = artifacts.read_npy(workdir.scores(None, STEP) / 'pred_probs.npy')
  for index in range(0, split.num_examples, 97):
    expected = probs[~inside[:, index], index].mean(0)
    np.testing.assert_allclose(mean[index], expected, rtol=1e-6)
  np.testing.assert_allclose(mean.sum(1), 1.0, rtol=1e-5)


def test_memorization_is_right_inside_minus_right_outside(workdir):
  workdir, split = workdir
  inside = trained_on(workdir, split.num_examples)
  right = run_scores(workdir, 'prediction') == split.labels
  found = artifacts.read_npy(workdir.scores(None, STEP) / 'memorization.npy')
  for index in range(0, split.num_examples, 53):
    seen = right[inside[:, index], index].mean()
    unseen = right[~inside[:, index], index].mean()
    assert found[index] == pytest.approx(seen - unseen, abs=1e-6)
  assert np.ptp(found) > 0


def test_other_scores_are_means_over_runs_that_saw_the_example(workdir):
  workdir, split = workdir
  inside = trained_on(workdir, split.num_examples)
  el2n = run_scores(workdir, 'el2n')
  mean = artifacts.read_npy(workdir.scores(None, STEP) / 'el2n.npy')
  expected = np.where(inside, el2n, 0).sum(0) / inside.sum(0)
  np.testing.assert_allclose(mean, expected, rtol=1e-5)
  manifest = artifacts.read_manifest(workdir.scores(None, STEP))
  assert manifest['over'].startswith('runs that trained on it; *_out_of_sample')


@pytest.mark.parametrize('name', ['el2n', 'least_confidence'])
def test_forward_scores_are_also_of_runs_that_left_the_example_out(
  workdir, name
):
  workdir, split = workdir
  inside = trained_on(workdir, split.num_examples)
  by_run, folder = run_scores(workdir, name), workdir.scores(None, STEP)
  found = artifacts.read_npy(folder / f'{name}_out_of_sample.npy')
  spread = artifacts.read_npy(folder / f'{name}_out_of_sample_std.npy')
  for index in range(split.num_examples):
    values = [
      float(by_run[run, index])
      for run in range(NUM_RUNS)
      if not inside[run, index]
    ]
    assert found[index] == pytest.approx(np.mean(values), rel=1e-6)
    std = np.std(values, ddof=1) if len(values) > 1 else 0.0
    assert spread[index] == pytest.approx(std, rel=1e-4, abs=1e-7)


def test_scores_out_of_sample_are_stated_and_read_back(workdir):
  workdir, _ = workdir
  results = load_results(workdir.root)
  stated = results.score_info()
  assert {*stated} < {*results.scores}
  added = {'el2n_out_of_sample', 'least_confidence_out_of_sample'}
  assert {name for name in stated if name.endswith('_out_of_sample')} == added
  assert stated['el2n']['out_of_sample'] is False
  unseen = stated['el2n_out_of_sample']
  assert unseen['out_of_sample'] is True
  assert unseen['runs'] == list(range(NUM_RUNS))
  assert (unseen['mode'], unseen['dtype']) == ('eval', 'float32')
  assert unseen['higher_is'] == 'harder'
  assert 'left the example out' in unseen['definition']
  assert 'UNSEEN' in unseen['source'] and 'Paul' in unseen['source']


def test_scores_out_of_sample_select_and_are_in_the_report(workdir):
  workdir, split = workdir
  config = _config(
    select__policies=('keep_max:el2n_out_of_sample',),
    select__fractions=(),
    select__sizes=(100,),
    select__baselines=(),
  )
  main.run(config, str(workdir.root), ['select', 'report'])
  (folder,) = (workdir.root / 'selections').iterdir()
  assert folder.name == f'el2n_out_of_sample_step_{STEP}_keep_max_100'
  scores = artifacts.read_npy(
    workdir.scores(None, STEP) / 'el2n_out_of_sample.npy'
  )
  expected = np.sort(np.argsort(-scores, kind='stable')[:100])
  found = artifacts.read_npy(folder / 'example_index.npy')
  np.testing.assert_array_equal(found, expected)
  page = (workdir.report / 'index.html').read_text()
  assert 'el2n_out_of_sample' in page


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'train__subset_fraction': 1.0, 'score__names': ('el2n',)},
      "'el2n_out_of_sample' is of runs that leave examples out; allowed: with "
      "train.subset_fraction below 1, 'el2n' in score.names .*with train.folds "
      "'el2n' itself is out of sample",
    ),
    ({'train__subset_fraction': 1.0, 'train__folds': 2}, 'itself is out of'),
    ({'score__names': ('least_confidence',)}, "'el2n' in score.names"),
    (
      {'select__scores': ('correctness_out_of_sample',)},
      "'correctness_out_of_sample' is not allowed; allowed: one of el2n, ",
    ),
    (
      {
        'score__names': ('el2n', 'grand'),
        'score__gradient_runs': 1,
        'select__scores': ('grand_out_of_sample',),
      },
      "'grand_out_of_sample' is of runs .*score.gradient_runs=0",
    ),
  ],
)
def test_scores_out_of_sample_that_nothing_gives_are_refused(changes, message):
  config = _config()
  config.select.scores = ('el2n_out_of_sample',)
  config_lib.check(config)
  for name, value in changes.items():
    running.set_field(config, name.replace('__', '.'), value)
  with pytest.raises(ConfigError, match=message):
    config_lib.check(config)


def test_gradients_are_out_of_sample_too_where_all_runs_have_them():
  config = _config()
  config.score.names = ('grand', 'aum', 'el2n')
  both = ('grand_out_of_sample', 'el2n_out_of_sample')
  assert config_lib.mean_scores(config_lib.resolve(config))[3:] == both
  config.score.gradient_runs = NUM_RUNS - 1
  assert config_lib.mean_scores(config_lib.resolve(config))[3:] == both[1:]


def test_cld_takes_the_examples_left_out_for_held_out_data(tmp_path):
  steps = (0, 8, 16, 24)
  config = running.tiny_config(
    train__num_runs=2,
    train__folds=2,
    train__num_steps=24,
    train__schedule_steps=24,
    score__steps=steps,
    score__names=('loss', 'cld'),
    select__scores=('cld',),
  )
  main.run(config, str(tmp_path / 'workdir'), ['train', 'score'])
  workdir = Workdir.at(tmp_path / 'workdir')
  train = load_dataset(config.dataset).train
  inside = fold_subsets(train.labels, 2, 2, seed=config.train.data_seed)
  expected = np.zeros(train.num_examples)
  for run in (0, 1):
    losses = np.stack(
      [
        artifacts.read_npy(workdir.scores(run, step) / 'loss.npy')
        for step in steps
      ]
    ).astype(float)
    for example in np.flatnonzero(inside[run]):
      alike = ~inside[run] & (train.labels == train.labels[example])
      pair = np.diff(losses[:, example]), np.diff(losses[:, alike].mean(1))
      expected[example] = np.corrcoef(*pair)[0, 1]
  found = artifacts.read_npy(workdir.scores(None, 24) / 'cld.npy')
  np.testing.assert_allclose(found, expected, atol=1e-4)
  manifest = artifacts.read_manifest(workdir.scores(None, 24))
  assert manifest['scores']['cld']['steps'] == list(steps)
  assert not (workdir.scores(None, 16) / 'cld.npy').exists()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({}, 'allowed: with train.folds'),
    ({'train__folds': 2, 'score__steps': (0, 22, 44)}, 'at least 4 score.st'),
    ({'score__names': ('el2n', 'cld')}, "'cld' is made of loss"),
  ],
)
def test_cld_without_left_out_examples_or_steps_is_refused(changes, message):
  settings = {
    'score__names': ('loss', 'cld'),
    'score__steps': (0, 11, 22, 44),
    'select__scores': ('cld',),
    **changes,
  }
  with pytest.raises(ConfigError, match=message):
    config_lib.check(running.tiny_config(**settings))
