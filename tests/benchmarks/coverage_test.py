"""Tests the benchmark of coverage at a small size."""

import argparse

from benchmarks import coverage


def test_the_table_has_a_line_for_each_size(capsys):
  options = argparse.Namespace(
    policies=['craig'], sizes=[60, 80], deepcore='', limit=60.0
  )
  coverage.table(options)
  lines = capsys.readouterr().out.splitlines()
  assert lines[2:4] == ['| policy | N | seconds | MB |', '| --- ' * 4 + '|']
  assert [line.split(' | ')[:2] for line in lines[4:]] == [
    ['| craig', '60'],
    ['| craig', '80'],
  ]


def test_what_takes_too_long_is_cut_off():
  line = coverage._line('k_center', 2000, limit=1e-3)
  assert line['kept'] == [] and line['bytes'] > 1e6


def test_examples_are_right_more_often_than_not():
  inputs = coverage.make_inputs(500)
  right = inputs.pred_probs.argmax(1) == inputs.labels
  assert 0.5 < right.mean() < 1
  assert coverage._gradients(inputs).shape == (500, 513 * 10)
