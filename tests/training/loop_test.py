"""Tests datadiet.training.loop: what runs leave, whatever interrupts them."""

import dataclasses
import threading

import jax
import numpy as np
import pytest

from datadiet.data.dataset import Split
from datadiet.errors import DataDietError
from datadiet.feeding.epochs import AllExamples
from datadiet.training import history, loop
from datadiet.training.history import read_history
from datadiet.training.trainer import Trainer
from datadiet.workdir import artifacts, checkpoints
from tests.training import small_runs
from tests.training.history_test import Events
from tests.training.small_runs import assert_same_outcome, outcome, train

NUM_STEPS = 10


def steps_trained(monkeypatch):
  """A list that grows by the step count of each dispatch."""
  run_steps, found = Trainer.run_steps, []

  def recorded(self, state, feed, keys, num_steps):
    found.append(num_steps)
    return run_steps(self, state, feed, keys, num_steps)

  monkeypatch.setattr(Trainer, 'run_steps', recorded)
  return found


def test_a_run_leaves_what_the_design_says(tmp_path, uninterrupted):
  train(tmp_path)
  run = tmp_path / 'run_00'
  assert_same_outcome(run, uninterrupted)
  assert checkpoints.full_steps(run) == [8, 10]
  assert checkpoints.variable_steps(run) == [0, 3, 8, 10]
  rows = read_history(run)
  assert [int(row['step']) for row in rows] == [2, 4, 5, 6, 8, 10]
  tested = [row['step'] for row in rows if row['test_accuracy']]
  assert tested == ['5', '10']
  assert [float(row['epoch']) for row in rows[:2]] == [0.5, 1.0]
  # The rate of the step that was taken: dropped at steps 3, 6 and 8 of 10.
  rates = [float(row['learning_rate']) for row in rows]
  np.testing.assert_allclose(
    rates, [0.1, 0.02, 0.02, 0.02, 0.004, 0.0008], rtol=1e-6
  )
  names = sorted(path.name for path in (run / 'dynamics').iterdir())
  assert names == ['step_0.npz', 'step_10.npz', 'step_3.npz']
  dynamics = artifacts.read_npz(run / 'dynamics' / 'step_10.npz')
  assert dynamics['visits'].sum() == NUM_STEPS * small_runs.BATCH_SIZE
  manifest = artifacts.read_manifest(run)
  assert manifest['keep_steps'] == [0, 3, 10]
  for name in ('test_accuracy', 'test_loss'):
    assert manifest[name] == float(rows[-1][name])


def test_event_files_get_the_settings_and_each_log_point(tmp_path, monkeypatch):
  pytest.importorskip('clu', reason='clu is not installed')
  events = Events()
  monkeypatch.setattr(history, '_event_writer', lambda folder: events)
  train(tmp_path, num_steps=2, hparams={'model.name': 'small_net'})
  assert events.hparams == [{'model.name': 'small_net'}]
  assert [step for step, found in events.scalars if 'train_loss' in found]


def test_networks_of_step_0_and_later_differ(tmp_path):
  train(tmp_path, num_steps=4)
  kernels = [
    checkpoints.load_variables(tmp_path / 'run_00', step)['params']['Dense_0']
    for step in (0, 3, 4)
  ]
  for earlier, later in zip(kernels, kernels[1:]):
    assert np.mean(earlier['kernel'] != later['kernel']) > 0.9


def test_a_finished_run_is_left_alone(tmp_path, monkeypatch):
  train(tmp_path, num_steps=2)
  monkeypatch.setattr(loop, 'Trainer', None)  # Any use of it would fail.
  train(tmp_path, num_steps=2)


def test_runs_side_by_side_equal_runs_one_after_the_other(tmp_path):
  train(tmp_path / 'after', (0, 1), slots=1, devices=1)
  train(tmp_path / 'beside', (0, 1), slots=2, devices=2)
  outcomes = []
  for run in ('run_00', 'run_01'):
    outcomes.append(outcome(tmp_path / 'after' / run))
    assert_same_outcome(tmp_path / 'beside' / run, outcomes[-1])
  assert outcomes[0]['history.csv'] != outcomes[1]['history.csv']


def test_waves_with_a_padded_last_one_compile_once(
  tmp_path, compilations, uninterrupted, monkeypatch
):
  at_start = []
  initial_state = loop._WaveLoop._initial_state

  def recorded(self):
    at_start.append(compilations.count)
    return initial_state(self)

  monkeypatch.setattr(loop._WaveLoop, '_initial_state', recorded)
  train(tmp_path, (0, 1, 2), slots=2, devices=2)
  at_start.append(compilations.count)
  # Two waves: everything was compiled in the first one.
  assert len(at_start) == 3
  assert at_start[0] < at_start[1] == at_start[2]
  # Whoever trains beside it, and on which device, a run is the same.
  assert_same_outcome(tmp_path / 'run_00', uninterrupted)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'run_00',
    'run_01',
    'run_02',
  ]
  train(tmp_path / 'alone', (2,))
  assert_same_outcome(
    tmp_path / 'run_02', outcome(tmp_path / 'alone' / 'run_02')
  )


def test_several_steps_a_call_stop_at_events_and_give_the_same(
  tmp_path, monkeypatch, uninterrupted
):
  counts = steps_trained(monkeypatch)
  train(tmp_path, steps_per_call=4)
  # Events are due at 2, 3, 4, 5, 6, 8 and 10.
  assert counts == [2, 1, 1, 1, 1, 2, 2]
  found = outcome(tmp_path / 'run_00')
  assert found.keys() == uninterrupted.keys()
  rows = [
    [float(value or 'nan') for value in row.split(',')]
    for text in (found, uninterrupted)
    for row in text['history.csv'].decode().splitlines()[1:]
  ]
  half = len(rows) // 2
  np.testing.assert_allclose(rows[:half], rows[half:], rtol=1e-4)


def test_steps_a_call_are_cut_only_at_events(tmp_path, monkeypatch):
  counts = steps_trained(monkeypatch)
  changes = {
    'log_every_steps': 10,
    'eval_every_steps': 10,
    'checkpoint_every_steps': 6,
    'keep_steps': (),
  }
  train(tmp_path, steps_per_call=4, **changes)
  assert counts == [4, 2, 4]


def break_loss_at(monkeypatch, step):
  """Makes the parameters of run 1's slot NaN before a step."""
  run_steps, taken = Trainer.run_steps, [0]

  def broken(self, state, feed, keys, num_steps):
    if taken[0] == step:
      factor = np.ones(self.run_mesh.num_slots, np.float32)
      factor[-1] = np.nan
      factor = self.run_mesh.put(factor, self.run_mesh.by_run)
      with jax.transfer_guard('allow'):
        bias = state.params['Dense_0']['bias'] * factor[:, None]
      state.params['Dense_0']['bias'] = bias
    taken[0] += num_steps
    return run_steps(self, state, feed, keys, num_steps)

  monkeypatch.setattr(Trainer, 'run_steps', broken)


def test_a_loss_that_is_not_finite_names_step_and_run(tmp_path, monkeypatch):
  break_loss_at(monkeypatch, 6)
  with pytest.raises(DataDietError) as error:
    train(tmp_path, (0, 1), slots=2, devices=2)
  message = str(error.value)
  assert 'train/run_01' in message and 'from step 6 on' in message
  assert 'config.train.learning_rate' not in message
  assert 'config.optimizer.learning_rate' in message
  assert '\n' not in message
  for run in ('run_00', 'run_01'):
    assert checkpoints.full_steps(tmp_path / run) == [3, 4]
    state = checkpoints.load_variables(tmp_path / run, 4)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))
    assert artifacts.read_manifest(tmp_path / run) is None


def test_between_events_nothing_comes_from_the_device_unasked(
  tmp_path, monkeypatch
):
  """The transfer guard is on where steps are dispatched."""
  run_steps = Trainer.run_steps

  def careless(self, state, feed, keys, num_steps):
    # An implicit transfer to the device, such as of a Python number.
    keys = jax.tree.map(lambda key: key + np.uint32(1), keys)
    return run_steps(self, state, feed, keys, num_steps)

  monkeypatch.setattr(Trainer, 'run_steps', careless)
  with pytest.raises(Exception, match='Disallowed host-to-device transfer'):
    train(tmp_path)


def reads_before_steps(tmp_path, monkeypatch, eval_every_steps):
  """How many arrays the host had read at each dispatch; grows.

  The CPU's arrays lie in the host's memory, where the transfer guard sees
  nothing: the reads themselves are counted. Those of arrays on one device alone
  can go by its buffer, which nobody sees: train on two.
  """
  reads, steps = [], []
  run_steps = Trainer.run_steps
  array_type = type(jax.numpy.zeros(1))
  value = array_type._value

  def counted_steps(self, *inputs):
    steps.append(len(reads))
    return run_steps(self, *inputs)

  def counted_value(self):
    reads.append(self.shape)
    return value.fget(self)

  monkeypatch.setattr(Trainer, 'run_steps', counted_steps)
  monkeypatch.setattr(array_type, '_value', property(counted_value))
  train(
    tmp_path,
    (0, 1),
    slots=2,
    devices=2,
    log_every_steps=3,
    checkpoint_every_steps=10,
    eval_every_steps=eval_every_steps,
    keep_steps=(),
  )
  monkeypatch.undo()
  return reads, steps


def test_only_log_points_read_from_the_device(tmp_path, monkeypatch):
  reads, steps = reads_before_steps(tmp_path, monkeypatch, 10)
  assert reads and len(steps) == NUM_STEPS
  # Nothing is read but after the sixth and ninth: the row of the point before.
  assert steps[0] == steps[5] < steps[6] == steps[8] < steps[9] < len(reads)


def test_nothing_waits_for_an_evaluation_but_the_next_log_point(
  tmp_path, monkeypatch
):
  _, steps = reads_before_steps(tmp_path, monkeypatch, 6)
  # At the sixth the row of the third is read, not that of the evaluation.
  row, row_of_evaluation = steps[6] - steps[5], steps[9] - steps[8]
  assert 0 < row < row_of_evaluation
  assert steps[0] == steps[5] and steps[6] == steps[8]


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
  run_steps, save = Trainer.run_steps, checkpoints.CheckpointWriter._save
  num_steps, trained_on = [0], threading.Event()

  def counted(self, *inputs):
    num_steps[0] += 1
    if num_steps[0] == 6:
      trained_on.set()
    return run_steps(self, *inputs)

  def late(self, step, state):
    assert trained_on.wait(30), f'step {step} is saved before more are trained'
    save(self, step, state)

  monkeypatch.setattr(Trainer, 'run_steps', counted)
  monkeypatch.setattr(checkpoints.CheckpointWriter, '_save', late)
  train(tmp_path, checkpoint_every_steps=4, keep_steps=())
  assert checkpoints.full_steps(tmp_path / 'run_00') == [8, 10]


def test_the_loop_waits_for_no_step_but_older_ones(tmp_path, monkeypatch):
  run_steps, waits = Trainer.run_steps, []

  def counted(self, *inputs):
    monkeypatch.setattr(jax, 'block_until_ready', waits.append)
    return run_steps(self, *inputs)

  monkeypatch.setattr(Trainer, 'run_steps', counted)
  train(tmp_path)
  # Those are `InFlight`'s to wait for, one by one.
  assert waits == []


def test_indices_are_sent_by_a_thread_of_their_own(tmp_path, monkeypatch):
  make_feed, threads = Trainer.make_feed, []

  def recorded(self, steps, **rest):
    threads.append(threading.current_thread())
    return make_feed(self, steps, **rest)

  monkeypatch.setattr(Trainer, 'make_feed', recorded)
  train(tmp_path, num_steps=4)
  assert len(threads) == 4 and threading.main_thread() not in threads


def test_a_subset_smaller_than_a_batch_is_refused(tmp_path):
  dataset = small_runs.small_dataset()
  job = small_runs.small_jobs(tmp_path, (0,), dataset)[0]
  job = dataclasses.replace(
    job, epochs=AllExamples(np.arange(15), seed=0, run=0)
  )
  with pytest.raises(DataDietError) as error:
    loop.train_jobs(
      [job],
      dataset,
      small_runs.small_plan(),
      small_runs.run_mesh(1, 1),
      name='test run',
    )
  assert str(error.value) == (
    'train/run_00: a subset of 15 examples is smaller than a batch of 16'
  )
  assert not job.folder.exists()


def test_dynamics_of_a_subset_are_indexed_by_the_whole_split(tmp_path):
  dataset = small_runs.small_dataset()
  job = small_runs.small_jobs(tmp_path, (0,), dataset)[0]
  kept = np.arange(1, small_runs.NUM_TRAIN, 2)
  job = dataclasses.replace(job, epochs=AllExamples(kept, seed=0, run=0))
  loop.train_jobs(
    [job],
    dataset,
    small_runs.small_plan(num_steps=4),
    small_runs.run_mesh(1, 1),
    name='test run',
  )
  found = artifacts.read_npz(job.folder / 'dynamics' / 'step_4.npz')
  np.testing.assert_array_equal(found['trained_on'], kept)
  # Two epochs of two batches.
  np.testing.assert_array_equal(found['visits'], [0, 2] * 32)


def test_runs_of_other_data_are_refused(tmp_path):
  train(tmp_path, num_steps=2)
  dataset = small_runs.small_dataset()
  images = dataset.train.images.copy()
  images[0, 0, 0, 0] ^= 1
  other = small_runs.make_dataset(
    'other',
    Split(images, dataset.train.labels, dataset.train.ids),
    dataset.test,
    dataset.class_names,
  )
  with pytest.raises(DataDietError) as error:
    train(tmp_path, dataset=other, num_steps=2)
  assert dataset.fingerprint in str(error.value)
  assert other.fingerprint in str(error.value)


def test_a_run_folder_that_cannot_be_written_is_one_sentence(tmp_path):
  # A file where the folder should be: root may write anywhere else.
  (tmp_path / 'run_00').write_text('')
  with pytest.raises(DataDietError) as error:
    train(tmp_path, num_steps=2)
  assert 'run_00' in str(error.value) and '\n' not in str(error.value)


def test_bfloat16_trains_and_keeps_float32(tmp_path):
  train(tmp_path, dtype='bfloat16', num_steps=2, keep_steps=())
  variables = checkpoints.load_variables(tmp_path / 'run_00', 2)
  leaves = jax.tree.leaves(variables)
  assert {leaf.dtype for leaf in leaves} == {np.dtype('float32')}
