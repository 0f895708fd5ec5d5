"""Tests of the score stage: the right numbers, in the right files."""

import csv
import json

import jax
import numpy as np
import pytest

from datadiet import artifacts, checkpoints, preemption
from datadiet.data.augmentation import normalise
from datadiet.errors import DataDietError, Preempted
from datadiet.models import make_model
from datadiet.stages import score, score_mean
from datadiet.training.steps import apply_model, per_example_loss
from tests import running


def _scores(context, run, step, name):
  return np.load(context.workdir.scores(run, step) / f'{name}.npy')


def _network(context, run, step):
  model = make_model('simple_cnn', num_classes=10, width=4)
  folder = context.workdir.run('train', run)
  return model, checkpoints.load_variables(folder, step)


def _inputs(context):
  dataset = context.dataset
  images = normalise(dataset.train.images, dataset.mean, dataset.std)
  return images, dataset.train.labels


@pytest.mark.parametrize(('run', 'step'), [(0, 0), (0, 44), (1, 44)])
def test_el2n_is_that_of_numpy(finished, run, step):
  model, variables = _network(finished, run, step)
  images, labels = _inputs(finished)
  logits = model.apply({'params': variables['params']}, images, train=False)
  logits = np.asarray(logits, np.float64)
  probs = np.exp(logits - logits.max(-1, keepdims=True))
  probs /= probs.sum(-1, keepdims=True)
  expected = np.linalg.norm(probs - np.eye(10)[labels], axis=-1)
  found = _scores(finished, run, step, 'el2n')
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('step', [0, 44])
def test_grand_is_that_of_one_gradient_at_a_time(finished, step):
  model, variables = _network(finished, 1, step)
  images, labels = _inputs(finished)

  @jax.jit
  def gradient(params, image, label):
    def loss(params):
      logits, _ = apply_model(model, params, {}, image[None], train=False)
      return per_example_loss(logits, label[None])[0]

    return jax.grad(loss)(params)

  found = _scores(finished, 1, step, 'grand')
  for index in (0, 1, 99, 100, 700, 1435, 1436):
    leaves = jax.tree.leaves(
      gradient(variables['params'], images[index], labels[index])
    )
    expected = np.sqrt(
      sum(np.square(leaf, dtype=float).sum() for leaf in leaves)
    )
    np.testing.assert_allclose(found[index], expected, rtol=1e-4)


def test_input_norm_does_not_depend_on_the_network(finished):
  images, _ = _inputs(finished)
  expected = np.linalg.norm(np.reshape(images, (1437, -1)), axis=-1)
  for run, step in ((0, 0), (1, 44)):
    found = _scores(finished, run, step, 'input_norm')
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_scores_of_different_steps_and_runs_differ(finished):
  for name in ('el2n', 'grand'):
    scores = [
      _scores(finished, run, step, name) for run in (0, 1) for step in (0, 44)
    ]
    assert len({values.tobytes() for values in scores}) == 4


def test_means_are_over_runs(finished):
  for name in ('el2n', 'grand', 'input_norm'):
    runs = [_scores(finished, run, 44, name) for run in (0, 1)]
    mean = _scores(finished, None, 44, name)
    assert mean.dtype == np.float32
    assert mean.shape == (1437,)
    np.testing.assert_allclose(mean, np.mean(runs, 0), rtol=1e-6)


def test_dynamics_have_no_score_before_the_first_epoch_is_over(finished):
  assert not (finished.workdir.scores(0, 0) / 'forgetting.npy').exists()
  assert not (finished.workdir.scores(None, 0) / 'forgetting.npy').exists()
  assert (finished.workdir.scores(0, 44) / 'forgetting.npy').exists()


def test_the_table_has_one_row_an_example(finished):
  text = finished.workdir.scores_csv().read_text()
  assert text == finished.workdir.scores_csv(44).read_text()
  rows = list(csv.DictReader(text.splitlines()))
  train = finished.dataset.train
  assert [int(row['example_index']) for row in rows] == list(range(1437))
  assert [row['id'] for row in rows] == train.ids.tolist()
  assert [int(row['label']) for row in rows] == train.labels.tolist()
  for name in ('el2n', 'grand', 'forgetting', 'aum', 'input_norm'):
    column = np.array([row[name] for row in rows], np.float32)
    np.testing.assert_array_equal(column, _scores(finished, None, 44, name))


def test_manifests_state_what_a_score_is(finished):
  folder = finished.workdir.scores(1, 44)
  manifest = json.loads((folder / 'manifest.json').read_text())
  assert (manifest['run'], manifest['step']) == (1, 44)
  assert manifest['fingerprint'] == finished.dataset.fingerprint
  el2n, aum = manifest['scores']['el2n'], manifest['scores']['aum']
  assert (el2n['higher_is'], el2n['mode']) == ('harder', 'eval')
  assert (aum['higher_is'], aum['mode']) == ('easier', 'train')
  assert (el2n['augmentation'], aum['augmentation']) == (False, True)


def test_scoring_goes_on_at_the_chunk_it_had_reached(own, monkeypatch):
  before = running.all_bytes(own.workdir.root / 'scores')
  folder = own.workdir.scores(1, 44)
  for path in folder.iterdir():
    path.unlink()
  calls = iter([False, True])
  with monkeypatch.context() as patch:
    patch.setattr(preemption, 'stop_requested', lambda: next(calls))
    with pytest.raises(Preempted):
      score.run(own)
  partial = artifacts.read_npz(folder / 'partial.npz')
  assert 0 < partial['num_done'] < 1437
  assert [path.name for path in folder.iterdir()] == ['partial.npz']
  # That it goes on and does not start again shows in a value put there.
  arrays = {**partial, 'value_el2n': partial['value_el2n'] + np.float32(1)}
  artifacts.write_npz(folder / 'partial.npz', arrays)
  score.run(own)
  moved = np.frombuffer(before['run_01/step_44/el2n.npy'][128:], np.float32)
  num_done = int(partial['num_done'])
  found = _scores(own, 1, 44, 'el2n')
  np.testing.assert_array_equal(found[num_done:], moved[num_done:])
  np.testing.assert_allclose(found[:num_done], moved[:num_done] + 1)
  for path in folder.iterdir():
    path.unlink()
  artifacts.write_npz(folder / 'partial.npz', partial)
  score.run(own)
  assert running.all_bytes(own.workdir.root / 'scores') == before


def test_a_lost_score_file_is_made_again(own):
  before = running.all_bytes(own.workdir.root / 'scores')
  (own.workdir.scores(0, 44) / 'grand.npy').unlink()
  assert '(3 of 4 done)' in score.plan(own)
  score.run(own)
  assert running.all_bytes(own.workdir.root / 'scores') == before


def test_scores_that_are_not_finite_are_refused(own):
  path = own.workdir.scores(None, 44) / 'el2n.npy'
  values = np.load(path)
  values[7] = np.nan
  np.save(path, values)
  with pytest.raises(DataDietError, match='el2n of example_index 7 is nan'):
    score_mean.read_mean_score(own, 'el2n', 44)
