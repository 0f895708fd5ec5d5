"""Tests the page of unfinished workdirs and of unusual data in a browser."""

import time

import numpy as np
import pytest

from datadiet import artifacts
from datadiet.reporting import write_report
from tests.browser.conftest import Page
from tests.reporting import synthetic


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
  note = 'The images were not at hand'
  for section in ('#summary', '#examples', '#redundancy'):
    assert note in page.find(section).text
  assert len(page.find_all('#gallery .card')) == 60
  assert page.find_all('canvas, img') == []
  page.click('#gallery .card')
  assert 'no thumbnail' in page.find('#details-image').text
  assert page.errors() == []


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
  near = page.find('#redundancy').text
  assert 'a search for near ones was left out' in near
  assert np.isfinite(page.results.scores['el2n']).all()
  assert page.errors() == []
