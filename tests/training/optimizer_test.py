"""Tests datadiet.training.optimizer against SGD written out in numpy."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from datadiet.errors import DataDietError
from datadiet.training.optimizer import (
  SCHEDULES,
  OptimizerSettings,
  make_optimizer,
  make_schedule,
  schedule_options,
)

PAPER = OptimizerSettings()
HORIZON = 78_000


def rates(settings, steps, horizon=HORIZON):
  schedule = make_schedule(settings, horizon)
  return np.array([float(schedule(step)) for step in steps])


def test_the_papers_schedule_drops_at_epochs_60_120_and_160():
  steps_per_epoch = 390
  boundaries = [60 * steps_per_epoch, 120 * steps_per_epoch, 62_400]
  steps = [0, *(b + offset for b in boundaries for offset in (-1, 0)), 77_999]
  expected = [0.1, 0.1, 0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008]
  np.testing.assert_allclose(rates(PAPER, steps), expected, rtol=1e-6)


def _power(settings, horizon, *, power, floor=0.0):
  return optax.polynomial_schedule(
    settings.learning_rate, floor, power, horizon
  )


def test_a_schedule_has_parameters_of_its_own(monkeypatch):
  """One function and one entry; the rest is read from its signature."""
  monkeypatch.setitem(SCHEDULES, 'power', _power)
  assert [*schedule_options('power')] == ['power', 'floor']
  settings = dataclasses.replace(
    PAPER, schedule='power', options={'power': 2.0}
  )
  np.testing.assert_allclose(
    rates(settings, (0, 5, 10), 10), [0.1, 0.025, 0.0], rtol=1e-6, atol=1e-9
  )


@pytest.mark.parametrize(
  'schedule, options, message',
  [
    (
      'power',
      {},
      "'power' needs the option 'power'; its options: power, floor",
    ),
    (
      'power',
      {'power': 1, 'top': 2},
      "has no option 'top'; its options: power",
    ),
    ('cosine', {'power': 1}, "'cosine' has no option 'power'; .* none"),
  ],
)
def test_options_that_do_not_fit_are_refused(
  monkeypatch, schedule, options, message
):
  monkeypatch.setitem(SCHEDULES, 'power', _power)
  settings = dataclasses.replace(PAPER, schedule=schedule, options=options)
  with pytest.raises(DataDietError, match=message):
    make_schedule(settings, 10)


def test_piecewise_scales_with_its_horizon_and_factor():
  settings = dataclasses.replace(
    PAPER, decay_fractions=(0.5,), decay_factor=0.1
  )
  expected = [0.1] * 5 + [0.01] * 5
  np.testing.assert_allclose(
    rates(settings, range(10), 10), expected, rtol=1e-6
  )


def test_the_alternative_schedule_rises_and_falls_linearly():
  settings = OptimizerSettings(schedule='linear', learning_rate=0.2)
  steps = [0, 2_340, 4_680, (4_680 + 31_200) // 2, 31_200]
  expected = [0.0, 0.1, 0.2, 0.1, 0.0]
  np.testing.assert_allclose(
    rates(settings, steps, 31_200), expected, atol=1e-7
  )


def test_cosine_rises_linearly_and_falls_by_half_a_cosine():
  settings = OptimizerSettings(schedule='cosine', warmup_fraction=1 / 6)
  fall = np.arange(20, 121)
  expected = 0.05 * (1 + np.cos(np.pi * (fall - 20) / 100))
  np.testing.assert_allclose(rates(settings, fall, 120), expected, atol=1e-7)
  np.testing.assert_allclose(
    rates(settings, [0, 10], 120), [0.0, 0.05], atol=1e-8
  )


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_without_warm_up_the_first_step_has_the_peak_rate(schedule):
  settings = OptimizerSettings(schedule=schedule, warmup_fraction=0.0)
  np.testing.assert_allclose(rates(settings, [0]), [0.1], rtol=1e-6)


def numpy_sgd(params, gradients, *, decay, momentum, nesterov, rates):
  """L2 added to the gradient before momentum; PyTorch's Nesterov."""
  velocity = np.zeros_like(params)
  for gradient, rate in zip(gradients, rates):
    gradient = gradient + decay * params
    velocity = momentum * velocity + gradient
    step = gradient + momentum * velocity if nesterov else velocity
    params = params - rate * step
  return params


@pytest.mark.parametrize(
  'momentum, nesterov', [(0.9, True), (0.9, False), (0.0, True)]
)
def test_sgd_is_the_papers(momentum, nesterov):
  generator = np.random.default_rng(0)
  settings = dataclasses.replace(
    PAPER,
    weight_decay=0.03,
    momentum=momentum,
    nesterov=nesterov,
  )
  start = generator.normal(size=7)
  gradients = generator.normal(size=(10, 7))
  tx = make_optimizer(settings, 10)
  params = {'kernel': np.float32(start)}
  opt_state = tx.init(params)
  for gradient in gradients:
    grads = {'kernel': np.float32(gradient)}
    updates, opt_state = tx.update(grads, opt_state, params)
    params = optax.apply_updates(params, updates)
  expected = numpy_sgd(
    start,
    gradients,
    decay=0.03,
    momentum=momentum,
    nesterov=nesterov and momentum > 0,
    rates=[0.1] * 3 + [0.02] * 3 + [0.004] * 2 + [0.0008] * 2,
  )
  np.testing.assert_allclose(params['kernel'], expected, rtol=1e-5)


def test_every_parameter_decays_also_biases_and_scales():
  tx = make_optimizer(PAPER, HORIZON)
  params = {
    'kernel': np.ones((2, 2), np.float32),
    'bias': np.ones(2, np.float32),
    'scale': np.ones(2, np.float32),
  }
  zeros = jax.tree.map(np.zeros_like, params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  # 0.1 x 5e-4 x (1 + 0.9 of Nesterov).
  for leaf in jax.tree.leaves(updates):
    np.testing.assert_allclose(leaf, -9.5e-5, rtol=1e-5)


def test_adamw_decays_apart_from_the_gradient():
  settings = OptimizerSettings(
    name='adamw', schedule='constant', learning_rate=0.1, weight_decay=0.5
  )
  tx = make_optimizer(settings, HORIZON)
  params = {'kernel': np.float32([2.0])}
  grads = {'kernel': np.float32([123.0])}
  updates, _ = tx.update(grads, tx.init(params), params)
  # Adam's first step has length 1, whatever the gradient's.
  np.testing.assert_allclose(updates['kernel'], [-0.1 * (1 + 0.5 * 2)], 1e-5)
