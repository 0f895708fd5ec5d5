"""A real browser for the report's page, and the pages it is shown.

`make test-browser` installs what these tests need and runs them. They run only
when this folder is named: `pytest tests/browser`.

DATADIET_WORKDIRS: finished workdirs to be looked at, too, separated by ':'.
DATADIET_SCREENSHOTS: the folder where pictures of the page are left.
"""

import base64
import dataclasses
import functools
import os
import pathlib
import shutil
import time

import ml_collections
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from datadiet.data import Dataset, load_dataset
from datadiet.data.sources.digits import load_digits
from datadiet.reporting import write_report
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.browser import workdirs
from tests.results import synthetic

_FOLDER = 'tests/browser'
_REAL = [
  path for path in os.environ.get('DATADIET_WORKDIRS', '').split(':') if path
]


# Lines on what was measured, printed when all tests are done.
_MEASURED = pytest.StashKey[list]()
# Seconds a test: the first of each workdir waits until that is made.
_TIMEOUT = 1800


def pytest_ignore_collect(config):
  """Leaves these tests out unless they were asked for."""
  return None if any(_FOLDER in str(arg) for arg in config.args) else True


def pytest_collection_modifyitems(items):
  """Gives tests here the time that making a workdir takes."""
  for item in items:
    if _FOLDER in item.path.as_posix():
      item.add_marker(pytest.mark.timeout(_TIMEOUT))


def pytest_terminal_summary(terminalreporter, config):
  """Prints sizes and times."""
  lines = config.stash.get(_MEASURED, [])
  if lines:
    terminalreporter.section('measured')
    for line in lines:
      terminalreporter.write_line(line)


class Page:
  """The report of a workdir in a browser."""

  def __init__(self, driver, workdir, downloads, dataset=None):
    self.driver = driver
    self.workdir = workdir
    self.results = load_results(workdir)
    self.downloads = downloads
    self.path = workdir.root / 'report' / 'index.html'
    if dataset is not None:
      self.dataset = dataset

  @functools.cached_property
  def dataset(self) -> Dataset:
    """The data the workdir was made of."""
    settings = self.results.config['dataset']
    return load_dataset(ml_collections.ConfigDict(settings))

  def open(self, width: int = 1600, dark: bool = False) -> None:
    """Loads the page afresh and waits until it is ready."""
    self.resize(width)
    scheme = 'dark' if dark else 'light'
    feature = {'name': 'prefers-color-scheme', 'value': scheme}
    self.command('Emulation.setEmulatedMedia', features=[feature])
    self.driver.get_log('browser')
    self.driver.get(pathlib.Path(self.path).resolve().as_uri())
    self.wait('return document.body.dataset.ready === "yes"')
    self.seconds_to_ready = self.run('return performance.now()') / 1000

  def resize(self, width: int, height: int = 1000) -> None:
    """Sets the size of the viewport, in pixels."""
    sizes = {'width': width, 'height': height, 'deviceScaleFactor': 1}
    name = 'Emulation.setDeviceMetricsOverride'
    self.command(name, mobile=False, **sizes)

  def command(self, name: str, **parameters):
    """Sends a command of Chromium's own protocol."""
    return self.driver.execute_cdp_cmd(name, parameters)

  def run(self, script: str, *values):
    """Runs JavaScript in the page."""
    return self.driver.execute_script(script, *values)

  def wait(self, script: str, *values, seconds: float = 20.0):
    """Waits until a script returns something true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
      value = self.run(script, *values)
      if value:
        return value
      time.sleep(0.03)
    raise AssertionError(f'still not true after {seconds} s: {script}')

  def wait_for(self, is_true, seconds: float = 5.0) -> None:
    """Waits until a function returns something true."""
    end = time.monotonic() + seconds
    while not is_true():
      assert time.monotonic() < end, f'still not true after {seconds} s'
      time.sleep(0.03)

  def find(self, selector: str):
    """The first element that a CSS selector names."""
    return self.driver.find_element('css selector', selector)

  def find_all(self, selector: str):
    """All elements that a CSS selector names."""
    return self.driver.find_elements('css selector', selector)

  def click(self, selector: str) -> None:
    """Clicks on an element, scrolled into view."""
    element = self.find(selector)
    self.run('arguments[0].scrollIntoView({block: "center"})', element)
    element.click()

  def draw_all(self) -> None:
    """Shows the whole page at once, so that every chart is drawn."""
    width = self.run('return innerWidth')
    self.resize(width, self.run('return document.documentElement.scrollHeight'))
    self.wait(
      'return [...document.querySelectorAll("[data-chart]")]'
      '.every((chart) => chart.dataset.drawn)'
    )

  def errors(self) -> list[str]:
    """What the console has complained of since the page was opened."""
    return [
      entry['message']
      for entry in self.driver.get_log('browser')
      if entry['level'] in ('SEVERE', 'WARNING')
    ]

  def screenshot(self, path: pathlib.Path) -> None:
    """Writes a picture of the whole page."""
    options = {'format': 'png', 'captureBeyondViewport': True}
    data = self.command('Page.captureScreenshot', **options)['data']
    path.write_bytes(base64.b64decode(data))


@pytest.fixture(scope='session')
def driver(tmp_path_factory):
  """Chromium without a window."""
  binary = shutil.which('chromium') or shutil.which('chromium-browser')
  service = shutil.which('chromedriver')
  if not binary or not service:
    raise RuntimeError(
      'the browser tests need chromium and chromedriver in PATH: run '
      'make test-browser, which installs them'
    )
  options = Options()
  options.binary_location = binary
  # Without bars a page is as wide as its viewport, in pictures too.
  for flag in (
    '--headless=new',
    '--no-sandbox',
    '--disable-dev-shm-usage',
    '--hide-scrollbars',
  ):
    options.add_argument(flag)
  options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
  driver = webdriver.Chrome(options=options, service=Service(service))
  yield driver
  driver.quit()


@pytest.fixture(scope='session')
def downloads(driver, tmp_path_factory):
  """Where the browser puts what is downloaded."""
  folder = tmp_path_factory.mktemp('downloads')
  options = {'behavior': 'allow', 'downloadPath': str(folder)}
  driver.execute_cdp_cmd('Browser.setDownloadBehavior', options)
  return folder


@pytest.fixture(scope='session')
def dataset():
  """Digits of which 5 % have a wrong label, and two names with HTML in."""
  digits = load_digits(None)
  rng = np.random.default_rng(4)
  original = digits.train.labels
  is_changed = rng.random(len(original)) < 0.05
  shift = rng.integers(1, 10, len(original))
  labels = np.where(is_changed, (original + shift) % 10, original)
  train = dataclasses.replace(digits.train, labels=labels.astype(np.int32))
  names = ('<b>zero</b>', '"one" & only', *digits.class_names[2:])
  return dataclasses.replace(
    digits, train=train, original_labels=original, class_names=names
  )


@pytest.fixture(scope='session')
def invented(tmp_path_factory, dataset):
  """A finished workdir of `dataset`, with an audit, a map and a report."""
  folder = tmp_path_factory.mktemp('invented')
  workdir = synthetic.make_workdir(folder, dataset)
  synthetic.write_audit(workdir, dataset)
  synthetic.write_map(workdir, dataset)
  write_report(workdir, dataset)
  return workdir


@pytest.fixture(scope='session')
def invented_page(driver, downloads, invented, dataset):
  """The page of the invented workdir."""
  return Page(driver, invented, downloads, dataset)


# What makes the real workdirs, by the name in the tests' ids.
_MADE = {'digits': workdirs.make_digits, 'cifar10': workdirs.make_cifar10}


@pytest.fixture(scope='session', params=['invented', *_MADE, *_REAL])
def page(request, driver, downloads):
  """The page of the invented workdir, and of every real one."""
  name = request.param
  if name == 'invented':
    return request.getfixturevalue('invented_page')
  root = _MADE[name]() if name in _MADE else name
  return Page(driver, artifacts.Workdir.at(root), downloads)


@pytest.fixture
def measured(request):
  """Takes lines to be printed when all tests are done."""
  return request.config.stash.setdefault(_MEASURED, []).append


@pytest.fixture(scope='session')
def screenshots(tmp_path_factory):
  """The folder for pictures of the page."""
  folder = os.environ.get('DATADIET_SCREENSHOTS')
  path = pathlib.Path(folder or tmp_path_factory.mktemp('screenshots'))
  path.mkdir(parents=True, exist_ok=True)
  return path
