"""Tests the page of unfinished workdirs and of unusual data in a browser."""

import time

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

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
  assert len(page.find_all('#class-names option')) == 100
  page.screenshot(screenshots / f'100_classes_{channels}_channels_400.png')
  assert page.errors() == []


def _type(field, text: str) -> None:
  """Types over what a field holds, as a user does."""
  field.send_keys(Keys.CONTROL, 'a')
  field.send_keys(text or Keys.BACKSPACE)


def _shows(page, labels, said: str) -> None:
  """Waits until the gallery shows the examples of some labels."""
  is_found = page.results.scores['label'].isin(labels)
  page.wait(
    'return document.getElementById("gallery-count").textContent === '
    'arguments[0]',
    f'{is_found.sum():,} of {len(is_found):,} examples',
  )
  shown = [
    int(card.get_attribute('data-index'))
    for card in page.find_all('#gallery .card')
  ]
  assert len(shown) == min(60, is_found.sum())
  assert is_found.iloc[shown].all()
  assert page.find('#filter-label-said').text == said


def test_a_class_of_a_thousand_is_searched_for(open_page, screenshots):
  names = tuple(f'class number {number}' for number in range(1000))
  page = open_page(synthetic.make_images(3000, names))
  page.draw_all()
  # The names are there once, for all filters.
  assert len(page.find_all('[value="class number 77"]')) == 1
  field = page.find('#filter-label')
  assert field.accessible_name == 'Class'
  _type(field, 'NUMBER 77')
  _shows(page, [77, *range(770, 780)], '11 classes')
  # What picking from the list does, which a browser without a window lacks.
  page.run(
    'const [field, name] = arguments;'
    'field.value = [...field.list.options].find('
    '(option) => option.value.startsWith(name)).value;'
    'field.dispatchEvent(new InputEvent("input", {bubbles: true}))',
    field,
    'class number 770',
  )
  _shows(page, [770], 'one class')
  _type(field, 'class number 77')
  _shows(page, [77], 'one class')
  for width in (1600, 400):
    page.resize(width)
    assert page.run('return document.documentElement.scrollWidth') <= width
    page.draw_all()
    page.screenshot(screenshots / f'a_class_of_1000_{width}.png')
  _type(field, 'aardvark')
  _shows(page, [], 'no class is called so')
  assert field.get_attribute('aria-invalid') == 'true'
  _type(field, '')
  _shows(page, range(1000), '')
  assert field.get_attribute('aria-invalid') == 'false'
  assert page.errors() == []


def test_the_histogram_is_of_the_class_that_is_typed(open_page):
  names = tuple(f'class number {number}' for number in range(1000))
  page = open_page(synthetic.make_images(3000, names))
  page.draw_all()
  drawn = 'return document.querySelector("[data-chart=histogram]").textContent'
  for text, title in (
    ('number 77', '11 classes'),
    ('class number 77', 'class number 77'),
    ('', 'all classes'),
  ):
    _type(page.find('#histogram-label'), text)
    page.wait_for(lambda title=title: title in page.run(drawn))
  _type(page.find('#histogram-label'), 'aardvark')
  said = page.find('#histogram-label-said')
  page.wait_for(lambda: said.text == 'no class is called so')
  page.wait_for(lambda: 'no class' in page.run(drawn))
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
