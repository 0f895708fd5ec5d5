"""Tests the page for accessibility, with axe-core in the browser."""

import os
import pathlib

import pytest

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
  for prepare in ('', 'document.querySelector("#gallery .card")?.click()'):
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
  unnamed = page.run(
    'return [...document.querySelectorAll("button, input, select, a[href]")]'
    '.filter((e) => e.tabIndex < 0).map((e) => e.outerHTML)'
  )
  assert unnamed == []
