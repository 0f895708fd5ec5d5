"""Tests that the charts' specifications compile and show what they should."""

import numpy as np
import pandas as pd
import pytest
import vl_convert

from datadiet.reporting import analysis, charts, run_charts
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results


def _rows(spec: dict, layer: int | None = None) -> list[dict]:
  part = spec if layer is None else spec['layer'][layer]
  data = part.get('data') or spec['data']
  if 'values' in data:
    return data['values']
  return spec['datasets'][data['name']]


@pytest.fixture
def results(workdir):
  return load_results(workdir)


def test_all_charts_compile(results):
  table = analysis.class_shares(results)
  correlations = analysis.rank_correlations(results)
  specs = [
    run_charts.accuracy_chart(build_summary(results)['accuracy']),
    charts.histogram_chart(),
    charts.density_chart(),
    charts.correlation_chart(correlations),
    charts.correlation_chart(correlations.iloc[:4, :4]),
    charts.stability_chart(analysis.run_stability(results)),
    run_charts.curves_chart(results.history, results.steps),
    charts.class_chart(table, results.class_names, 'kept', 'text'),
    charts.confusion_chart(np.eye(3, dtype=int), results.class_names),
  ]
  for spec in specs:
    assert spec['description']
    assert 'marks' in vl_convert.vegalite_to_vega(spec)


def test_the_accuracy_chart_has_error_bars(results):
  spec = run_charts.accuracy_chart(build_summary(results)['accuracy'])
  (full,) = _rows(spec, 0)
  assert full['high'] - full['low'] == pytest.approx(0.4)
  rows = _rows(spec, 2)
  assert len(rows) == 4
  hardest = rows[0]
  assert hardest['series'] == 'keep_max, el2n, step 60'
  assert hardest['kept'] == pytest.approx(50)
  assert hardest['accuracy'] == pytest.approx(95.2)
  assert hardest['high'] - hardest['low'] == pytest.approx(0.4)
  assert run_charts.accuracy_chart([]) is None


def test_curves_are_thinned_but_keep_both_ends(results):
  steps = np.arange(10, 5001, 10)
  history = pd.DataFrame(
    {'group': 'train', 'run': 0, 'step': steps, 'train_loss': 1 / steps}
  )
  for name in set(run_charts.CURVES) - {'train_loss'}:
    history[name] = np.nan
  rows = _rows(run_charts.curves_chart(history, [20]), 1)
  shown = [row['step'] for row in rows]
  assert (shown[0], shown[-1], len(shown)) == (10, 5000, 60)
  assert {row['metric'] for row in rows} == {'train loss'}
  assert run_charts.curves_chart(history[:0], []) is None


def test_undefined_correlations_are_left_empty():
  correlations = pd.DataFrame({'a': [1.0, np.nan], 'b': [np.nan, 1.0]})
  correlations.index = ['a', 'b']
  rows = _rows(charts.correlation_chart(correlations), 0)
  assert [row['rho'] for row in rows] == [1.0, None, None, 1.0]


def test_no_colour_comes_twice_before_twenty(results):
  (row, *_) = build_summary(results)['accuracy'][1:]
  for number, expected in ((10, None), (11, 'tableau20')):
    rows = [
      row | {'selection': f'keep_max_60_{n}', 'options': {'part': n}}
      for n in range(number)
    ]
    color = run_charts.accuracy_chart(rows)['layer'][0]['encoding']['color']
    assert color['scale'].get('scheme') == expected


def test_curves_are_in_percent_and_begin_with_one_that_says_something():
  history = pd.DataFrame(
    {'group': 'train', 'run': 0, 'step': [10, 20, 30], 'train_loss': 1.0}
  )
  history['train_accuracy'] = [0.2, 0.4, 0.5]
  history['test_accuracy'] = [np.nan, np.nan, 0.45]
  for name in {*run_charts.CURVES} - {*history.columns}:
    history[name] = np.nan
  names = run_charts.curve_names(history)
  assert names[0] == 'train accuracy (%)'
  # What was never measured is no choice.
  assert set(names) == {'train accuracy (%)', 'test accuracy (%)', 'train loss'}
  rows = _rows(run_charts.curves_chart(history, []), 1)
  shown = [row['value'] for row in rows if row['metric'] == names[0]]
  assert shown == [20.0, 40.0, 50.0]
  history['test_accuracy'] = [0.2, 0.3, 0.45]
  assert run_charts.curve_names(history)[0] == 'test accuracy (%)'
  assert run_charts.curve_names(history[:0]) == []


def test_stability_is_drawn_from_zero(results):
  spec = charts.stability_chart(analysis.run_stability(results))
  for layer in spec['layer']:
    assert layer['encoding']['x']['scale']['domain'] == [0.0, 1.0]


def test_labels_of_axes_do_not_run_into_each_other(results):
  spec = run_charts.curves_chart(results.history, results.steps)
  assert spec['config']['axis']['labelOverlap'] == 'greedy'
