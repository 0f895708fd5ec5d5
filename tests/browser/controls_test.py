"""Tests that every control of the page does something, as a user works it."""

import time

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from datadiet.reporting import analysis

_CONTROLS = 'a[href], button:not(.card), input, select, summary'
# All that a control may change: what is found, drawn, opened, said.
_STATE = """
  const text = (selector) =>
    [...document.querySelectorAll(selector)].map((e) => e.textContent);
  const value = (id) => document.getElementById(id)?.value;
  const dialogs = [...document.querySelectorAll('dialog')];
  const charts = [...document.querySelectorAll('[data-chart]')];
  const state = JSON.stringify([
    text('#gallery-count, #gallery, #copy-note, #num-pages, #map-legend'),
    value('page'), value('map-drag'),
    document.getElementById('map-canvas')?.toDataURL(),
    dialogs.map((dialog) => dialog.open && dialog.textContent),
    [...document.querySelectorAll('main details')].map((e) => e.open),
    location.hash,
    charts.map((chart) => chart.innerHTML),
  ]);
  let hash = 0;
  for (let i = 0; i < state.length; i += 1) {
    hash = (31 * hash + state.charCodeAt(i)) | 0;
  }
  return hash;
"""
_IDLE = """
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  document.getElementById('gallery-form').reset();
  document.getElementById('copy-note').textContent = '';
  history.replaceState(null, '', location.pathname);
"""


def _median(page, suffix: str) -> str:
  """The median of the score that is chosen for a range."""
  select = Select(page.find(f'#filter-score-{suffix}'))
  name = select.first_selected_option.get_attribute('textContent')
  return f'{page.results.scores[name].median():.4g}'


def _prepare(page, control, name: str) -> None:
  """Does what a control needs to be of use."""
  if name in ('score_a', 'score_b'):
    suffix = name[-1]
    page.find(f'[name=min_{suffix}]').send_keys(_median(page, suffix))
  elif name == 'kept':
    page.find('[name=selection]').send_keys(Keys.END)
  elif name in ('page-first', 'page-before'):
    page.click('#page-next')
  elif name == 'reset':
    page.find('[name=label]').send_keys(Keys.END)
  elif name.startswith('details-'):
    page.find_all('#gallery .card')[1].click()
  elif name == 'map-all':
    page.click('#map-in')
  elif name == 'map-clear':
    page.click('#map-view')
  elif name == 'review-download':
    _review(page, 'u', Keys.ESCAPE)
  elif name == 'review-undo':
    _review(page, 'u')
  elif name in ('review-before', 'review-after', 'review-next'):
    # There may be a single suspect, which has nothing before and after it.
    page.click('#review-gallery')
    ActionChains(page.driver).send_keys('u').perform()
  elif page.run('return !!arguments[0].closest("#review-dialog")', control):
    _review(page)


def _review(page, *keys: str) -> None:
  """Opens the review, and presses keys."""
  page.click('#review-start')
  ActionChains(page.driver).send_keys(*keys).perform()


def _work(page, control, name: str) -> None:
  """Uses a control as its kind is used."""
  kind = control.get_attribute('type')
  if control.get_attribute('class') == 'skip':
    page.run('arguments[0].focus()', control)
    # It may still be on its way into view: a key is sent to what has the focus.
    ActionChains(page.driver).send_keys(Keys.ENTER).perform()
  elif control.tag_name == 'select':
    is_last = control.get_property('selectedIndex') > 1
    # By keyboard: WebDriver's way of choosing sends no input event. The last
    # of the scores is the one that is least like the first.
    control.send_keys(Keys.HOME if is_last else Keys.END)
  elif kind == 'number':
    value = '2' if name == 'page' else _median(page, name[-1])
    control.send_keys(Keys.CONTROL, 'a')
    control.send_keys(value, Keys.TAB)
  elif kind == 'search':
    control.send_keys('7')
  elif kind == 'text':
    control.send_keys('7', Keys.ENTER)
  else:
    page.run('arguments[0].scrollIntoView({block: "center"})', control)
    control.click()


def test_every_control_does_something(page):
  permissions = ['clipboardReadWrite', 'clipboardSanitizedWrite']
  page.command('Browser.grantPermissions', permissions=permissions)
  page.open()
  page.run('localStorage.clear()')
  page.open()
  page.draw_all()
  controls = page.find_all(_CONTROLS)
  assert len(controls) > 30
  idle = []
  for control in controls:
    page.run(_IDLE)
    name = control.get_attribute('name') or control.get_attribute('id')
    name = name or control.get_attribute('type') or ''
    _prepare(page, control, name)
    time.sleep(0.4)  # The gallery follows a moment later.
    for path in page.downloads.iterdir():
      path.unlink()
    before = page.run(_STATE)
    _work(page, control, name)
    try:
      page.wait_for(
        lambda state=before: (
          page.run(_STATE) != state or list(page.downloads.iterdir())
        )
      )
    except AssertionError:
      idle.append(name or control.get_attribute('outerHTML')[:80])
  assert idle == []
  assert page.errors() == []


# Chart -> the scores along its axes: names, or the controls to read.
_BRUSHED = {
  'histogram': ['#histogram-score'],
  'density': ['#density-x', '#density-y'],
  'data-map': ['variability', 'mean_confidence'],
}


@pytest.mark.parametrize('chart', _BRUSHED)
def test_dragging_over_a_chart_filters(page, chart):
  page.open()
  page.draw_all()
  area = page.find(f'[data-chart="{chart}"] svg .background')
  width, height = (int(area.rect[side]) for side in ('width', 'height'))
  actions = ActionChains(page.driver)
  actions.move_to_element_with_offset(area, -width // 3, -height // 3)
  actions.click_and_hold().move_by_offset(width // 2, height // 2)
  actions.release().perform()
  fields = page.wait(
    'const fields = document.getElementById("gallery-form").elements;'
    'return fields.max_a.value && ["a", "b"].map((suffix) => '
    '[fields[`min_${suffix}`].value, fields[`max_${suffix}`].value])'
  )
  table = page.results.scores
  for name, column in analysis.data_map(page.results).items():
    table[name] = column
  is_found = table['label'] >= 0
  for axis, (low, high) in zip(_BRUSHED[chart], fields):
    name = axis
    if axis.startswith('#'):
      select = Select(page.find(axis))
      name = select.first_selected_option.get_attribute('textContent')
    assert float(low) < float(high)
    is_found &= table[name].between(float(low), float(high))
  count = f'{is_found.sum():,} of {len(table):,} examples'
  assert page.find('#gallery-count').text == count
  assert 0 < is_found.sum() < len(table)
