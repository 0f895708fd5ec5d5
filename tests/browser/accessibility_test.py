"""Tests the page for accessibility, with axe-core in the browser."""

import os
import pathlib

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

_ROOT = pathlib.Path(__file__).parents[2]
_MODULES = os.environ.get('NODE_PATH') or _ROOT / 'node_modules'
_AXE = pathlib.Path(_MODULES) / 'axe-core' / 'axe.min.js'


@pytest.fixture(scope='module')
def axe() -> str:
  """The source of axe-core; it is no reason to skip if it is not there."""
  if not _AXE.exists():
    raise RuntimeError(
      f'axe-core is not at {_AXE}: run make test-browser, which installs it'
    )
  return _AXE.read_text()


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [400, 1600])
def test_axe_finds_nothing_serious(page, axe, width, dark):
  page.open(width, dark)
  page.draw_all()
  page.run(axe)
  for prepare in (
    '',
    'document.querySelector("#gallery .card")?.click()',
    'document.getElementById("details").close();'
    'document.getElementById("review-start").click()',
  ):
    page.run(prepare)
    found = page.driver.execute_async_script(
      'const done = arguments[0]; axe.run().then(done)'
    )
    assert len(found['passes']) > 10  # It did look.
    serious = [
      (violation['id'], [node['html'][:200] for node in violation['nodes']])
      for violation in found['violations']
      if violation['impact'] in ('serious', 'critical')
    ]
    assert serious == []


def test_every_control_is_reached_by_keyboard(page):
  page.open()
  page.draw_all()
  page.run(
    'window.seen = new Set();'
    'document.addEventListener("focusin", (e) => window.seen.add(e.target))'
  )
  # Those of a closed part of the page are not there yet.
  expected = page.run(
    'window.controls = [...document.querySelectorAll("button, input, select, '
    'a[href], summary, [data-chart]")].filter((e) => e.checkVisibility() && '
    '!e.disabled); return window.controls.length'
  )
  assert expected > 30
  # Every card of the gallery and every scrolled table is a stop, too.
  for _ in range(40):
    ActionChains(page.driver).send_keys(Keys.TAB * 10).perform()
    if page.run('return window.seen.has(window.controls.at(-1))'):
      break
  missed = page.run(
    'return window.controls.filter((e) => !window.seen.has(e))'
    '.map((e) => e.outerHTML.slice(0, 200))'
  )
  assert missed == []
