"""Tests that a group that networks are bad at is found, and no other."""

import numpy as np

from datadiet.inspection.groups import bad_groups


def _embeddings(rng):
  centres = rng.normal(size=(12, 8))
  of = np.repeat(np.arange(12), 200)
  return (centres[of] + 0.1 * rng.normal(size=(2400, 8))), of


def test_a_planted_group_is_found_with_its_examples():
  rng = np.random.default_rng(0)
  embeddings, of = _embeddings(rng)
  is_right = rng.random(2400) < np.where(of == 5, 0.4, 0.9)
  found = bad_groups(embeddings.astype(np.float32), is_right)
  assert found
  for group in found:
    assert (of[group.members] == 5).mean() > 0.95
    assert abs(group.accuracy - is_right[group.members].mean()) < 1e-9
    assert len(group.examples) == 8
    assert {*group.examples} <= {*group.members}
    assert not is_right[group.examples].any()


def test_chance_makes_no_group():
  rng = np.random.default_rng(0)
  embeddings, _ = _embeddings(rng)
  is_right = rng.random(2400) < 0.8
  assert not bad_groups(embeddings.astype(np.float32), is_right)


def test_few_examples_make_no_group():
  assert not bad_groups(np.ones((15, 2), np.float32), np.arange(15) > 7)
