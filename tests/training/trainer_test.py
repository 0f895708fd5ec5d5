"""Tests datadiet.training.trainer: the same numbers on every mesh."""

import dataclasses
import functools
import gc
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import ConfigError
from datadiet.feeding.epochs import AllExamples
from datadiet.feeding.placement import Placements
from datadiet.models import MODELS
from datadiet.runtime import mesh as mesh_lib
from datadiet.scoring.engine import ScoringEngine
from datadiet.training.optimizer import OptimizerSettings, make_schedule
from datadiet.training.trainer import Trainer
from tests.training import small_runs

MESHES = [(4, 2), (2, 4), (1, 8), (4, 1)]
NUM_STEPS = 5


def make_trainer(slots, per_slot, num_runs=None, **changes):
  dataset = small_runs.small_dataset()
  plan = small_runs.small_plan(**changes)
  run_mesh = small_runs.run_mesh(slots, slots * per_slot)
  runs = range(num_runs or slots)
  jobs = small_runs.small_jobs('', runs, dataset, seed=plan.train.data_seed)
  return Trainer(dataset, plan, run_mesh), jobs


def train_steps(trainer, jobs, num_steps=NUM_STEPS):
  """The stacked state after some steps of a new wave."""
  state = trainer.init(jobs)
  keys = trainer.step_keys(jobs)
  blocks = trainer.index_blocks(jobs, 0)
  for _ in range(num_steps):
    state = trainer.run_steps(state, trainer.make_feed([next(blocks)]), keys, 1)
  return state


@functools.cache
def reference(run):
  """A run's state after `NUM_STEPS` on a single device."""
  trainer, jobs = make_trainer(1, 1, num_runs=run + 1)
  state = train_steps(trainer, jobs[run:])
  return mesh_lib.slot_to_host(state, 0)


def relative_difference(found, expected):
  return max(
    np.abs(a - b).max() / np.abs(b).max()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected))
  )


@pytest.mark.parametrize('shape', MESHES)
def test_parameters_agree_with_a_single_device_on_every_mesh(shape):
  trainer, jobs = make_trainer(*shape)
  state = train_steps(trainer, jobs)
  for slot in range(shape[0]):
    found = mesh_lib.slot_to_host(state, slot)
    expected = reference(slot)
    for part in ('params', 'batch_stats', 'opt_state'):
      pair = getattr(found, part), getattr(expected, part)
      assert relative_difference(*pair) < 1e-5, part
    for name in ('visits', 'num_correct', 'forgetting_events'):
      np.testing.assert_array_equal(
        getattr(found.dynamics, name), getattr(expected.dynamics, name)
      )
    if shape[1] == 1:  # A run on a device of its own: every bit.
      for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        np.testing.assert_array_equal(a, b)


def test_training_changes_parameters_and_runs_differ():
  trainer, jobs = make_trainer(1, 1)
  before = mesh_lib.slot_to_host(trainer.init(jobs), 0)
  kernels = [
    state.params['Dense_0']['kernel']
    for state in (reference(0), before, reference(1))
  ]
  assert relative_difference(kernels[0], kernels[1]) > 1e-2
  assert relative_difference(kernels[0], kernels[2]) > 1e-2


@pytest.mark.parametrize('shape', [(1, 8), (2, 4)])
def test_the_work_of_a_step_is_split_over_the_devices_of_a_slot(shape):
  trainer, _ = make_trainer(*shape)
  compiled = trainer.lower_steps().compile().as_text()
  batch, share = small_runs.BATCH_SIZE, small_runs.BATCH_SIZE // shape[1]
  # Images are read from the split, and normalised images and activations are
  # made, for a device's own share alone.
  made = re.findall(r'= (?:f32|bf16)\[(\d+),\d+,\d+,\d+\]', compiled)
  assert str(share) in made and str(batch) not in made
  height, width, channels = small_runs.small_dataset().image_shape
  assert f'u8[{share},{height},{width},{channels}]' in compiled
  assert f'u8[{batch},{height},{width},{channels}]' not in compiled
  convolutions = re.findall(r'= f32\[([\d,]+)\]\S* convolution\(', compiled)
  assert any(shape.startswith(f'{share},') for shape in convolutions)
  assert 'all-reduce' in compiled  # Gradients are over the whole batch.


def test_nothing_crosses_between_slots():
  trainer, jobs = make_trainer(4, 2)
  state = trainer.init(jobs)
  feed = trainer.make_feed([next(trainer.index_blocks(jobs, 0))])
  count = trainer.run_mesh.put(np.int32(1), trainer.run_mesh.replicated)
  keys = trainer.step_keys(jobs)
  compiled = trainer._steps.lower(
    state, feed, keys, count, trainer._placement.resident
  ).compile()
  lines = [
    line
    for line in compiled.as_text().splitlines()
    if re.search(r'(all-reduce|all-gather|all-to-all|permute)\S*\(', line)
  ]
  assert lines
  for line in lines:
    pairs = re.search(r'replica_groups=\{(\{[\d,{}]+\})\}', line)
    if pairs:
      groups = re.findall(r'[\d,]+', pairs[1].replace('},{', ' '))
      assert sorted(groups) == ['0,1', '2,3', '4,5', '6,7'], line
    else:
      assert 'replica_groups=[4,2]<=[8]' in line or 'source_target' in line


def test_the_order_of_examples_knows_no_devices():
  streams = []
  for slots, per_slot in ((1, 1), (1, 8), (2, 4)):
    trainer, jobs = make_trainer(slots, per_slot)
    blocks = trainer.index_blocks(jobs, 3)
    streams.append([next(blocks)[0] for _ in range(6)])
  for stream in streams[1:]:
    np.testing.assert_array_equal(stream, streams[0])
  # The first epoch has one step left, then each example once an epoch.
  epoch = np.concatenate(streams[0][1:5])
  assert sorted(epoch) == list(range(small_runs.NUM_TRAIN))


def test_one_compilation_serves_all_steps_runs_and_subsets(compilations):
  trainer, jobs = make_trainer(2, 1, num_runs=5)
  half = AllExamples(jobs[3].example_index[::2], seed=0, run=3)
  jobs[3] = dataclasses.replace(jobs[3], epochs=half)
  compiled = []
  for wave in (jobs[:2], jobs[2:4], [jobs[4], jobs[4]]):
    state = train_steps(trainer, wave, 2)
    state, meters = trainer.take_meters(state)
    trainer.evaluate(state)
    assert list(np.asarray(meters.count)) == [2 * small_runs.BATCH_SIZE] * 2
    compiled.append(compilations.count)
  assert compiled[0] > 3  # Initialisation, step, meters, evaluation.
  assert compiled == compiled[:1] * 3


def test_restored_states_go_on_without_compiling_again(compilations):
  trainer, jobs = make_trainer(2, 1)
  state = train_steps(trainer, jobs, 2)
  on_host = [mesh_lib.slot_to_host(state, slot) for slot in range(2)]
  keys = trainer.step_keys(jobs)
  feed = trainer.make_feed([next(trainer.index_blocks(jobs, 2))])
  expected = trainer.run_steps(state, feed, keys, 1)
  restored = trainer.put(on_host)
  before = compilations.count
  found = trainer.run_steps(restored, feed, keys, 1)
  assert compilations.count == before
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    np.testing.assert_array_equal(a, b)


def test_several_steps_a_call_are_the_single_steps(compilations):
  single, jobs = make_trainer(1, 1)
  several, _ = make_trainer(1, 1, steps_per_call=4)
  expected = train_steps(single, jobs)
  blocks = several.index_blocks(jobs, 0)
  keys = several.step_keys(jobs)
  state = several.init(jobs)
  compiled = []
  for count in (4, 1):  # The second call is padded to four.
    feed = several.make_feed([next(blocks) for _ in range(count)])
    state = several.run_steps(state, feed, keys, count)
    compiled.append(compilations.count)
  assert compiled[0] == compiled[1]
  assert int(state.step[0]) == NUM_STEPS
  for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(state.dynamics.visits, expected.dynamics.visits)


def test_on_gpus_a_loop_has_a_known_length_and_the_rest_are_single_steps(
  monkeypatch,
):
  single, jobs = make_trainer(1, 1)
  expected = train_steps(single, jobs)
  dynamic, _ = make_trainer(1, 1, steps_per_call=3)
  monkeypatch.setattr(mesh_lib.RunMesh, 'platform', 'gpu')
  counted, _ = make_trainer(1, 1, steps_per_call=3)
  trips = [
    re.findall(
      r'"known_trip_count":\{"n":"(\d+)"\}',
      trainer.lower_steps().compile().as_text(),
    )
    for trainer in (dynamic, counted)
  ]
  assert '3' not in trips[0] and '3' in trips[1]
  blocks, keys = counted.index_blocks(jobs, 0), counted.step_keys(jobs)
  state = counted.init(jobs)
  for count in (3, 2):  # The second call is padded to three.
    feed = counted.make_feed([next(blocks) for _ in range(count)])
    state = counted.run_steps(state, feed, keys, count)
  assert int(state.step[0]) == NUM_STEPS
  for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_pixels_on_the_host_give_the_same_bits():
  on_device, jobs = make_trainer(1, 1)
  on_host, _ = make_trainer(1, 1, placement='host')
  for a, b in zip(
    jax.tree.leaves(train_steps(on_host, jobs).params),
    jax.tree.leaves(train_steps(on_device, jobs).params),
  ):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('schedule', ['piecewise', 'linear', 'constant'])
def test_learning_rates_are_the_schedules_and_ask_no_device(schedule):
  settings = OptimizerSettings(schedule=schedule)
  trainer, _ = make_trainer(1, 1, optimizer=settings)
  expected = [float(make_schedule(settings, 10)(step)) for step in range(10)]
  # Device work would wait behind all training steps in flight.
  with jax.transfer_guard('disallow'):
    found = [trainer.learning_rate(step) for step in range(10)]
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_steps_take_the_memory_of_the_state_before():
  trainer, jobs = make_trainer(2, 1)
  before = trainer.init(jobs)
  feed = trainer.make_feed([next(trainer.index_blocks(jobs, 0))])
  keys = trainer.step_keys(jobs)
  after = trainer.run_steps(before, feed, keys, 1)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(after))


def test_training_and_scoring_share_one_copy_of_the_pixels():
  trainer, jobs = make_trainer(2, 1)
  del trainer
  dataset = small_runs.small_dataset()

  def copies():
    gc.collect()  # What other tests left behind.
    return sum(
      array.dtype == np.uint8 and array.nbytes == dataset.train.images.nbytes
      for array in jax.live_arrays()
    )

  before, placements = copies(), Placements()
  run_mesh = small_runs.run_mesh(2, 2)
  plan = small_runs.small_plan()
  first, second = (
    Trainer(dataset, plan, run_mesh, placements) for _ in range(2)
  )
  state = train_steps(first, jobs, 1)
  network = mesh_lib.slot_to_host(state, 0)
  for names in (('el2n',), ('grand',)):
    engine = ScoringEngine(
      dataset.train,
      small_runs.SmallNet(small_runs.NUM_CLASSES),
      names,
      mean=dataset.mean,
      std=dataset.std,
      chunk_size=16,
      mesh=mesh_lib.flat_mesh(jax.devices()[:2]),
      placements=placements,
    )
    variables = {'params': network.params, 'batch_stats': network.batch_stats}
    scores = engine.score(variables)
    assert np.isfinite(scores[names[0]]).all()
  assert copies() == before + 1
  train_steps(second, jobs, 1)
  assert copies() == before + 1


def test_seeds_are_told_apart():
  """model_seed sets the start alone, data_seed order and augmentation."""
  base, jobs = make_trainer(1, 1)
  model, _ = make_trainer(1, 1, model_seed=1)
  data, other_jobs = make_trainer(1, 1, data_seed=1)

  def start(trainer):
    return jax.tree.leaves(trainer.init(jobs).params)

  def order(trainer, jobs=jobs):
    return next(trainer.index_blocks(jobs, 0)).tolist()

  def augmentation(trainer):
    keys = trainer.step_keys(jobs)
    return {name: np.asarray(key).tolist() for name, key in keys.items()}

  same = [np.array_equal(a, b) for a, b in zip(start(base), start(model))]
  assert not all(same)
  for a, b in zip(start(base), start(data)):
    np.testing.assert_array_equal(a, b)
  assert order(base) == order(model) != order(data, other_jobs)
  assert augmentation(base) == augmentation(model) != augmentation(data)


@pytest.mark.parametrize('shape', [(1, 1), (1, 8)])
def test_evaluation_counts_every_test_example_once(shape):
  trainer, jobs = make_trainer(*shape)
  dataset = small_runs.small_dataset()
  state = train_steps(trainer, jobs)
  sums = trainer.evaluate(state)
  assert int(sums['count'][0].sum()) == small_runs.NUM_TEST
  host = mesh_lib.slot_to_host(state, 0)
  images = dataset.test.images.astype(np.float32) / 255
  logits = np.asarray(
    small_runs.SmallNet(small_runs.NUM_CLASSES).apply(
      {'params': host.params, 'batch_stats': host.batch_stats},
      (images - dataset.mean) / dataset.std,
    ),
    np.float64,
  )
  labels = dataset.test.labels
  own = logits[np.arange(len(labels)), labels]
  losses = np.log(np.exp(logits).sum(1)) - own
  np.testing.assert_allclose(sums['loss'], [losses.sum()], rtol=1e-5)
  right = logits.argmax(1) == labels
  for label in range(small_runs.NUM_CLASSES):
    assert int(sums['correct'][0, label]) == right[labels == label].sum()
    assert int(sums['count'][0, label]) == (labels == label).sum()


class NormWithoutAxis(nn.Module):
  """A model of somebody's who trains on one device."""

  num_classes: int
  width: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    hidden = nn.BatchNorm(not train)(images.reshape(len(images), -1))
    return nn.Dense(self.num_classes)(hidden)


@pytest.mark.parametrize('shape', [(1, 8), (2, 4), (4, 1)])
def test_batch_statistics_of_a_part_of_a_batch_are_refused(shape, monkeypatch):
  monkeypatch.setitem(MODELS, 'other', NormWithoutAxis)
  if shape[1] == 1:
    trainer, jobs = make_trainer(*shape, model='other')
    assert train_steps(trainer, jobs, 1).step.shape == (4,)
  else:
    with pytest.raises(ConfigError, match='has no attribute axis_name'):
      make_trainer(*shape, model='other')


@pytest.mark.parametrize('shape', [(1, 8), (2, 4)])
def test_devices_of_a_slot_exchange_gradients_and_logits_alone(shape):
  trainer, _ = make_trainer(*shape)
  lowered = trainer.lower_steps()
  kinds = {'all_reduce', 'all_gather', 'all_to_all', 'collective_permute'}
  found = {
    kind: re.findall(rf'stablehlo.{kind}', lowered.as_text()) for kind in kinds
  }
  assert len(found['all_gather']) == 4  # losses, logits, labels, indices
  assert found['all_reduce']
  assert not found['all_to_all'] and not found['collective_permute']
  compiled = lowered.compile().as_text()
  gathered = re.findall(r'= \w+\[([\d,]+)\]\S* all-gather', compiled)
  sizes = {np.prod([int(n) for n in dims.split(',')]) for dims in gathered}
  assert max(sizes) <= small_runs.BATCH_SIZE * small_runs.NUM_CLASSES
