"""The page's charts as Vega-Lite specifications, made with Altair.

What depends on a choice made in the page (which score, which class) is drawn
from the data source `TABLE`, which the page fills.
"""

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

TABLE = 'table'
_HEIGHT = 300
# Classes of which a confusion shows all, not only those that have suspects.
_MAX_CLASSES = 30


def values(rows: list[dict[str, Any]]) -> alt.InlineData:
  """Rows as the data of a chart."""
  return alt.InlineData(values=rows)


def as_spec(chart: Any, description: str, height: int = _HEIGHT) -> dict:
  """A chart as wide as its place in the page."""
  properties: dict[str, Any] = {
    'width': 'container',
    'description': description,
  }
  if height:
    properties['height'] = height
  spec = chart.properties(**properties).to_dict()
  # The page has its own colours, light and dark. Labels that would run into
  # each other are left out.
  spec['config'] = {'axis': {'labelOverlap': 'greedy', 'labelSeparation': 6}}
  return spec


def scheme(names: Iterable[str]) -> dict[str, Any]:
  """Twenty colours where the usual ten would come twice."""
  return {'scheme': 'tableau20'} if len(set(names)) > 10 else {}


def histogram_chart() -> dict:
  """Examples by score, stacked by class.

  Rows of `TABLE`: low, high (of a bin), count, class.
  """
  brush = alt.selection_interval(encodings=['x'], name='brush')
  chart = (
    alt.Chart(alt.NamedData(name=TABLE))
    .mark_bar(binSpacing=0)
    .encode(
      x=alt.X('low:Q', bin='binned', title='score'),
      x2='high:Q',
      y=alt.Y('count:Q', title='examples', stack='zero'),
      color=alt.Color('class:N', title=None, sort=None),
      tooltip=[
        'class:N',
        alt.Tooltip('low:Q', format='.4~g'),
        alt.Tooltip('high:Q', format='.4~g'),
        'count:Q',
      ],
    )
    .add_params(brush)
  )
  return as_spec(chart, 'Histogram of a score, by class.')


def density_chart() -> dict:
  """How examples spread over two scores; coloured by a third, or by count.

  Rows of `TABLE`: x_low, x_high, y_low, y_high, count, color.
  """
  brush = alt.selection_interval(name='brush')
  chart = (
    alt.Chart(alt.NamedData(name=TABLE))
    .mark_rect()
    .encode(
      x=alt.X('x_low:Q', bin='binned', title='x').scale(zero=False),
      x2='x_high:Q',
      y=alt.Y('y_low:Q', bin='binned', title='y').scale(zero=False),
      y2='y_high:Q',
      color=alt.Color('color:Q', title='color').scale(),
      tooltip=[
        alt.Tooltip('x_low:Q', format='.4~g'),
        alt.Tooltip('y_low:Q', format='.4~g'),
        'count:Q',
        alt.Tooltip('color:Q', format='.4~g'),
      ],
    )
    .add_params(brush)
  )
  return as_spec(chart, 'Density of the examples over two scores.', 360)


def correlation_chart(correlations: pd.DataFrame) -> dict:
  """Rank correlations as a heat map.

  Args:
    correlations: from `analysis.rank_correlations`.
  """
  names = list(correlations.columns)
  rows = [
    {'a': a, 'b': b, 'rho': None if np.isnan(rho) else float(rho)}
    for a, column in correlations.items()
    for b, rho in column.items()
  ]
  base = alt.Chart(values(rows)).encode(
    x=alt.X('a:N', sort=names, title=None, axis=alt.Axis(labelAngle=-45)),
    y=alt.Y('b:N', sort=names, title=None),
    tooltip=['a:N', 'b:N', alt.Tooltip('rho:Q', format='.3f')],
  )
  color = alt.Color('rho:Q', title='Spearman')
  color = color.scale(scheme='redblue', domain=[-1, 1])
  layers = [base.mark_rect().encode(color=color)]
  if len(names) <= 12:
    dark = alt.expr.abs(alt.datum.rho) > 0.6
    ink = alt.when(dark).then(alt.value('white')).otherwise(alt.value('black'))
    text = alt.Text('rho:Q', format='.2f')
    layers.append(base.mark_text(fontSize=11).encode(text=text, color=ink))
  height = max(120, 34 * len(names) if len(names) <= 12 else 20 * len(names))
  description = 'Spearman rank correlations between scores.'
  return as_spec(alt.layer(*layers), description, height)


def stability_chart(stability: pd.DataFrame) -> dict:
  """Rank correlation of every pair of runs, by score.

  Args:
    stability: from `analysis.run_stability`; not empty.
  """
  rows = stability.astype(object).where(stability.notna(), None)
  rows = rows.to_dict('records')
  order = list(dict.fromkeys(row['score'] for row in rows))
  # From 0, or differences between good scores would seem large.
  known = [r['spearman'] for r in rows if r['spearman'] is not None]
  scale = alt.Scale(domain=[min([0.0, *known]), 1.0], nice=False)
  x = alt.X('spearman:Q', title='Spearman between two runs', scale=scale)
  base = alt.Chart(values(rows)).encode(
    x=x, y=alt.Y('score:N', sort=order, title=None)
  )
  points = base.mark_point(size=50).encode(
    tooltip=[
      'score:N',
      'run_a:O',
      'run_b:O',
      alt.Tooltip('spearman:Q', format='.3f'),
      alt.Tooltip('overlap:Q', format='.3f'),
    ]
  )
  mean = base.mark_tick(thickness=3, size=16).encode(
    x=alt.X('mean(spearman):Q', scale=scale)
  )
  height = max(80, 28 * len(order))
  text = 'Rank correlation between pairs of runs, for each score.'
  return as_spec(points + mean, text, height)


def class_chart(
  table: pd.DataFrame, class_names: list[str], title: str, description: str
) -> dict:
  """A heat map of classes against selections.

  Args:
    table: float64[num_classes, num_selections], values in [0, 1].
    class_names: of the rows.
    title: of the colours.
    description: for screen readers.
  """
  rows = [
    {'class': name, 'selection': column, 'value': float(value)}
    for column in table.columns
    for name, value in zip(class_names, table[column], strict=True)
    if np.isfinite(value)
  ]
  names = list(table.columns)
  chart = (
    alt.Chart(values(rows))
    .mark_rect()
    .encode(
      x=alt.X(
        'selection:N', sort=names, title=None, axis=alt.Axis(labelAngle=-60)
      ),
      y=alt.Y('class:N', sort=class_names, title=None),
      color=alt.Color('value:Q', title=title),
      tooltip=[
        'class:N',
        'selection:N',
        alt.Tooltip('value:Q', format='.1%'),
      ],
    )
  )
  return as_spec(chart, description, max(100, 18 * len(class_names)))


def confusion_chart(counts: np.ndarray, class_names: list[str]) -> dict:
  """Suspected label errors by given and suggested label.

  Args:
    counts: int64[num_classes, num_classes].
    class_names: of both axes.
  """
  rows = [
    {
      'given': class_names[given],
      'suggested': class_names[suggested],
      'count': int(counts[given, suggested]),
    }
    for given, suggested in np.argwhere(counts)
  ]
  # All classes, unless that were too many to be read.
  domain: dict[str, Any] = {}
  if len(class_names) <= _MAX_CLASSES:
    domain['domain'] = class_names
  chart = (
    alt.Chart(values(rows))
    .mark_rect()
    .encode(
      x=alt.X('suggested:N', sort=class_names, title='suggested label').scale(
        **domain
      ),
      y=alt.Y('given:N', sort=class_names, title='given label').scale(**domain),
      color=alt.Color('count:Q', title='suspects'),
      tooltip=['given:N', 'suggested:N', 'count:Q'],
    )
  )
  text = 'Suspected label errors by given and suggested label.'
  return as_spec(chart, text, max(120, 20 * len(class_names)))
