"""Tests of the plan: its counts, and that docs/scaling.md has its tables."""

from pathlib import Path

import pytest

from benchmarks import plan

DOCS = Path(__file__).parents[2] / 'docs'


@pytest.mark.parametrize('table', plan.TABLES, ids=lambda table: table.__name__)
def test_the_page_has_what_the_program_prints(table):
  assert table() in (DOCS / 'scaling.md').read_text()


def test_counts_are_the_published_ones():
  """ResNet-50 has 4.1e9 multiply-adds, and 25.6e6 params with its 2e6 dense."""
  assert plan.RESNET50.layers == 53
  assert plan.RESNET50.flop / 2 == pytest.approx(4.1e9, rel=0.01)
  assert plan.RESNET50.params == pytest.approx(23.5e6, rel=0.01)
  # A stem, four stages of two blocks, three projections.
  assert plan.RESNET18.layers == 1 + 16 + 3


def test_the_published_rate_comes_out():
  assert plan.images_per_second(plan.A100) == pytest.approx(23_000, rel=0.05)
