"""Tests datadiet.training.plan: when something is due."""

import pytest

from tests.training.small_runs import small_plan


def events(plan, first_step=0):
  found, step = [], first_step
  while step < plan.num_steps:
    step = plan.next_event(step)
    found.append(step)
  return found


def test_events_are_all_steps_at_which_something_is_due():
  plan = small_plan(
    num_steps=20,
    log_every_steps=6,
    eval_every_steps=8,
    checkpoint_every_steps=9,
    keep_steps=(0, 5),
  )
  assert events(plan) == [5, 6, 8, 9, 12, 16, 18, 20]
  # Whatever the step a run goes on from.
  for first in range(20):
    expected = [step for step in events(plan) if step > first]
    assert events(plan, first) == expected


@pytest.mark.parametrize(
  'step, is_log, is_eval, is_checkpoint',
  [
    (1, False, False, False),
    (3, False, False, True),  # Kept.
    (4, True, False, True),
    (5, True, True, False),
    (6, True, False, False),
    (10, True, True, True),  # The last.
  ],
)
def test_what_is_due(step, is_log, is_eval, is_checkpoint):
  plan = small_plan()
  assert plan.is_log_step(step) == is_log
  assert plan.is_eval_step(step) == is_eval
  assert plan.is_checkpoint_step(step) == is_checkpoint


@pytest.mark.parametrize(
  'platform, every, expected',
  [
    *(('', 60, 1), ('cpu', 60, 1), ('tpu', 60, 10)),
    # As many as go into every interval: 300 and 60, 22, 7, 101.
    *(('gpu', 60, 30), ('gpu', 22, 22), ('gpu', 7, 10), ('gpu', 101, 10)),
  ],
)
def test_steps_a_call_follow_the_devices_that_train(platform, every, expected):
  intervals = {
    'log_every_steps': every,
    'eval_every_steps': 5 * every,
    'checkpoint_every_steps': 5 * every,
  }
  plan = small_plan(platform=platform, steps_per_call=0, **intervals)
  assert plan.steps_per_call == expected
  assert small_plan(platform=platform, steps_per_call=3).steps_per_call == 3
