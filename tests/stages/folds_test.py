"""Tests of cross-validated training: out-of-sample scores, audits, resuming."""

import random
import signal

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from datadiet import audit as audit_lib
from datadiet import main
from datadiet.data import load_dataset
from datadiet.errors import ConfigError
from datadiet.feeding.order import fold_subsets
from datadiet.reporting.audit import read_audit
from datadiet.results import load_results
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.data import formats

FOLDS, NUM_RUNS, STEP = 3, 6, 88
NAMES = ('el2n', 'loss', 'grand', 'aum', 'memorization', 'input_norm')


def _config(**changes):
  config = running.tiny_config(
    **{
      'model__width': 8,
      'optimizer__name': 'adamw',
      'optimizer__learning_rate': 1e-2,
      'train__num_runs': NUM_RUNS,
      'train__folds': FOLDS,
      'train__num_steps': STEP,
      'train__schedule_steps': STEP,
      'score__steps': (STEP,),
      'score__names': NAMES,
      'retrain__num_runs': 1,
      'retrain__num_steps': 11,
      **changes,
    }
  )
  config.dataset.label_noise.update(fraction=0.1, kind='uniform')
  return config


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A workdir of two repeats of three folds, and its train split."""
  root = tmp_path_factory.mktemp('folds') / 'workdir'
  main.run(_config(), str(root), ['train', 'score', 'audit'])
  return Workdir.at(root), load_dataset(_config().dataset)


def _left_out(workdir, num_examples):
  """What the runs' dynamics say that they did not train on, bool[runs, N]."""
  left_out = np.ones((NUM_RUNS, num_examples), bool)
  for run in range(NUM_RUNS):
    folder = workdir.run('train', run) / 'dynamics'
    arrays = artifacts.read_npz(folder / f'step_{STEP}.npz')
    left_out[run, arrays['trained_on']] = False
    assert not arrays['visits'][left_out[run]].any()
    assert (arrays['visits'][~left_out[run]] > 0).all()
  return left_out


def _by_run(workdir, name):
  folders = [workdir.scores(run, STEP) for run in range(NUM_RUNS)]
  return [artifacts.read_npy(folder / f'{name}.npy') for folder in folders]


def _mean(workdir, name):
  return artifacts.read_npy(workdir.scores(None, STEP) / f'{name}.npy')


def test_each_example_is_left_out_once_a_repeat(made):
  workdir, dataset = made
  left_out = _left_out(workdir, dataset.train.num_examples)
  for first in range(0, NUM_RUNS, FOLDS):
    np.testing.assert_array_equal(left_out[first : first + FOLDS].sum(0), 1)
  assert (left_out[:FOLDS] != left_out[FOLDS:]).any()
  for run in range(NUM_RUNS):
    manifest = artifacts.read_manifest(workdir.run('train', run))
    assert manifest['selection'] == {
      'left_out': {'repeat': run // FOLDS, 'fold': run % FOLDS, 'of': FOLDS}
    }
    assert manifest['num_examples'] == (~left_out[run]).sum()


@pytest.mark.parametrize('name', ['el2n', 'loss'])
def test_forward_scores_are_of_runs_that_left_the_example_out(made, name):
  workdir, dataset = made
  left_out = _left_out(workdir, dataset.train.num_examples)
  by_run, found = _by_run(workdir, name), _mean(workdir, name)
  spread = _mean(workdir, f'{name}_std')
  for index in range(dataset.train.num_examples):
    values = [
      float(by_run[run][index])
      for run in range(NUM_RUNS)
      if left_out[run, index]
    ]
    assert len(values) == NUM_RUNS // FOLDS
    assert found[index] == pytest.approx(np.mean(values), rel=1e-6)
    assert spread[index] == pytest.approx(np.std(values, ddof=1), rel=1e-4)


@pytest.mark.parametrize('name', ['grand', 'aum'])
def test_scores_of_training_are_of_runs_that_trained_on_it(made, name):
  workdir, dataset = made
  trained_on = ~_left_out(workdir, dataset.train.num_examples)
  by_run = np.stack(_by_run(workdir, name))
  expected = np.where(trained_on, by_run, 0).sum(0) / trained_on.sum(0)
  np.testing.assert_allclose(_mean(workdir, name), expected, rtol=1e-5)


def test_the_manifest_says_what_is_out_of_sample(made):
  manifest = artifacts.read_manifest(made[0].scores(None, STEP))
  assert manifest['folds'] == FOLDS
  stated = {
    name: score.get('out_of_sample')
    for name, score in manifest['scores'].items()
  }
  assert stated == {
    'el2n': True,
    'loss': True,
    'grand': False,
    'aum': False,
    'memorization': None,
    'input_norm': None,
  }
  # Of one repeat and of the other, as each has every example.
  assert list(manifest['rank_stability']['el2n']) == ['1']
  assert manifest['rank_stability']['el2n']['1'] > 0.5


def test_the_audit_predicts_out_of_sample_and_ranks_well(made, tmp_path):
  """At least as well as networks that were trained on four fifths alone."""
  workdir, dataset = made
  train, original = dataset.train, dataset.original_labels
  found = read_audit(load_results(workdir))
  assert found.manifest['suggestions'] == 'out-of-sample'
  assert found.manifest['evidence'] == [
    'in-sample predictions',
    'out-of-sample predictions',
  ]
  left_out = _left_out(workdir, train.num_examples)
  probs = np.stack(_by_run(workdir, 'pred_probs')).astype(np.float64)
  of_each = np.where(left_out[..., None], probs, 0).sum(0) / left_out.sum(0)[0]
  np.testing.assert_array_equal(found.suggested_labels, of_each.argmax(1))
  wrong = train.labels != original
  assert roc_auc_score(wrong, found.suspicion) > 0.95
  # The usual way: a fifth is held out, of which the others' network is asked.
  apart = ~fold_subsets(train.labels, 5, 5, seed=7)[0]
  np.save(tmp_path / 'others.npy', np.flatnonzero(~apart))
  config = _config(
    train__folds=0,
    train__num_runs=1,
    train__subset_path=str(tmp_path / 'others.npy'),
    score__names=('el2n',),
  )
  main.run(config, str(tmp_path / 'held_out'), ['train', 'score'])
  folder = Workdir.at(tmp_path / 'held_out').scores(0, STEP)
  doubt = audit_lib.of_predictions(
    artifacts.read_npy(folder / 'pred_probs.npy'), train.labels
  )
  held_out = roc_auc_score(wrong[apart], doubt[apart])
  assert roc_auc_score(wrong[apart], found.suspicion[apart]) >= held_out


def test_repeats_can_be_added_and_retraining_ignores_folds(made, tmp_path):
  workdir, dataset = made
  running.copy_without(workdir.root, tmp_path / 'more', ('audit',))
  more = Workdir.at(tmp_path / 'more')
  before = running.all_bytes(more.run('train', NUM_RUNS - 1))
  config = _config(train__num_runs=NUM_RUNS + FOLDS)
  stages = ['train', 'score', 'select', 'retrain']
  main.run(config, str(more.root), stages)
  assert running.all_bytes(more.run('train', NUM_RUNS - 1)) == before
  manifest = artifacts.read_manifest(more.scores(None, STEP))
  assert manifest['runs'] == list(range(NUM_RUNS + FOLDS))
  (full,) = more.root.glob('retrain/full_*/run_00')
  assert artifacts.read_manifest(full)['num_examples'] == 1437
  (kept,) = more.root.glob('retrain/el2n_*/run_00')
  assert artifacts.read_manifest(kept)['num_examples'] == 719


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'folds': 1}, 'train.folds: 1 is not allowed; allowed: an integer of'),
    ({'folds': 4}, 'train.num_runs: 6 is not allowed with train.folds=4; '),
    (
      {'folds': 3, 'subset_fraction': 0.5},
      'train.folds: 3 is not allowed with train.subset_fraction below 1',
    ),
    (
      {'folds': 2000, 'num_runs': 2000},
      'train.folds: 2000 is not allowed; allowed: at most the 1437 train',
    ),
  ],
)
def test_folds_that_cannot_be_are_refused(changes, message, tmp_path):
  settings = {f'train__{name}': value for name, value in changes.items()}
  with pytest.raises(ConfigError, match=message):
    main.run(_config(**settings), str(tmp_path / 'workdir'), ['train'])
  assert not (tmp_path / 'workdir').exists()


def test_folds_need_a_score_that_can_be_out_of_sample(tmp_path):
  config = _config(score__names=('aum',))
  with pytest.raises(ConfigError, match='with train.folds, which is there to'):
    main.run(config, str(tmp_path / 'workdir'), ['score'])


_LONG = {
  'train__num_runs': 4,
  'train__folds': 4,
  'train__num_steps': 440,
  'train__schedule_steps': 440,
  'score__steps': (440,),
}


def _flags(workdir, compilations, **changes):
  return running.tiny_flags(
    workdir,
    stages='train,score,audit',
    compilation_cache_dir=compilations,
    **{**_LONG, **changes},
  )


@pytest.fixture(scope='module')
def compilations(tmp_path_factory):
  return str(tmp_path_factory.mktemp('compilations'))


@pytest.fixture
def env_of(tmp_path):
  def environment(num_devices):
    home = tmp_path / f'home_{num_devices}'
    home.mkdir()
    return running.environment(home, num_devices=num_devices)

  return environment


def test_killed_and_resumed_ends_in_the_same_bytes(
  env_of, compilations, tmp_path
):
  env, expected = env_of(2), tmp_path / 'expected'
  done = running.run_main(_flags(expected, compilations), env)
  assert done.returncode == 0, done.stderr
  workdir = tmp_path / 'workdir'
  # Two devices hold the first two runs: the others are still to come.
  code, log = running.interrupt_main(
    _flags(workdir, compilations),
    env,
    when=(workdir / 'train' / 'run_01' / 'checkpoints' / '220').exists,
    delay=random.uniform(0.0, 0.2),
    with_signal=signal.SIGKILL,
  )
  assert code == -signal.SIGKILL, log
  assert not (workdir / 'train' / 'run_02').exists()
  done = running.run_main(_flags(workdir, compilations), env)
  assert done.returncode == 0, done.stderr
  assert 'Resuming from step' in done.stderr
  assert running.results(workdir) == running.results(expected)


def test_one_two_four_and_eight_devices_give_the_same(env_of, tmp_path):
  found = {}
  for num_devices in (1, 2, 4, 8):
    workdir = tmp_path / f'of_{num_devices}'
    flags = _flags(
      workdir,
      'none',
      train__num_steps=5,
      train__schedule_steps=5,
      retrain__num_steps=5,
      score__steps=(5,),
      score__names=('el2n',),
    )
    done = running.run_main(flags, env_of(num_devices))
    assert done.returncode == 0, done.stderr
    found[num_devices] = workdir
  arrays = {num: _arrays(workdir) for num, workdir in found.items()}
  assert np.ptp(arrays[1]['scores/mean/step_5/el2n.npy']) > 0
  for num_devices in (2, 4, 8):
    for name, array in arrays[num_devices].items():
      np.testing.assert_allclose(array, arrays[1][name], 1e-4, 1e-6)
  # There every run has a device of its own.
  assert _networks(found[2]) == _networks(found[1])


def _arrays(workdir):
  """What the runs trained on, and the scores of each and of all."""
  paths = [*workdir.glob('scores/*/*/el2n.npy')]
  found = {str(path.relative_to(workdir)): np.load(path) for path in paths}
  for path in workdir.glob('train/run_*/dynamics/*.npz'):
    arrays = artifacts.read_npz(path)
    for name in ('trained_on', 'visits', 'margin_mean'):
      found[f'{path.relative_to(workdir)}/{name}'] = arrays[name]
  assert len(found) == 5 + 4 * 3
  return found


def _networks(workdir):
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in sorted(workdir.glob('train/run_*/checkpoints/5/*'))
  }


def _classes_of(tmp_path, *sizes):
  """An image folder whose train split has so many images of each class."""
  counts = {f'train/{label}': size for label, size in enumerate(sizes)}
  counts |= {f'test/{label}': 2 for label in range(len(sizes))}
  formats.write_image_folder(tmp_path / 'photos', counts, size=8)
  config = _config(
    dataset__name='image_folder',
    dataset__data_dir=str(tmp_path / 'photos'),
    train__folds=5,
    train__num_runs=5,
    train__batch_size=8,
  )
  config.dataset.label_noise.fraction = 0.0
  return config


def test_a_class_of_fewer_examples_than_folds_is_predicted_too(tmp_path):
  """Each of its three is left out by one run, which saw the two others."""
  config = _classes_of(tmp_path, 20, 20, 3)
  main.run(config, str(tmp_path / 'workdir'), ['train', 'score', 'audit'])
  results = load_results(tmp_path / 'workdir')
  assert len(results.label_issues) == 43
  inside = fold_subsets(np.repeat([0, 1, 2], [20, 20, 3]), 5, 5, seed=0)
  assert ((~inside[:, 40:]).sum(0) == 1).all()
  assert (inside[:, 40:].sum(1) >= 2).all()


def test_a_class_of_one_example_is_named_and_suspected(tmp_path, caplog):
  config = _classes_of(tmp_path, 20, 20, 1)
  main.run(config, str(tmp_path / 'workdir'), ['train', 'score', 'audit'])
  assert 'Of 2 there is one example, which networks trained' in caplog.text
  issues = load_results(tmp_path / 'workdir').label_issues
  assert len(issues) == 41
  alone = issues[issues['given_label'] == 2]
  assert alone['suggested_label'].item() != 2
