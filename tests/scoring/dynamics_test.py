"""Tests of the dynamics' scores against what numpy makes of all visits."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.scoring import dynamics as scores
from datadiet.scoring import registry
from datadiet.training import dynamics as recorded

_NUM_EXAMPLES, _NUM_CLASSES, _NUM_EPOCHS = 12, 4, 9


@pytest.fixture(scope='module')
def visits():
  """logits float32[epoch, example, class] and labels; example 11 is not seen.

  Example 0 is never right, example 1 always.
  """
  rng = np.random.default_rng(0)
  labels = rng.integers(_NUM_CLASSES, size=_NUM_EXAMPLES).astype(np.int32)
  shape = (_NUM_EPOCHS, _NUM_EXAMPLES, _NUM_CLASSES)
  logits = rng.standard_normal(shape).astype(np.float32)
  logits[:, 0, labels[0]] = -5.0
  logits[:, 1, labels[1]] = 5.0
  return logits, labels


@pytest.fixture(scope='module')
def arrays(visits):
  """What a run would have recorded of these visits."""
  logits, labels = visits
  state = recorded.init_dynamics(_NUM_EXAMPLES)
  step = jax.jit(recorded.update_dynamics)
  rng = np.random.default_rng(1)
  for epoch in range(_NUM_EPOCHS):
    for batch in np.split(rng.permutation(_NUM_EXAMPLES - 1)[:10], 2):
      # Of the 11 examples, one is left out each epoch, as in the paper.
      state = step(
        state,
        batch.astype(np.int32),
        logits[epoch, batch],
        labels[batch],
        np.int32(epoch),
      )
  found = {
    field.name: np.asarray(getattr(state, field.name))
    for field in dataclasses.fields(state)
    if getattr(state, field.name) is not None
  }
  return {**found, 'step': _NUM_EPOCHS}


@pytest.fixture(scope='module')
def seen(visits):
  """By example, the epochs at which it was visited, as in `arrays`."""
  rng = np.random.default_rng(1)
  epochs = [[] for _ in range(_NUM_EXAMPLES)]
  for epoch in range(_NUM_EPOCHS):
    for index in rng.permutation(_NUM_EXAMPLES - 1)[:10]:
      epochs[index].append(epoch)
  return epochs


def _history(visits, seen, index):
  """correct, p_y and margin of one example at its visits, float64."""
  logits, labels = visits
  own = logits[seen[index], index].astype(np.float64)
  label = labels[index]
  probs = np.exp(own) / np.exp(own).sum(-1, keepdims=True)
  others = np.delete(own, label, -1)
  return (
    own.argmax(-1) == label,
    probs[:, label],
    own[:, label] - others.max(-1),
  )


def _check(name, arrays, visits, seen, expected):
  found = scores.score_of_dynamics(
    scores.DYNAMICS_SCORES[name].function, arrays
  )
  assert found.dtype == np.float32
  assert found.shape == (_NUM_EXAMPLES,)
  assert np.isnan(found[-1])  # Never seen: no score, not 'never learned'.
  for index in range(_NUM_EXAMPLES - 1):
    correct, confidence, margin = _history(visits, seen, index)
    np.testing.assert_allclose(
      found[index], expected(correct, confidence, margin), rtol=1e-5, atol=1e-6
    )


def test_forgetting(arrays, visits, seen):
  def expected(correct, confidence, margin):
    del confidence, margin
    if not correct.any():
      return len(correct) + 1
    return np.sum(correct[:-1] & ~correct[1:])

  _check('forgetting', arrays, visits, seen, expected)


def test_never_learned_ranks_above_all_and_is_finite(arrays):
  found = scores.score_of_dynamics(scores.forgetting, arrays)[:-1]
  assert found.argmax() == 0
  assert found[0] == arrays['visits'][0] + 1
  assert found[1] == 0
  never = scores.score_of_dynamics(scores.never_learned, arrays)[:-1]
  assert never[0] == 1 and never[1] == 0


def test_first_learned(arrays, visits, seen):
  found = scores.score_of_dynamics(scores.first_learned, arrays)[:-1]
  first = []
  for index in range(_NUM_EXAMPLES - 1):
    correct, *_ = _history(visits, seen, index)
    epochs = np.array(seen[index])[correct]
    first.append(epochs[0] if len(epochs) else -1)
  # Never right: the number of steps, an epoch each here.
  expected = np.where(np.array(first) < 0, _NUM_EPOCHS, first)
  np.testing.assert_array_equal(found, expected)
  assert found[0] == _NUM_EPOCHS


def test_never_learned_ranks_above_late_learned_in_the_mean_over_runs():
  runs = [[-1, 9, 8, 0], [-1, 0, -1, 1]]
  found = [
    scores.score_of_dynamics(
      scores.first_learned,
      {
        'first_correct_step': np.int32(first),
        'visits': np.full(4, 10),
        'step': 10,
      },
    )
    for first in runs
  ]
  assert np.mean(found, 0).tolist() == [10.0, 4.5, 9.0, 0.5]


def test_aum(arrays, visits, seen):
  _check('aum', arrays, visits, seen, lambda c, p, margin: margin.mean())


def test_correctness(arrays, visits, seen):
  _check('correctness', arrays, visits, seen, lambda c, p, m: c.mean())


def test_mean_confidence(arrays, visits, seen):
  _check('mean_confidence', arrays, visits, seen, lambda c, p, m: p.mean())


def test_variability(arrays, visits, seen):
  _check('variability', arrays, visits, seen, lambda c, p, m: p.std())


def test_accumulated_margin(visits, seen):
  logits, labels = visits
  recorders = registry.recorders_for(['accumulated_margin'])
  state = recorded.init_dynamics(
    _NUM_EXAMPLES,
    num_classes=_NUM_CLASSES,
    settings=recorded.DynamicsSettings(10, recorders),
  )
  for epoch in range(_NUM_EPOCHS):
    batch = [i for i in range(_NUM_EXAMPLES - 1) if epoch in seen[i]]
    batch = np.array(batch, np.int32)
    state = recorded.update_dynamics(
      state, batch, logits[epoch, batch], labels[batch], epoch, recorders
    )
  arrays = {
    name: np.asarray(value)
    for name, value in recorded.dynamics_arrays(state).items()
  }
  found = scores.score_of_dynamics(scores.accumulated_margin, arrays)
  assert np.isnan(found[-1])
  for index in range(_NUM_EXAMPLES - 1):
    own = logits[seen[index], index].astype(np.float64)
    probs = np.exp(own) / np.exp(own).sum(-1, keepdims=True)
    margin = probs[:, labels[index]] - np.delete(probs, labels[index], -1).max(
      -1
    )
    np.testing.assert_allclose(found[index], margin.mean(), atol=1e-6)


@pytest.fixture(scope='module', params=[3, 8])
def windowed(request, visits):
  """As `arrays`, with windows; of 8 visits some examples have too few."""
  logits, labels = visits
  recorders = registry.recorders_for(('dual', 'tdds'))
  settings = recorded.DynamicsSettings(request.param, recorders)
  state = recorded.init_dynamics(
    _NUM_EXAMPLES, num_classes=_NUM_CLASSES, settings=settings
  )
  step = jax.jit(
    functools.partial(recorded.update_dynamics, recorders=recorders)
  )
  rng = np.random.default_rng(1)
  for epoch in range(_NUM_EPOCHS):
    for batch in np.split(rng.permutation(_NUM_EXAMPLES - 1)[:10], 2):
      batch = batch.astype(np.int32)
      state = step(
        state, batch, logits[epoch, batch], labels[batch], np.int32(epoch)
      )
  arrays = {
    name: np.asarray(value)
    for name, value in recorded.dynamics_arrays(state).items()
  }
  return {**arrays, 'window': np.int32(request.param)}


def _windows(values, size):
  """All full windows; the one of all values where there are fewer."""
  if len(values) < size:
    return [values]
  return [values[i : i + size] for i in range(len(values) - size + 1)]


def test_windowed_deviations(windowed, visits, seen):
  size = int(windowed['window'])

  def dyn_unc(correct, confidence, margin):
    del correct, margin
    windows = _windows(confidence, size)
    return np.mean([np.std(window, ddof=1) for window in windows])

  def dual(correct, confidence, margin):
    del correct, margin
    windows = _windows(confidence, size)
    return np.mean([np.std(w, ddof=1) * (1 - np.mean(w)) for w in windows])

  if size == 8:
    assert (windowed['visits'][:-1] < size).any()
  _check('dyn_unc', windowed, visits, seen, dyn_unc)
  _check('dual', windowed, visits, seen, dual)


def test_tdds(windowed, visits, seen):
  logits, _ = visits
  size = int(windowed['window']) - 1
  found = scores.score_of_dynamics(scores.tdds, windowed)
  for index in range(_NUM_EXAMPLES - 1):
    own = logits[seen[index], index].astype(np.float64)
    probs = np.exp(own) / np.exp(own).sum(-1, keepdims=True)
    changes = np.sum(probs[1:] * np.log(probs[1:] / probs[:-1]), 1)
    expected = 0.0
    for window in _windows(changes, size):
      depth = np.linalg.norm(window - window.mean())
      expected = 0.9 * depth + 0.1 * expected
    np.testing.assert_allclose(found[index], expected, rtol=1e-4, atol=1e-5)


def test_what_was_not_recorded_is_said(arrays):
  with pytest.raises(DataDietError, match='run_00.* recorded no .*tdds needs'):
    scores.score_of_dynamics(scores.tdds, arrays, 'run_00')
