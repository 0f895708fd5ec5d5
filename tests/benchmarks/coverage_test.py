"""Tests the benchmark of coverage at a small size."""

import argparse

from benchmarks import coverage


def test_the_table_has_a_line_for_each_size(capsys):
  options = argparse.Namespace(policies=['craig'], sizes=[60, 80], deepcore='')
  coverage.table(options)
  lines = capsys.readouterr().out.splitlines()
  assert lines[2:4] == ['| policy | N | seconds | MB |', '| --- ' * 4 + '|']
  assert [line.split(' | ')[:2] for line in lines[4:]] == [
    ['| craig', '60'],
    ['| craig', '80'],
  ]


def test_examples_are_right_more_often_than_not():
  inputs = coverage.make_inputs(500)
  right = inputs.pred_probs.argmax(1) == inputs.labels
  assert 0.5 < right.mean() < 1
  assert coverage._gradients(inputs).shape == (500, 513 * 10)
