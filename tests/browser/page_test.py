"""Tests the report's page in a browser: loading, charts, looks."""

import re

import numpy as np
import pytest

from datadiet.reporting import write_report
from datadiet.workdir import artifacts
from tests.browser.conftest import Page
from tests.results import synthetic


def test_the_page_is_small_and_paints_soon(page, measured):
  page.open()
  # An empty list is false in Python: the page may be ready before it painted.
  paints = page.wait(
    'return performance.getEntriesByType("paint").map((e) => e.startTime)'
  )
  size = page.path.stat().length
  measured(
    f'{page.workdir.root.name}: {size / 1e6:.1f} MB, first paint after '
    f'{max(paints) / 1000:.2f} s, gallery after {page.seconds_to_ready:.2f} s'
  )
  assert size <= 25e6
  assert max(paints) < 2000
  assert page.errors() == []


def test_everything_comes_from_the_file_itself(page):
  page.open()
  page.draw_all()
  names = page.run(
    'return performance.getEntriesByType("resource").map((e) => e.name)'
  )
  assert [name for name in names if not name.startswith('data:')] == []


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [400, 1600])
def test_the_page_fits(page, screenshots, width, dark):
  page.open(width, dark)
  page.draw_all()
  assert page.run('return document.documentElement.scrollWidth') <= width
  background = page.run(
    'return getComputedStyle(document.body).backgroundColor'
  )
  assert (background == 'rgb(255, 255, 255)') != dark
  name = f'{page.workdir.root.name}_{width}_{"dark" if dark else "light"}.png'
  page.screenshot(screenshots / name)
  assert page.errors() == []


def test_every_chart_shows_marks(page):
  page.open()
  page.draw_all()
  charts = page.find_all('[data-chart]')
  assert len(charts) >= 6
  for chart in charts:
    # The chart's own: legends and axes have symbols and lines as well, every
    # view has a background, and what can be brushed an empty rectangle.
    num_marks = page.run(
      'return [...arguments[0].querySelectorAll(":is(.mark-rect, .mark-symbol, '
      '.mark-line, .mark-rule).role-mark > *")].filter((mark) => '
      'mark.getBBox().width || mark.getBBox().height).length',
      chart,
    )
    assert num_marks, chart.get_attribute('data-chart')


def test_numbers_are_shown_where_there_is_room_for_them(
  driver, downloads, tmp_path, dataset
):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  for step in synthetic.STEPS:
    names = tuple(synthetic.HIGHER_IS)[:6]
    synthetic.write_scores(workdir, dataset, step, names)
  write_report(workdir, None)
  page = Page(driver, workdir, downloads)
  for width, expected in ((1600, 'visible'), (400, 'hidden')):
    page.open(width)
    page.draw_all()
    found = page.run(
      'return getComputedStyle(document.querySelector('
      '"[data-chart=correlation] .mark-text.role-mark")).visibility'
    )
    assert found == expected


def _texts(page, chart: str) -> str:
  return page.run(
    'return document.querySelector(`[data-chart="${arguments[0]}"]`)'
    '.textContent',
    chart,
  )


def _choose(page, selector: str, value: str) -> None:
  page.run(
    'arguments[0].value = arguments[1];'
    'arguments[0].dispatchEvent(new Event("input", {bubbles: true}))',
    page.find(selector),
    value,
  )


def test_charts_follow_their_controls(page):
  page.open()
  page.draw_all()
  options = page.find_all('#histogram-score option')
  last = options[-1].get_attribute('textContent')
  value = options[-1].get_attribute('value')
  _choose(page, '#histogram-score', value)
  drawn = 'return document.querySelector(`[data-chart="${arguments[0]}"]`)'
  drawn += '.textContent.includes(arguments[1])'
  page.wait(drawn, 'histogram', last)
  _choose(page, '#density-y', value)
  page.wait(drawn, 'density', last)
  before = page.find('[data-chart="curves"] .mark-line path')
  before = before.get_attribute('d')
  _choose(page, '#curves-metric', 'train loss')
  page.wait(
    'const line = document.querySelector('
    '"[data-chart=curves] .mark-line path");'
    'return line && line.getAttribute("d") !== arguments[0]',
    before,
  )
  assert page.errors() == []


def test_colours_follow_the_scheme(page):
  page.open()
  page.draw_all()
  read = (
    'return getComputedStyle(document.querySelector('
    '"[data-chart=histogram] .role-axis-label text")).fill'
  )
  light = page.run(read)
  feature = {'name': 'prefers-color-scheme', 'value': 'dark'}
  page.command('Emulation.setEmulatedMedia', features=[feature])
  page.wait(
    'const text = document.querySelector('
    '"[data-chart=histogram] .role-axis-label text");'
    'return text && getComputedStyle(text).fill !== arguments[0]',
    light,
  )


def _luminance(color: str) -> float:
  """Relative luminance of 'rgb(r, g, b)', as WCAG defines it."""
  parts = np.array([int(part) for part in re.findall(r'\d+', color)[:3]]) / 255
  linear = np.where(
    parts > 0.04, ((parts + 0.055) / 1.055) ** 2.4, parts / 12.9
  )
  return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize('dark', [False, True])
def test_no_cell_of_a_heat_map_is_lost_in_the_page(invented_page, dark):
  page = invented_page
  page.open(dark=dark)
  page.draw_all()
  paper = page.run('return getComputedStyle(document.body).backgroundColor')
  fills = page.run(
    'return [...document.querySelectorAll(":is([data-chart=density], '
    '[data-chart=data-map]) .mark-rect.marks path")]'
    '.map((cell) => getComputedStyle(cell).fill)'
  )
  assert len(fills) > 100
  for fill in set(fills):
    low, high = sorted(map(_luminance, (fill, paper)))
    assert (high + 0.05) / (low + 0.05) > 1.4, fill


def test_names_with_html_are_shown_as_they_are(invented_page, dataset):
  page = invented_page
  page.open()
  page.draw_all()
  assert page.find_all('main td b, main th b, main option b') == []
  options = page.find_all('#filter-label option')
  names = [option.get_attribute('textContent') for option in options]
  assert names == ['all classes', *dataset.class_names]
  assert '<b>zero</b>' in _texts(page, 'class-share')
