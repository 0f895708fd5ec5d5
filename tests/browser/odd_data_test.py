"""Tests the page of unfinished workdirs and of unusual data in a browser."""

import time

import numpy as np
import pytest
from selenium.webdriver import ActionChains

from datadiet.reporting import write_report
from datadiet.workdir import artifacts
from tests.browser.conftest import Page
from tests.results import synthetic


@pytest.fixture
def open_page(driver, downloads, tmp_path):
  """(dataset, images at hand) -> the page of an invented workdir."""

  def make(dataset, with_images=True, finished=True):
    workdir = artifacts.Workdir.at(tmp_path)
    if finished:
      synthetic.make_workdir(tmp_path, dataset)
    else:
      synthetic.write_description(workdir, dataset)
    write_report(workdir, dataset if with_images else None)
    page = Page(driver, workdir, downloads, dataset)
    page.open()
    return page

  return make


def test_an_unfinished_workdir(open_page, dataset):
  page = open_page(dataset, finished=False)
  assert 'Nothing was scored yet.' in page.find('#scores').text
  assert page.errors() == []


def test_without_images(open_page, dataset):
  page = open_page(dataset, with_images=False)
  note = 'The images were not available'
  for section in ('#summary', '#examples'):
    assert note in page.find(section).text
  assert len(page.find_all('#gallery .card')) == 60
  assert page.find_all('canvas, img') == []
  page.click('#gallery .card')
  assert 'no thumbnail' in page.find('#details-image').text
  assert page.errors() == []


def test_scores_that_differ_by_little_are_found_by_dragging(
  driver, downloads, tmp_path, dataset
):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_scores(workdir, dataset, 60, ('el2n',))
  path = workdir.scores(None, 60) / 'el2n.npy'
  artifacts.write_npy(path, 1000 + np.load(path) / 5)
  write_report(workdir, None)
  page = Page(driver, workdir, downloads, dataset)
  page.open()
  page.draw_all()
  area = page.find('[data-chart=histogram] svg .background')
  actions = ActionChains(page.driver)
  actions.move_to_element_with_offset(area, -int(area.rect['width']) // 3, 0)
  actions.click_and_hold().move_by_offset(100, 0).release().perform()
  low, high = page.wait(
    'const {min_a, max_a} = document.getElementById("gallery-form").elements;'
    'return max_a.value && [Number(min_a.value), Number(max_a.value)]'
  )
  count = page.results.scores['el2n'].between(low, high).sum()
  assert count > 10
  assert page.find('#gallery-count').text.startswith(f'{count:,} of ')


@pytest.mark.parametrize('channels', [1, 3])
def test_a_hundred_classes(open_page, screenshots, channels):
  names = tuple(f'class number {number}' for number in range(100))
  page = open_page(synthetic.make_images(2000, names, channels))
  page.resize(400)
  page.draw_all()
  assert page.run('return document.documentElement.scrollWidth') <= 400
  assert len(page.find_all('#filter-label option')) == 101
  page.screenshot(screenshots / f'100_classes_{channels}_channels_400.png')
  assert page.errors() == []


def test_300_000_examples(open_page, measured):
  names = tuple(f'class {number}' for number in range(1000))
  dataset = synthetic.make_images(300_000, names, size=16)
  start = time.monotonic()
  page = open_page(dataset)
  seconds = time.monotonic() - start
  paints = page.wait(
    'return performance.getEntriesByType("paint").map((e) => e.startTime)'
  )
  size = page.path.stat().length
  measured(
    f'300,000 examples: {size / 1e6:.1f} MB, written in {seconds:.0f} s '
    f'with their workdir, first paint after {max(paints) / 1000:.2f} s'
  )
  assert size <= 25e6
  assert max(paints) < 2000
  page.run(
    'const fields = document.getElementById("gallery-form").elements;'
    'fields.min_a.value = 0.5;'
    'fields.min_a.dispatchEvent(new Event("input", {bubbles: true}))'
  )
  expected = int((page.results.scores['el2n'] >= 0.5).sum())
  page.wait(
    'return document.getElementById("gallery-count").textContent === '
    'arguments[0]',
    f'{expected:,} of 300,000 examples',
  )
  assert 0 < expected < 300_000
  assert np.isfinite(page.results.scores['el2n']).all()
  assert page.errors() == []
