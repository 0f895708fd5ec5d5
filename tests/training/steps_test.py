"""Tests of the loss that is minimised."""

import jax
import numpy as np
import pytest

from datadiet.training.steps import per_example_loss, smoothed


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.6])
def test_a_share_of_the_label_is_spread_over_all_classes(smoothing):
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 3, (20, 7)).astype(np.float32)
  labels = rng.integers(0, 7, 20)
  target = (1 - smoothing) * np.eye(7)[labels] + smoothing / 7
  expected = -(target * jax.nn.log_softmax(logits)).sum(-1)
  found = smoothed(per_example_loss(logits, labels), logits, smoothing)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
