"""Renders report/index.html: one file that needs no other and no network."""

import base64
import dataclasses
import functools
import importlib.resources
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np
import vl_convert

from datadiet.data.dataset import Dataset
from datadiet.errors import DataDietError
from datadiet.reporting import analysis, differences, grid, sections
from datadiet.reporting.actions import Action
from datadiet.reporting.audit import read_audit
from datadiet.reporting.material import Material, Values
from datadiet.reporting.payload import add_thumbnails, build_payload, pack
from datadiet.reporting.rounding import round_payload
from datadiet.reporting.summary import (
  accuracy_text,
  extra_tests,
  percent,
  points,
)
from datadiet.reporting.thumbnails import Thumbnails, make_thumbnails
from datadiet.results import Results
from datadiet.results.inspection import read_inspection
from datadiet.workdir import storage

# The page is kept below 25 MB, so that it opens fast and can be mailed.
MAX_BYTES = 24_000_000
# Of the page, kept for thumbnails of the hardest and easiest, at least.
_SHARE_OF_IMAGES = 0.1
_MATERIAL = [field.name for field in dataclasses.fields(Material)]
_SCRIPTS = (
  'store.js',
  'gallery.js',
  'decisions.js',
  'beside.js',
  'review.js',
  'map.js',
  'charts.js',
  'start.js',
)


def render_page(
  results: Results,
  summary: dict[str, Any],
  dataset: Dataset | None = None,
  *,
  actions: Sequence[Action] = (),
  max_bytes: int = MAX_BYTES,
) -> str:
  """The page as HTML.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
    dataset: gives the images; without it there are none.
    actions: what to do, from `find_actions`.
    max_bytes: size of the page; thumbnails are made to fit, and scores are
      rounded where there were no room for any. Where that is not enough, the
      page is larger; it says both.

  Raises:
    DataDietError: if an artifact is damaged or of other data.
  """
  audit, inspection = read_audit(results), read_inspection(results)
  payload: dict[str, Any] | None = None
  arrays: dict[str, str] = {}
  if results.steps:
    payload, arrays = build_payload(results, audit, inspection, actions=actions)
  primary, secondary = primary_scores(results)
  if payload and secondary == primary and len(payload['scores']) > 1:
    names = [score['name'] for score in payload['scores']]
    secondary = names[names.index(primary) - 1]
  material = Material(
    results,
    summary,
    audit,
    dataset,
    inspection,
    actions,
    payload,
    primary,
    secondary,
    _originals(results),
  )
  values = {
    name: section.context(material)
    for name, section in sections.SECTIONS.items()
  }
  taken = len(_fill(material, values, arrays).encode())
  room = max_bytes
  if payload and dataset is not None:
    room -= int(_SHARE_OF_IMAGES * max_bytes)
  if payload and taken > room:
    payload, rounded = round_payload(payload, arrays, taken - room)
    taken += sum(map(len, rounded.values())) - sum(map(len, arrays.values()))
    arrays = rounded
  sheets: Sequence[bytes] = ()
  if payload and dataset is not None:
    thumbnails = _thumbnails(results, dataset, primary, max_bytes - taken)
    payload, arrays = add_thumbnails(payload, arrays, thumbnails)
    sheets = thumbnails.sheets
  material = dataclasses.replace(material, payload=payload)
  too_many = taken if taken > max_bytes else None
  return _fill(material, values, arrays, too_many, sheets)


def render_grid(
  results: Results, summary: dict[str, Any], comparison: list[dict[str, Any]]
) -> str:
  """The page of the grid as HTML.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
    comparison: from `build_grid`.
  """
  return (
    _environment()
    .get_template('grid.html')
    .render(
      title=results.title or 'unfinished data',
      grid=comparison,
      level=grid.LEVEL,
      min_runs=differences.MIN_RUNS,
      num_tested=results.dataset.get('num_test_examples'),
      extra_tests=extra_tests(summary),
      styles=_source('report.css'),
    )
  )


def _originals(results: Results) -> str:
  """The URI of the folder of the images, if it is on this machine."""
  settings = results.config.get('dataset', {})
  data_dir = str(settings.get('data_dir', ''))
  if settings.get('name') != 'image_folder' or storage.is_remote(data_dir):
    return ''
  folder = Path(data_dir).expanduser().absolute()
  return f'{folder.as_uri()}/' if folder.is_dir() else ''


def _fill(
  material: Material,
  values: dict[str, Values],
  arrays: dict[str, str],
  too_many_bytes: int | None = None,
  sheets: Sequence[bytes] = (),
) -> str:
  """Fills the templates of all sections, and puts them into the page's."""
  environment = _environment()
  specs = {
    name: spec
    for shown in values.values()
    for name, spec in shown.get('charts', {}).items()
    if spec is not None
  }
  common = {field: getattr(material, field) for field in _MATERIAL} | {
    'arrays': arrays,
    'specs': specs,
    'too_many_bytes': too_many_bytes,
  }
  shown = []
  for name, section in sections.SECTIONS.items():
    template = _template(environment, section)
    content = markupsafe.Markup(template.render(common | values[name]))
    shown.append({'name': name, 'title': section.title, 'content': content})
  return environment.get_template('index.html').render(
    common,
    sections=shown,
    sheets=[base64.b64encode(sheet).decode() for sheet in sheets],
    styles=_source('report.css'),
    vega=markupsafe.Markup(_vega_runtime()),
    scripts=markupsafe.Markup('\n').join(map(_source, _SCRIPTS)),
  )


def check_sections() -> None:
  """Checks that the page can have all sections, before there are results.

  Raises:
    DataDietError: names the section, and what is wrong with it.
  """
  environment = _environment()
  for name, section in sections.SHIPPED.items():
    if sections.SECTIONS.get(name) is not section:
      raise DataDietError(
        f'a plugin replaces the section {name!r} of the report; allowed: a '
        'name that no section has'
      )
  for name, section in sections.SECTIONS.items():
    if not re.fullmatch(r'[A-Za-z][\w-]*', name):
      raise DataDietError(
        f'the section {name!r} of the report cannot be linked to; allowed: a '
        'name of letters, digits, - and _'
      )
    try:
      _template(environment, section)
    except jinja2.TemplateError as error:
      raise DataDietError(
        f'the template of the section {name!r} of the report cannot be read: '
        f'{" ".join(str(error).split())}'
      ) from error


def _template(
  environment: jinja2.Environment, section: sections.Section
) -> jinja2.Template:
  is_text = any(mark in section.template for mark in '{<')
  load = environment.from_string if is_text else environment.get_template
  return load(section.template)


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
  """Thumbnails that take no more of the page, with their places."""
  values = results.scores[primary].to_numpy()
  order = np.argsort(values, kind='stable')
  # A place takes six bytes at most. Little where few of many have one, or where
  # images are not tiny.
  most = 6 * len(order)
  for places in (min(most, max_bytes // 20), most):
    # Base64 takes a third more.
    room = max(0, int((max_bytes - places) * 0.74))
    made = make_thumbnails(dataset.train.images, order, room)
    taken = sum(map(len, made.sheets)) / 0.74 + len(pack(made.slot))
    if not made.sheets or taken <= max_bytes:
      break
  return made


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
  # Without a snippet it is the usual one, which the library's types do not say.
  bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
  # Inside a script element these would end it, or start a comment.
  return bundle.replace('</script', r'<\/script').replace('<!--', r'<\!--')


def _breakable(name: str) -> markupsafe.Markup:
  """A name of words and underscores, which may be broken between them."""
  return markupsafe.escape(name).replace('_', markupsafe.Markup('_<wbr>'))


def _decimal(value: float | None, digits: int) -> str:
  if value is None or math.isnan(value):
    return '-'
  return f'{value:.{digits}f}'


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
