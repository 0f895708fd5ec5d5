"""Tests of the score stage: the right numbers, in the right files."""

import csv
import dataclasses
import json
import logging

import flax.linen as nn
import jax
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.data.label_files import read_labels
from datadiet.errors import ConfigError, DataDietError, Preempted
from datadiet.feeding.augmentation import normalise
from datadiet.models import MODELS, make_model
from datadiet.results import load_results
from datadiet.runtime import stopping
from datadiet.scoring.engine import ScoringEngine
from datadiet.stages import due, mean_scores, score
from datadiet.stages.network_scores import NetworkScorer
from datadiet.training.steps import apply_model, per_example_loss
from datadiet.workdir import artifacts, checkpoints, score_arrays
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
  names = finished.dataset.class_names
  assert all(row['label_name'] == names[int(row['label'])] for row in rows)
  path = str(finished.workdir.scores_csv())
  read_back = read_labels(path, finished.dataset)
  np.testing.assert_array_equal(read_back, train.labels)
  for name in ('el2n', 'grand', 'forgetting', 'aum', 'input_norm'):
    column = np.array([row[name] for row in rows], np.float32)
    np.testing.assert_array_equal(column, _scores(finished, None, 44, name))


def test_columns_of_the_data_set_come_after_the_scores(own):
  train = own.dataset.train
  origin = np.array(['cifar', 'imagenet'])[np.arange(1437) % 2]
  train = dataclasses.replace(train, columns={'origin': origin})
  dataset = dataclasses.replace(own.dataset, train=train)
  before = load_results(own.workdir).scores
  mean_scores.write_means(dataclasses.replace(own, dataset=dataset), 44)
  text = own.workdir.scores_csv(44).read_text()
  rows = list(csv.DictReader(text.splitlines()))
  assert list(rows[0])[-1] == 'origin'
  assert [row['origin'] for row in rows] == origin.tolist()
  assert load_results(own.workdir).scores.equals(before)


def test_a_score_that_some_example_has_in_no_run_is_left_out(own, caplog):
  for run in own.runs:
    folder = own.workdir.scores(run, 44)
    values = np.load(folder / 'forgetting.npy')
    values[7] = np.nan
    artifacts.write_npy(folder / 'forgetting.npy', values)
    manifest = artifacts.read_manifest(folder)
    manifest['checksums']['forgetting'] = artifacts.checksum(values)
    artifacts.write_manifest(folder, manifest)
  with caplog.at_level(logging.WARNING, logger='absl'):
    score.run(own)
  assert 'Left out at step 44: forgetting: example_index 7' in caplog.text
  assert 'forgetting' not in load_results(own.workdir).scores
  assert 'aum' in load_results(own.workdir).scores
  with pytest.raises(DataDietError, match='forgetting: example_index 7 has'):
    own.mean_score('forgetting', 44)


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
    patch.setattr(stopping, 'stop_requested', lambda: next(calls))
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


def test_a_stop_in_the_second_pass_costs_nothing_of_the_first(own, monkeypatch):
  before = running.all_bytes(own.workdir.root / 'scores')
  folder = own.workdir.scores(1, 44)
  for path in folder.iterdir():
    path.unlink()
  one_pass, passes = NetworkScorer._one_pass, []

  def noted(self, variables, run, step, group):
    passes.append(group)
    wanted = len(passes) == 2
    patch.setattr(stopping, 'stop_requested', lambda: wanted)
    return one_pass(self, variables, run, step, group)

  with monkeypatch.context() as patch:
    patch.setattr(NetworkScorer, '_one_pass', noted)
    with pytest.raises(Preempted):
      score.run(own)
    passes.append(None)
    score.run(own)
  assert passes == [('el2n', 'input_norm'), ('grand',), None, ('grand',)]
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
  manifest = artifacts.read_manifest(path.parent)
  manifest['checksums']['el2n'] = artifacts.checksum(values)
  artifacts.write_manifest(path.parent, manifest)
  with pytest.raises(DataDietError, match='el2n of example_index 7 is nan'):
    own.mean_score('el2n', 44)


def _with(own, **changes):
  resolved = config_lib.resolve(running.tiny_config(**changes))
  return dataclasses.replace(own, config=resolved)


def test_scores_of_other_settings_are_made_again(own):
  names = ('el2n', 'grand_subset')
  first = _with(own, score__names=names, score__grand_subset='Conv_0')
  score.run(first)
  before = _scores(own, None, 44, 'grand_subset')
  second = _with(own, score__names=names, score__grand_subset='Dense')
  assert '(0 of 4 done)' in score.plan(second)
  score.run(second)
  assert not np.array_equal(_scores(own, None, 44, 'grand_subset'), before)
  for run in (0, None):
    manifest = artifacts.read_manifest(own.workdir.scores(run, 44))
    assert manifest['scores']['grand_subset']['params'] == 'Dense'
  assert '(4 of 4 done)' in score.plan(second)


def test_a_changed_byte_in_a_score_is_named(own):
  path = own.workdir.scores(0, 44) / 'el2n.npy'
  content = bytearray(path.read_bytes())
  content[-3] ^= 0x40
  path.write_bytes(content)
  with pytest.raises(DataDietError, match='its values are not those') as caught:
    score.run(own)
  assert str(path) in str(caught.value)
  path.unlink()
  score.run(own)
  path = own.workdir.scores(None, 44) / 'el2n.npy'
  content = bytearray(path.read_bytes())
  content[-3] ^= 0x40
  path.write_bytes(content)
  with pytest.raises(DataDietError, match='its values are not those'):
    own.mean_score('el2n', 44)


@pytest.mark.parametrize('ending', ['', '_std', '_stderr'])
def test_means_and_spreads_have_checksums(own, ending):
  folder = own.workdir.scores(None, 44)
  name, manifest = f'el2n{ending}', artifacts.read_manifest(folder)
  score_arrays.read(folder, name, 1437, manifest)
  content = bytearray((folder / f'{name}.npy').read_bytes())
  content[-3] ^= 0x40
  (folder / f'{name}.npy').write_bytes(content)
  with pytest.raises(DataDietError, match=f'{name}.npy is damaged .its values'):
    score_arrays.read(folder, name, 1437, manifest)


def test_layers_may_be_asked_for_later(own):
  grand = _scores(own, 0, 44, 'grand')
  layered = _with(own, score__per_layer=True)
  score.run(layered)
  layers = _scores(own, 0, 44, 'grand_layers')
  np.testing.assert_allclose(
    np.sqrt(np.square(layers).sum(1)), grand, rtol=1e-5
  )
  assert '(4 of 4 done)' in score.plan(layered)


def test_never_learned_counts_as_the_number_of_steps(own):
  path = own.workdir.run('train', 1) / 'dynamics' / 'step_44.npz'
  dynamics = artifacts.read_npz(path)
  first = dynamics['first_correct_step']
  # As in a run that learned nothing after step 3.
  first = np.where(first > 3, -1, first)
  artifacts.write_npz(path, {**dynamics, 'first_correct_step': first})
  score.run(_with(own, score__names=('first_learned',)))
  expected = np.where(first < 0, 44.0, first)
  expected[dynamics['visits'] == 0] = np.nan
  np.testing.assert_array_equal(_scores(own, 1, 44, 'first_learned'), expected)


def test_features_are_kept_without_any_forward_score(own):
  grand = running.all_bytes(own.workdir.root / 'scores')[
    'run_00/step_44/grand.npy'
  ]
  kept = _with(own, score__names=('grand',), score__keep=('features',))
  score.run(kept)
  assert _scores(own, 0, 44, 'features').ndim == 2
  # What was there is not computed again.
  assert (own.workdir.scores(0, 44) / 'grand.npy').read_bytes() == grand
  assert '(4 of 4 done)' in score.plan(kept)


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'score__names': ('el2n', 'dual'), 'select__scores': ('dual',)},
      "config.select.scores: 'dual' is not defined at step 44",
    ),
    (
      {'select__scores': ('aum@0',)},
      "config.select.scores: 'aum' is not defined at step 0",
    ),
    (
      {
        'score__names': ('el2n', 'grand', 'tracin_self'),
        'select__scores': ('tracin_self',),
        'select__step': 0,
      },
      "scores: 'tracin_self' is not defined at step 0; .* of several steps at "
      '44, the last of score.steps',
    ),
    (
      {
        'score__names': ('el2n', 'mean_confidence'),
        'select__policies': ('beta:el2n@0',),
      },
      "policies: 'beta' reads mean_confidence, which is not defined at step 0",
    ),
    (
      {'score__names': ('el2n', 'grand_subset'), 'score__grand_subset': 'Nope'},
      "config.score.grand_subset: 'Nope' is found in no path",
    ),
  ],
)
def test_what_cannot_be_had_is_refused_at_the_start(finished, changes, message):
  with pytest.raises(ConfigError, match=message):
    due.check_due(_with(finished, **changes), ['train', 'score', 'select'])


def test_a_score_of_several_steps_may_be_selected_by_at_the_last(finished):
  names = ('el2n', 'grand', 'tracin_self')
  context = _with(
    finished, score__names=names, select__scores=('tracin_self@44', 'el2n@0')
  )
  due.check_due(context, ['train', 'score', 'select'])


class _SowsNothing(nn.Module):
  num_classes: int
  width: int = 4
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, images, train=False):
    return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


@pytest.mark.parametrize(
  'changes, needed_by',
  [
    ({'score__names': ('el2n', 'grand_last')}, 'score.names=grand_last need'),
    ({'score__keep': ('features',)}, 'score.keep=features need'),
    (
      {'score__names': ('grand_last',), 'score__keep': ('features',)},
      'score.names=grand_last and score.keep=features need',
    ),
  ],
)
def test_features_that_the_model_does_not_sow_are_refused_at_the_start(
  finished, monkeypatch, changes, needed_by
):
  monkeypatch.setitem(MODELS, 'plain', _SowsNothing)
  due.check_due(_with(finished, model__name='plain'), ['train'])
  context = _with(
    finished, model__name='plain', select__scores=('loss',), **changes
  )
  with pytest.raises(ConfigError) as caught:
    due.check_due(context, ['score'])
  message = str(caught.value)
  assert f"'plain' sows no features, which {needed_by}" in message


def test_tracin_is_the_sum_of_rates_times_squared_norms(own):
  names = ('el2n', 'grand', 'tracin_self')
  folder = own.workdir.scores(1, 44)
  manifest = artifacts.read_manifest(folder)
  del manifest['checksums']  # As of workdirs before there were any.
  artifacts.write_manifest(folder, manifest)
  score.run(_with(own, score__names=names))
  assert list(artifacts.read_manifest(folder)['checksums']) == ['tracin_self']
  # It stands with the last step, and nobody misses it with the others.
  assert artifacts.read_manifest(own.workdir.scores(None, 0))['left_out'] == {}
  # Cosine over 44 steps; step 0 led from no update.
  rate = 0.5 * 0.1 * (1 + np.cos(np.pi * 43 / 44))
  if own.config.optimizer.warmup_fraction:
    warmup = round(own.config.optimizer.warmup_fraction * 44)
    rate = 0.05 * (1 + np.cos(np.pi * (43 - warmup) / (44 - warmup)))
  for run in (0, 1):
    grand = _scores(own, run, 44, 'grand').astype(np.float64)
    np.testing.assert_allclose(
      _scores(own, run, 44, 'tracin_self'), rate * grand**2, rtol=1e-4
    )


def test_out_of_memory_halves_the_chunk_and_goes_on(own, monkeypatch, caplog):
  before = running.all_bytes(own.workdir.root / 'scores')
  (own.workdir.scores(0, 44) / 'grand.npy').unlink()
  take, failed = ScoringEngine._take, []

  def full(self, chunk, done, on_chunk):
    if self.chunk_size > 40:
      failed.append(self.chunk_size)
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
    return take(self, chunk, done, on_chunk)

  monkeypatch.setattr(ScoringEngine, '_take', full)
  with caplog.at_level(logging.WARNING, logger='absl'):
    score.run(own)
  assert failed == sorted(failed, reverse=True) and len(failed) >= 2
  assert 'Out of memory: resuming with' in caplog.text
  found = running.all_bytes(own.workdir.root / 'scores')
  grand = np.frombuffer(before['run_00/step_44/grand.npy'][128:], np.float32)
  np.testing.assert_allclose(_scores(own, 0, 44, 'grand'), grand, rtol=1e-5)
  assert found.keys() == before.keys()


def test_going_on_uses_the_chunks_it_was_stopped_in(own, monkeypatch):
  folder = own.workdir.scores(1, 44)
  (folder / 'grand.npy').unlink()
  calls = iter([False, False, True])
  with monkeypatch.context() as patch:
    patch.setattr(stopping, 'stop_requested', lambda: next(calls))
    with pytest.raises(Preempted):
      score.run(_with(own, score__gradient_batch_size=48))
  assert int(artifacts.read_npz(folder / 'partial.npz')['chunk_size']) == 48
  sizes = []
  use = ScoringEngine.use_chunks_of

  def noted(self, chunk_size):
    use(self, chunk_size)
    sizes.append(self.chunk_size)

  monkeypatch.setattr(ScoringEngine, 'use_chunks_of', noted)
  score.run(_with(own, score__gradient_batch_size=64))
  assert sizes[-1] == 48
