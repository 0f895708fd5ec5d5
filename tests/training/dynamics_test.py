"""Tests datadiet.training.dynamics against loops over visits in numpy."""

import functools

import jax
import numpy as np
import pytest

from datadiet.training.dynamics import (
  DynamicsSettings,
  dynamics_arrays,
  init_dynamics,
  logit_margin,
  stored_arrays,
  update_dynamics,
)
from datadiet.training.recorders import CHANGES, TDDS_DECAY, WINDOWS

NUM_EXAMPLES, NUM_CLASSES, BATCH_SIZE, NUM_STEPS = 12, 4, 5, 60
WINDOW = 4
RECORDERS = (WINDOWS, CHANGES)
update = jax.jit(update_dynamics)
update_all = jax.jit(functools.partial(update_dynamics, recorders=RECORDERS))


def make_visits():
  """(example_index, logits, labels) a step; the last two examples never."""
  generator = np.random.default_rng(1)
  labels = generator.integers(0, NUM_CLASSES, NUM_EXAMPLES).astype(np.int32)
  steps = []
  for _ in range(NUM_STEPS):
    index = generator.choice(NUM_EXAMPLES - 2, BATCH_SIZE, replace=False)
    logits = generator.normal(size=(BATCH_SIZE, NUM_CLASSES))
    # Example 0 is never right, example 1 always.
    logits[index == 0, labels[0]] = -9.0
    logits[index == 1, labels[1]] = 9.0
    steps.append(
      (index.astype(np.int32), logits.astype(np.float32), labels[index])
    )
  return steps


@functools.cache
def recorded():
  settings = DynamicsSettings(WINDOW, RECORDERS)
  dynamics = init_dynamics(
    NUM_EXAMPLES, num_classes=NUM_CLASSES, settings=settings
  )
  for step, visit in enumerate(make_visits()):
    dynamics = update_all(dynamics, *visit, np.int32(step))
  return jax.tree.map(np.asarray, dynamics)


@functools.cache
def visits_of():
  """By example: steps, right or wrong, margins, probabilities, p_y."""
  found = {
    example: {'step': [], 'correct': [], 'margin': [], 'probs': [], 'p_y': []}
    for example in range(NUM_EXAMPLES)
  }
  for step, (index, logits, labels) in enumerate(make_visits()):
    for example, z, label in zip(index, logits.astype(np.float64), labels):
      probs = np.exp(z) / np.exp(z).sum()
      mine = found[example]
      mine['step'].append(step)
      mine['correct'].append(bool(z.argmax() == label))
      mine['margin'].append(z[label] - np.delete(z, label).max())
      mine['probs'].append(probs)
      mine['p_y'].append(probs[label])
  return found


def expect(compute):
  return np.array([compute(visits_of()[e]) for e in range(NUM_EXAMPLES)])


def forgetting_events(visits):
  events, was_right = 0, False
  for is_right in visits['correct']:
    events += was_right and not is_right
    was_right = is_right
  return events


def test_counts_are_those_of_a_loop():
  dynamics = recorded()
  assert dynamics.forgetting_events.max() > 2
  for name, compute in {
    'visits': lambda v: len(v['step']),
    'num_correct': lambda v: sum(v['correct']),
    'forgetting_events': forgetting_events,
    'last_correct': lambda v: int((v['correct'] or [False])[-1]),
    'first_correct_step': lambda v: (
      v['step'][v['correct'].index(True)] if any(v['correct']) else -1
    ),
  }.items():
    np.testing.assert_array_equal(
      getattr(dynamics, name), expect(compute), err_msg=name
    )


def test_never_learned_and_never_seen_can_be_told_apart():
  dynamics = recorded()
  never_learned = (dynamics.num_correct == 0) & (dynamics.visits > 0)
  assert list(np.flatnonzero(never_learned)) == [0]
  assert list(np.flatnonzero(dynamics.visits == 0)) == [10, 11]
  assert dynamics.forgetting_events[1] == 0


def test_what_is_stored_leaves_the_ring_buffers_out():
  settings = DynamicsSettings(window=WINDOW, recorders=RECORDERS)
  dynamics = init_dynamics(
    NUM_EXAMPLES, num_classes=NUM_CLASSES, settings=settings
  )
  found = stored_arrays(dynamics, WINDOW, np.arange(3))
  left_out = {'windows.confidence', 'changes.probs', 'changes.divergence'}
  assert {*dynamics_arrays(dynamics)} - {*found} == left_out
  assert {*found} - {*dynamics_arrays(dynamics)} == {'window', 'trained_on'}
  assert found['window'] == WINDOW and list(found['trained_on']) == [0, 1, 2]


def test_means_and_variability_are_those_of_numpy():
  dynamics = recorded()
  seen = dynamics.visits > 0
  for found, compute in (
    (dynamics.margin_mean, lambda v: np.mean(v['margin'] or [0.0])),
    (dynamics.confidence_mean, lambda v: np.mean(v['p_y'] or [0.0])),
    (dynamics.confidence_m2, lambda v: np.var(v['p_y'] or [0]) * len(v['p_y'])),
  ):
    expected = expect(compute)
    assert np.ptp(expected[seen]) > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_variability_stays_exact_over_hundreds_of_confident_visits():
  generator = np.random.default_rng(2)
  margins = generator.uniform(7.0, 8.0, 400)
  dynamics = init_dynamics(1)
  for step, margin in enumerate(margins):
    logits = np.float32([[margin, 0.0]])
    dynamics = update(dynamics, np.int32([0]), logits, np.int32([0]), step)
  p_y = 1 / (1 + np.exp(-margins.astype(np.float32).astype(np.float64)))
  # p_y is near 1, where float32 has steps of 6e-8: the sum of squares minus
  # the squared sum would have lost everything.
  np.testing.assert_allclose(
    np.sqrt(dynamics.confidence_m2 / 400), [np.std(p_y)], rtol=1e-3
  )


def windows(visits):
  p_y = visits['p_y']
  return [p_y[i : i + WINDOW] for i in range(len(p_y) - WINDOW + 1)]


def test_windows_are_summed_as_soon_as_they_are_full():
  windows_of = recorded().recorded['windows']
  np.testing.assert_allclose(
    windows_of['std_sum'],
    expect(lambda v: sum(np.std(w, ddof=1) for w in windows(v))),
    rtol=1e-4,
  )
  np.testing.assert_allclose(
    windows_of['dual_sum'],
    expect(
      lambda v: sum(np.std(w, ddof=1) * (1 - np.mean(w)) for w in windows(v))
    ),
    rtol=1e-4,
  )


def tdds(visits):
  probs, score = np.array(visits['probs']), 0.0
  divergence = [
    np.sum(now * np.log(now / before)) for before, now in zip(probs, probs[1:])
  ]
  size = WINDOW - 1
  if 0 < len(divergence) < size:  # One window, of all there is.
    depth = np.linalg.norm(np.array(divergence) - np.mean(divergence))
    return TDDS_DECAY * depth
  for end in range(size, len(divergence) + 1):
    window = np.array(divergence[end - size : end])
    depth = np.linalg.norm(window - window.mean())
    decay = TDDS_DECAY
    score = decay * depth + (1 - decay) * score
  return score


def test_prediction_changes_are_the_papers():
  expected = expect(tdds)
  assert np.ptp(expected) > 0.1
  np.testing.assert_allclose(
    recorded().recorded['changes']['score'], expected, rtol=1e-4, atol=1e-5
  )


def test_indices_past_the_end_change_nothing():
  dynamics = init_dynamics(4)
  logits = np.float32([[2.0, 1.0], [5.0, 1.0], [7.0, 1.0]])
  padded = update(
    dynamics, np.int32([2, 4, 5]), logits, np.zeros(3, np.int32), np.int32(0)
  )
  alone = update(
    dynamics, np.int32([2]), logits[:1], np.zeros(1, np.int32), np.int32(0)
  )
  for a, b in zip(jax.tree.leaves(padded), jax.tree.leaves(alone)):
    np.testing.assert_array_equal(a, b)
  assert list(padded.visits) == [0, 0, 1, 0]


def test_examples_outside_the_batch_keep_every_bit():
  before = recorded()
  index = np.int32([3, 7])
  logits = np.ones((2, NUM_CLASSES), np.float32)
  labels = np.zeros(2, np.int32)
  after = update_all(before, index, logits, labels, np.int32(99))
  others = np.delete(np.arange(NUM_EXAMPLES), index)
  for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before)):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a)[others], b[others])
  assert list(after.visits[index]) == list(before.visits[index] + 1)


@pytest.mark.parametrize(
  'label, margin', [(0, 3.0 - 1.0), (1, 1.0 - 3.0), (2, -5.0 - 3.0)]
)
def test_logit_margin_leaves_the_label_out_of_the_maximum(label, margin):
  logits = np.float32([[3.0, 1.0, -5.0]])
  assert logit_margin(logits, np.int32([label])).item() == margin


def test_basics_cost_29_bytes_an_example_and_no_buffer_twice():
  dynamics = init_dynamics(1000)
  leaves = jax.tree.leaves(dynamics)
  assert sum(leaf.nbytes for leaf in leaves) == 29_000
  assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
  assert set(dynamics_arrays(dynamics)) == {
    'visits',
    'last_correct',
    'forgetting_events',
    'num_correct',
    'first_correct_step',
    'margin_mean',
    'confidence_mean',
    'confidence_m2',
  }


def test_nested_arrays_are_named_by_their_path():
  names = set(dynamics_arrays(recorded()))
  assert {'windows.std_sum', 'windows.dual_sum', 'changes.score'} <= names
