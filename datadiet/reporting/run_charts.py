"""Charts of runs: accuracy against the fraction kept, and training curves."""

import altair as alt
import numpy as np
import pandas as pd

from datadiet.reporting.charts import as_spec, scheme, values
from datadiet.reporting.summary import FULL, SCORING_RUNS

CURVES = (
  'test_accuracy',
  'train_accuracy',
  'test_loss',
  'train_loss',
  'learning_rate',
)
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
  rows, full = [], []
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

  The page sets the parameter `metric`, one of `CURVES`.

  Args:
    history: as `Results.history`.
    steps: that were scored.
  """
  rows = []
  for (group, run), table in history.groupby(['group', 'run']):
    name = group.removeprefix('retrain/')
    name = SCORING_RUNS if name == 'train' else name
    for metric in CURVES:
      known = table[['step', metric]].dropna()
      at = np.linspace(0, len(known) - 1, min(len(known), _CURVE_POINTS))
      rows += [
        {
          'group': name,
          'run': int(run),
          'metric': metric,
          'step': int(step),
          'value': float(f'{value:.5g}'),
        }
        for step, value in known.iloc[at.astype(int)].itertuples(index=False)
        if np.isfinite(value)
      ]
  if not rows:
    return None
  metric = alt.param(name='metric', value=CURVES[0])
  lines = (
    alt.Chart(values(rows))
    .transform_filter('datum.metric == metric')
    .mark_line(point=alt.OverlayMarkDef(size=25), strokeWidth=1.5)
    .encode(
      x=alt.X('step:Q', title='step'),
      y=alt.Y('value:Q', title=None).scale(zero=False),
      color=alt.Color('group:N', title=None).scale(
        **scheme(row['group'] for row in rows)
      ),
      detail='run:N',
      tooltip=['group:N', 'run:O', 'step:Q', 'value:Q'],
    )
  )
  marks = alt.Chart(values([{'scored': step} for step in steps]))
  marks = marks.mark_rule(strokeDash=[4, 4]).encode(
    x='scored:Q', tooltip='scored:Q'
  )
  text = 'Training curves of all runs; scored steps are marked.'
  return as_spec(alt.layer(marks, lines).add_params(metric), text)
