"""Renders report/index.html from its Jinja2 template."""

from typing import Any

import jinja2

from datadiet.reporting.results import Results
from datadiet.reporting.summary import accuracy_text, percent, points


def environment() -> jinja2.Environment:
  """The templates of this package; everything put into them is escaped."""
  jinja = jinja2.Environment(
    loader=jinja2.PackageLoader('datadiet.reporting'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  jinja.filters['percent'] = percent
  jinja.filters['points'] = points
  jinja.filters['accuracy'] = accuracy_text
  return jinja


def render_page(
  results: Results, summary: dict[str, Any], figures: list[dict[str, str]]
) -> str:
  """The page as HTML.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
    figures: from `write_figures`.
  """
  template = environment().get_template('index.html')
  return template.render(results=results, summary=summary, figures=figures)
