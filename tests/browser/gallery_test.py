"""Tests the gallery in a browser: what it finds is what pandas finds."""

import io
import json
import time

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.keys import Keys

PAGE_SIZE = 60


def _set(page, **fields) -> None:
  """Fills the form's fields and waits until the gallery has followed."""
  script = """
    const form = document.getElementById('gallery-form');
    form.reset();
    for (const [name, value] of Object.entries(arguments[0])) {
      const field = form.elements[name];
      if (field.type === 'checkbox') field.checked = value;
      else field.value = value;
      if (field.value !== String(value) && field.type !== 'checkbox') {
        throw new Error(`${name} cannot be ${value}`);
      }
    }
    form.dispatchEvent(new Event('input', {bubbles: true}));
  """
  page.run(script, fields)
  time.sleep(0.4)


def _download(page) -> pd.DataFrame:
  path = page.downloads / 'examples.csv'
  path.unlink(missing_ok=True)
  page.click('#csv-download')
  end = time.monotonic() + 20
  while not path.exists() and time.monotonic() < end:
    time.sleep(0.05)
  text = path.read_text()
  return pd.read_csv(io.StringIO(text), index_col='example_index')


def _score_position(page, name: str) -> str:
  for option in page.find_all('#filter-score-a option'):
    if option.get_attribute('textContent') == name:
      return option.get_attribute('value')
  raise AssertionError(f'no score {name}')


def _shown(page) -> list[int]:
  cards = page.find_all('#gallery .card')
  return [int(card.get_attribute('data-index')) for card in cards]


@pytest.fixture
def gallery(page):
  page.open()
  return page


@pytest.fixture
def scores(gallery):
  return gallery.results.scores


def test_the_table_downloaded_is_that_of_the_workdir(gallery, scores):
  _set(gallery, sort='')
  _set(gallery, sort='', order='ascending')
  table = _download(gallery)
  assert list(table.index) == list(scores.index)
  assert list(table['id'].astype(str)) == list(scores['id'])
  for name in scores.columns.drop('id'):
    # Not a digit is lost.
    found = table[name].astype(scores[name].dtype)
    np.testing.assert_array_equal(found, scores[name], err_msg=name)


@pytest.mark.parametrize('order', ['ascending', 'descending'])
def test_examples_are_sorted_with_ties_by_index(gallery, scores, order):
  for name in scores.columns.drop(['id', 'label']):
    _set(gallery, sort=_score_position(gallery, name), order=order)
    is_ascending = order == 'ascending'
    expected = scores.sort_values(
      name, ascending=is_ascending, kind='stable', na_position='last'
    )
    assert _shown(gallery) == list(expected.index[:PAGE_SIZE]), name


def test_filters_find_what_pandas_finds(gallery, scores):
  first, second = scores.columns.drop(['id', 'label'])[:2]
  low, high = (float(scores[first].quantile(q)) for q in (0.2, 0.7))
  limit = float(scores[second].median())
  _set(
    gallery,
    label='1',
    score_a=_score_position(gallery, first),
    min_a=low,
    max_a=high,
    score_b=_score_position(gallery, second),
    max_b=limit,
    sort='',
  )
  is_found = (scores['label'] == 1) & (scores[second] <= limit)
  is_found &= (scores[first] >= low) & (scores[first] <= high)
  expected = list(scores.index[is_found])
  assert sorted(_download(gallery).index) == expected
  count = f'{len(expected):,} of {len(scores):,} examples'
  assert gallery.find('#gallery-count').text == count


def test_a_score_that_was_copied_finds_its_example(gallery, scores):
  name = scores.columns.drop(['id', 'label'])[0]
  table = _download(gallery)
  for copied in table[name].iloc[:20:5]:
    position = _score_position(gallery, name)
    _set(gallery, score_a=position, min_a=copied, max_a=copied, sort='')
    expected = scores.index[scores[name] == np.float32(copied)]
    assert sorted(_shown(gallery)) == list(expected[:PAGE_SIZE])
    assert len(expected)


def test_kept_and_dropped(gallery, scores):
  for position, selection in enumerate(gallery.results.selections.values()):
    kept = next(iter(selection.example_index.values()))
    _set(gallery, selection=str(position), kept='kept', sort='')
    assert sorted(_download(gallery).index) == list(kept)
    _set(gallery, selection=str(position), kept='dropped', sort='')
    dropped = scores.index.difference(kept)
    assert sorted(_download(gallery).index) == list(dropped)


def _most_voted(votes):
  """The class with the most votes, of those that tie the first run's."""
  counts = votes.value_counts()
  return next(vote for vote in votes if counts[vote] == counts.max())


def test_predictions(gallery, scores):
  majority = gallery.results.predictions().apply(_most_voted, axis=1)
  _set(gallery, prediction='wrong', sort='')
  wrong = scores.index[majority != scores['label']]
  assert sorted(_download(gallery).index) == list(wrong)
  _set(gallery, prediction='right', sort='')
  assert len(_download(gallery)) == len(scores) - len(wrong)


def test_one_example_is_found_by_its_id(gallery, scores):
  _set(gallery, text=scores['id'].iloc[17])
  assert 17 in _shown(gallery)
  assert all(
    scores['id'].iloc[17] in scores['id'].iloc[i] for i in _shown(gallery)
  )


def test_nothing_found_is_said(gallery):
  _set(gallery, text='no such id')
  assert gallery.find('#gallery-count').text.startswith('0 of ')
  assert _shown(gallery) == []
  assert not gallery.find('#page-next').is_enabled()


def test_pages(gallery, scores):
  _set(gallery, sort='', order='ascending')
  last = -(-len(scores) // PAGE_SIZE)
  assert gallery.find('#num-pages').text == f'of {last}'
  gallery.click('#page-next')
  assert _shown(gallery) == list(range(PAGE_SIZE, 2 * PAGE_SIZE))
  gallery.click('#page-last')
  assert _shown(gallery)[-1] == len(scores) - 1
  assert not gallery.find('#page-next').is_enabled()
  gallery.click('#page-before')
  field = gallery.find('#page')
  assert field.get_attribute('value') == str(last - 1)
  field.send_keys(Keys.CONTROL, 'a')
  field.send_keys('3', Keys.ENTER)
  assert _shown(gallery)[0] == 2 * PAGE_SIZE
  field.send_keys(Keys.CONTROL, 'a')
  field.send_keys('2.9', Keys.ENTER)
  assert _shown(gallery)[0] == PAGE_SIZE
  gallery.click('#page-first')
  assert _shown(gallery)[0] == 0
  assert gallery.errors() == []


def test_details_by_keyboard(gallery, scores):
  _set(gallery, sort='', order='ascending')
  card = gallery.find('#gallery .card')
  card.send_keys(Keys.ENTER)
  dialog = gallery.find('#details')
  assert dialog.get_attribute('open') is not None
  text = gallery.find('#details-rows').text
  assert scores['id'].iloc[0] in text
  assert all(name in text for name in scores.columns.drop(['id', 'label']))
  gallery.find('#details-next').send_keys(Keys.ENTER)
  assert gallery.find('#details-title').text == 'Example 1'
  gallery.find('#details-before').send_keys(Keys.ENTER)
  assert gallery.find('#details-title').text == 'Example 0'
  gallery.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
  assert dialog.get_attribute('open') is None
  focused = gallery.driver.switch_to.active_element
  assert focused.get_attribute('data-index') == '0'


def test_copying(gallery):
  permissions = ['clipboardReadWrite', 'clipboardSanitizedWrite']
  gallery.command('Browser.grantPermissions', permissions=permissions)
  _set(gallery, sort='', order='ascending', label='0')
  gallery.click('#csv-copy')
  gallery.wait('return document.getElementById("copy-note").textContent')
  text = gallery.driver.execute_async_script(
    'navigator.clipboard.readText().then(arguments[0])'
  )
  table = pd.read_csv(io.StringIO(text), index_col='example_index')
  assert list(table.index) == list(_download(gallery).index)


def test_buttons_that_lead_to_the_gallery(gallery):
  for button in gallery.find_all('[data-show]'):
    gallery.run('arguments[0].click()', button)
    assert _shown(gallery)
  assert gallery.errors() == []


def test_what_to_do_shows_the_examples_of_its_files(gallery):
  summary = json.loads((gallery.workdir.report / 'summary.json').read_text())
  assert len(gallery.find_all('#actions li')) == len(summary['actions'])
  for position, action in enumerate(summary['actions']):
    if not action['file']:
      continue  # It is about all of the data.
    _set(gallery, action=str(position), sort='')
    listed = pd.read_csv(gallery.workdir.report / action['file'])
    assert sorted(_download(gallery).index) == sorted(listed['example_index'])


def test_changed_labels_and_suspects(gallery):
  labels, original = (
    gallery.dataset.train.labels,
    gallery.dataset.original_labels,
  )
  if original is None:
    assert gallery.find_all('[name=changed]') == []
  else:
    _set(gallery, changed=True, sort='')
    table = _download(gallery)
    assert sorted(table.index) == list(np.flatnonzero(labels != original))
    np.testing.assert_array_equal(
      table['original_label'], original[table.index]
    )
  issues = pd.read_csv(gallery.workdir.root / 'audit' / 'label_issues.csv')
  issues = issues[issues['is_issue'] == 1].set_index('example_index')
  _set(gallery, issues=True, sort='')
  table = _download(gallery)
  assert sorted(table.index) == sorted(issues.index)
  assert table['is_issue'].all()
  pd.testing.assert_series_equal(
    table['suggested_label'],
    issues.loc[table.index, 'suggested_label'],
    check_dtype=False,
  )


_READ_PIXELS = """
  return [...document.querySelectorAll('#gallery .card')].map((card) => {
    const canvas = card.querySelector('canvas');
    const context = canvas.getContext('2d');
    const {width, height} = canvas;
    const pixels = context.getImageData(0, 0, width, height).data;
    return [Number(card.dataset.index), width, height, [...pixels]];
  });
"""


def test_thumbnails_are_the_images(gallery):
  gallery.wait(
    'return document.querySelectorAll("#gallery canvas").length === 60'
  )
  time.sleep(0.5)
  images = gallery.dataset.train.images
  is_coded = images.shape[-1] == 3  # CIFAR-10's fit as JPEG only.
  for index, width, height, pixels in gallery.run(_READ_PIXELS):
    shown = np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3]
    error = np.abs(shown.astype(int) - images[index]).mean()
    assert error <= (20 if is_coded else 0)
  # And a picture of it is no blank.
  assert np.ptp(shown) > 100


def test_a_click_on_a_suspect_opens_it(gallery):
  links = gallery.find_all('[data-example]')
  if not links:
    pytest.skip('no label is suspected')
  # All columns are in sight.
  widths = gallery.run(
    'const box = document.querySelector(".suspects").parentElement;'
    'return [box.scrollWidth, box.clientWidth]'
  )
  assert widths[0] <= widths[1]
  index = links[0].get_attribute('data-example')
  gallery.run('arguments[0].click()', links[0])
  assert gallery.find('#details-title').text == f'Example {index}'
  assert gallery.run('return document.getElementById("details").open')
  # Its picture is drawn in the table, too.
  gallery.wait(
    'const canvas = document.querySelector("[data-thumbnail]");'
    'return canvas.getContext("2d")'
    '.getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)'
  )
  assert gallery.errors() == []
