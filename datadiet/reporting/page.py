"""Renders report/index.html: one file that needs no other and no network."""

import base64
import functools
import importlib.resources
import math
from typing import Any

import jinja2
import markupsafe
import numpy as np
import pandas as pd
import vl_convert

from datadiet.data.dataset import Dataset
from datadiet.reporting import analysis, charts, sections
from datadiet.reporting.audit import Audit, confusion, read_audit
from datadiet.reporting.payload import build_payload
from datadiet.reporting.redundancy import Duplicates
from datadiet.reporting.summary import accuracy_text, percent, points
from datadiet.reporting.thumbnails import Thumbnails, make_thumbnails
from datadiet.results import Results

# The page is kept below 25 MB, so that it opens fast and can be mailed.
MAX_BYTES = 24_000_000
_SECTIONS = {
  'summary': 'Summary',
  'scores': 'Scores',
  'examples': 'Examples',
  'audit': 'Label audit',
  'classes': 'Classes',
  'cost': 'Cost',
  'redundancy': 'Redundancy',
}
_SCRIPTS = ('store.js', 'gallery.js', 'charts.js', 'start.js')


def render_page(
  results: Results,
  summary: dict[str, Any],
  dataset: Dataset | None = None,
  duplicates: Duplicates | None = None,
  *,
  max_bytes: int = MAX_BYTES,
) -> str:
  """The page as HTML.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
    dataset: gives the images; without it there are none.
    duplicates: of the images, if they were searched for.
    max_bytes: size of the page; thumbnails are made to fit. Where scores alone
      are more, the page is larger, and says so.

  Raises:
    DataDietError: if an artifact is damaged or of other data.
  """
  audit = read_audit(results)
  context = _context(results, summary, audit)
  context |= sections.redundancy_context(dataset, duplicates)
  template = _environment().get_template('index.html')
  text = template.render(context)
  # What the images may take is what the rest leaves, less base64's third.
  taken = len(text.encode())
  if taken > max_bytes:
    context['too_many_bytes'] = taken
    text = template.render(context)
  if context['payload'] is None or dataset is None:
    return text
  taken += 6 * len(results.scores)  # The thumbnails' places, packed.
  thumbnails = _thumbnails(
    results, dataset, context['primary'], int((max_bytes - taken) * 0.74)
  )
  payload, arrays = build_payload(results, audit, thumbnails)
  context |= {
    'payload': payload,
    'arrays': arrays,
    'sheets': [base64.b64encode(s).decode() for s in thumbnails.sheets],
  }
  return template.render(context)


def _context(
  results: Results, summary: dict[str, Any], audit: Audit | None
) -> dict[str, Any]:
  """What the templates are filled with, but for all that is of images."""
  primary, secondary = primary_scores(results)
  stability = analysis.run_stability(results)
  correlations = analysis.rank_correlations(results)
  data_map = analysis.data_map(results)
  payload, arrays = None, {}
  if results.steps:
    payload, arrays = build_payload(results, audit)
    names = [score['name'] for score in payload['scores']]
    if secondary == primary and len(names) > 1:
      secondary = names[names.index(primary) - 1]
  tables = (stability, correlations, data_map)
  return {
    'results': results,
    'summary': summary,
    'sections': list(_SECTIONS),
    'section_titles': _SECTIONS,
    'primary': primary,
    'secondary': secondary,
    'payload': payload,
    'arrays': arrays,
    'sheets': [],
    'too_many_bytes': None,
    'curves': charts.CURVES,
    'styles': _source('report.css'),
    'vega': markupsafe.Markup(_vega_runtime()),
    'scripts': markupsafe.Markup('\n').join(map(_source, _SCRIPTS)),
    'specs': _specs(results, summary, audit, *tables),
    'correlations': correlations,
    'data_map_step': data_map.attrs.get('step'),
    **sections.summary_context(results, summary),
    **sections.score_context(results, payload, primary, stability),
    **sections.audit_context(results, audit),
    **sections.class_context(results),
    'cost': analysis.cost(results, summary),
  }


def primary_scores(results: Results) -> tuple[str, str]:
  """The score that examples are ordered by at first, and one beside it.

  These are what selections read, or else the first ones; '' where there are
  none, and twice the same where there is one.
  """
  names = analysis.score_columns(results.scores)
  used = {selection.score for selection in results.selections.values()}
  names.sort(key=lambda name: name not in used)
  return (names[0], names[min(1, len(names) - 1)]) if names else ('', '')


def _thumbnails(
  results: Results, dataset: Dataset, primary: str, max_bytes: int
) -> Thumbnails:
  values = results.scores[primary].to_numpy()
  order = np.argsort(values, kind='stable')
  return make_thumbnails(dataset.train.images, order, max(0, max_bytes))


def _specs(
  results: Results,
  summary: dict[str, Any],
  audit: Audit | None,
  stability: pd.DataFrame,
  correlations: pd.DataFrame,
  data_map: pd.DataFrame,
) -> dict[str, dict]:
  """Name -> Vega-Lite specification of the charts that can be drawn."""
  names = results.class_names
  specs = {
    'accuracy': charts.accuracy_chart(summary['accuracy']),
    'curves': charts.curves_chart(results.history, results.steps),
  }
  if results.steps:
    specs['histogram'] = charts.histogram_chart()
    specs['density'] = charts.density_chart()
    specs['correlation'] = charts.correlation_chart(correlations)
    if not data_map.empty:
      specs['data-map'] = charts.density_chart()
    if len(stability):
      specs['stability'] = charts.stability_chart(stability)
    if results.selections:
      shares = analysis.class_shares(results)
      text = 'Share of each class that is kept.'
      chart = charts.class_chart(shares, names, 'kept', text)
      specs['class-share'] = chart
  if audit is not None and (counts := confusion(audit, len(names))).any():
    specs['confusion'] = charts.confusion_chart(counts, names)
  return {name: spec for name, spec in specs.items() if spec is not None}


def _environment() -> jinja2.Environment:
  """The templates of this package; everything put into them is escaped."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('datadiet.reporting'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters.update(
    accuracy=accuracy_text,
    breakable=_breakable,
    decimal=_decimal,
    duration=_duration,
    percent=percent,
    points=points,
    thousands=_thousands,
  )
  return environment


def _source(name: str) -> markupsafe.Markup:
  """A file of templates/ as it is."""
  folder = importlib.resources.files('datadiet.reporting') / 'templates'
  return markupsafe.Markup((folder / name).read_text(encoding='utf-8'))


@functools.cache
def _vega_runtime() -> str:
  """Vega, Vega-Lite and Vega-Embed as one script without imports."""
  bundle = vl_convert.javascript_bundle()
  # Inside a script element these would end it, or start a comment.
  return bundle.replace('</script', r'<\/script').replace('<!--', r'<\!--')


def _breakable(name: str) -> markupsafe.Markup:
  """A name of words and underscores, which may be broken between them."""
  return markupsafe.escape(name).replace('_', markupsafe.Markup('_<wbr>'))


def _decimal(value: float | None, digits: int) -> str:
  unknown = value is None or math.isnan(value)
  return '-' if unknown else f'{value:.{digits}f}'


def _thousands(value: float | None) -> str:
  return '-' if value is None else f'{value:,.0f}'


def _duration(seconds: float | None) -> str:
  if seconds is None:
    return '-'
  if seconds < 60:
    return f'{seconds:.1f} s'
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours} h {minutes} min' if hours else f'{minutes} min {seconds} s'
