"""Charts of runs: accuracy against the fraction kept, and training curves."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from datadiet.reporting.charts import as_spec, scheme, values
from datadiet.reporting.summary import FULL, SCORING_RUNS

# What is drawn of a history: column -> (its name in the page, its factor).
CURVES = {
  'test_accuracy': ('test accuracy (%)', 100),
  'train_accuracy': ('train accuracy (%)', 100),
  'test_loss': ('test loss', 1),
  'train_loss': ('train loss', 1),
  'learning_rate': ('learning rate', 1),
}
# With fewer points than these, of the run that has most, a curve says little.
_MIN_POINTS = 3
# Points a training curve is thinned to.
_CURVE_POINTS = 60


def series_name(row: dict) -> str:
  """What one line of the accuracy chart is called: policy, score, options.

  Args:
    row: of `summary["accuracy"]`.
  """
  parts = [row['policy'] or 'unknown policy']
  if row['score']:
    parts.append(row['score'])
  if row['step'] is not None:
    parts.append(f'step {row["step"]}')
  if row['class_balanced']:
    parts.append('balanced')
  parts += [f'{name} {value}' for name, value in row['options'].items()]
  return ', '.join(parts)


def accuracy_chart(accuracy: list[dict]) -> dict | None:
  """Test accuracy against the fraction kept, with error bars.

  Args:
    accuracy: `summary['accuracy']`.

  Returns:
    The specification, or None if nothing was retrained.
  """
  rows: list[dict[str, Any]] = []
  full: list[dict[str, Any]] = []
  for row in accuracy:
    if row['mean_accuracy'] is None or row['fraction'] is None:
      continue
    mean, std = 100 * row['mean_accuracy'], 100 * (row['std_accuracy'] or 0)
    drawn = {
      'series': FULL if row['selection'] == FULL else series_name(row),
      'selection': row['selection'],
      'kept': 100 * row['fraction'],
      'accuracy': mean,
      'low': mean - std,
      'high': mean + std,
      'runs': row['num_runs'],
    }
    (full if row['selection'] == FULL else rows).append(drawn)
  if not rows:
    return None
  x = alt.X('kept:Q', title='training data kept (%)')
  x = x.scale(zero=False, padding=12)
  y = alt.Y('accuracy:Q', title='test accuracy (%)').scale(zero=False)
  # Symbols are otherwise as pale as the band of the full data.
  legend = alt.Legend(symbolType='circle', symbolOpacity=1)
  color = alt.Color('series:N', title=None, legend=legend)
  color = color.scale(**scheme(row['series'] for row in [*full, *rows]))
  tooltip = [
    'selection:N',
    alt.Tooltip('kept:Q', format='.1f'),
    alt.Tooltip('accuracy:Q', format='.2f'),
    'runs:Q',
  ]
  subsets = alt.Chart(values(rows))
  layers = [
    subsets.mark_line().encode(x=x, y=y, color=color),
    subsets.mark_rule(strokeWidth=2).encode(
      x=x, y=alt.Y('low:Q'), y2='high:Q', color=color
    ),
    subsets.mark_point(filled=True, size=70, opacity=1).encode(
      x=x, y=y, color=color, tooltip=tooltip
    ),
  ]
  if full:
    reference = alt.Chart(values(full))
    line = {'y': y, 'color': color, 'tooltip': tooltip}
    layers.insert(0, reference.mark_rule(strokeDash=[6, 4]).encode(**line))
    band = {'y': alt.Y('low:Q'), 'y2': 'high:Q', 'color': color}
    layers.insert(0, reference.mark_rect(opacity=0.15).encode(**band))
  text = 'Test accuracy against the fraction of the training data kept.'
  return as_spec(alt.layer(*layers), text)


def curves_chart(history: pd.DataFrame, steps: list[int]) -> dict | None:
  """Training curves of all runs, the scored steps marked.

  The page sets the parameter `metric`, one of `curve_names`.

  Args:
    history: as `Results.history`.
    steps: that were scored.

  Returns:
    The specification, or None if no run has a row yet.
  """
  rows = [
    row
    for (group, run), table in history.groupby(['group', 'run'])
    for metric in CURVES
    for row in _curve(table, metric, group.removeprefix('retrain/'), int(run))
  ]
  names = curve_names(history)
  if not names:
    return None
  metric = alt.param(name='metric', value=names[0])
  lines = (
    alt.Chart(values(rows))
    .transform_filter('datum.metric == metric')
    # A run of one row is a point.
    .mark_line(point=alt.OverlayMarkDef(size=30), strokeWidth=1.5)
    .encode(
      x=alt.X('step:Q', title='step').scale(zero=True, nice=False),
      y=alt.Y('value:Q', title=None).scale(zero=False, padding=8),
      color=alt.Color('group:N', title=None).scale(
        **scheme(row['group'] for row in rows)
      ),
      detail='run:N',
      tooltip=['group:N', 'run:O', 'step:Q', 'metric:N', 'value:Q'],
    )
  )
  marks = alt.Chart(values([{'scored': step} for step in steps]))
  marks = marks.mark_rule(strokeDash=[4, 4]).encode(
    x=alt.X('scored:Q', title='step'), tooltip='scored:Q'
  )
  text = 'Training curves of all runs; scored steps are marked.'
  return as_spec(alt.layer(marks, lines).add_params(metric), text)


def curve_names(history: pd.DataFrame) -> list[str]:
  """The curves there is anything of, by their names in the page.

  The first is shown first: accuracy in test or, while that has hardly been
  measured, in training.
  """
  points = {
    metric: history.groupby(['group', 'run'])[metric].count().max()
    for metric in CURVES
    if len(history) and history[metric].notna().any()
  }
  order = sorted(points, key=lambda metric: points[metric] < _MIN_POINTS)
  return [CURVES[metric][0] for metric in order]


def _curve(table: pd.DataFrame, metric: str, name: str, run: int) -> list[dict]:
  """At most `_CURVE_POINTS` points of one run, both ends among them."""
  title, factor = CURVES[metric]
  known = table[['step', metric]].dropna()
  at = np.linspace(0, len(known) - 1, min(len(known), _CURVE_POINTS))
  return [
    {
      'group': SCORING_RUNS if name == 'train' else name,
      'run': run,
      'metric': title,
      'step': int(step),
      'value': float(f'{factor * value:.5g}'),
    }
    for step, value in known.iloc[at.astype(int)].itertuples(index=False)
    if np.isfinite(value)
  ]
