"""Tests the review in a browser: keys, undo, reload, download, a server."""

import contextlib
import csv
import threading
import time

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from datadiet.errors import DataDietError
from datadiet.results import load_results
from datadiet.reviewing import review_server
from datadiet.reviewing.decisions import Decision, Reviewed, read_decisions


@pytest.fixture
def review(invented_page):
  """The page of the invented workdir, on which nothing is decided."""
  page = invented_page
  page.open()
  page.run('localStorage.clear()')
  page.open()
  page.click('#review-start')
  yield page
  page.run('localStorage.clear()')


@pytest.fixture
def reviewed(review):
  """The examples."""
  return Reviewed.of(load_results(review.workdir))


def _press(page, *keys) -> None:
  for key in keys:
    ActionChains(page.driver).send_keys(key).perform()


def _shown(page) -> int:
  text = page.find('#review-facts div:nth-child(4) dd').text
  return int(text.split(',')[0])


def _suspects(page) -> list[int]:
  issues = page.results.label_issues
  return list(issues.index[issues['is_issue']])


def _download(page) -> dict[int, dict]:
  path = page.downloads / 'decisions.csv'
  path.unlink(missing_ok=True)
  page.click('#review-download')
  page.wait_for(path.exists)
  with path.open(newline='') as file:
    return {int(row['example_index']): row for row in csv.DictReader(file)}


def test_a_review_by_keyboard(review, reviewed):
  suspects = _suspects(review)
  assert _shown(review) == suspects[0]
  table = review.results.label_issues
  _press(review, 's', 'k', 'd', 'u')
  assert _shown(review) == suspects[4]
  other = next(k for k in range(10) if k != reviewed.labels[suspects[4]])
  _press(review, str(other))
  name = reviewed.class_names[(reviewed.labels[suspects[5]] + 1) % 10]
  _press(review, 'r', name, Keys.ENTER)
  expected = {
    suspects[0]: Decision('relabel', int(table['suggested_label'].iloc[0])),
    suspects[1]: Decision('keep'),
    suspects[2]: Decision('drop'),
    suspects[3]: Decision('unsure'),
    suspects[4]: Decision('relabel', other),
    suspects[5]: Decision('relabel', list(reviewed.class_names).index(name)),
  }
  text = review.find('#review-progress').text
  assert text.startswith(f'6 of {len(suspects)} decided: 1 keep, 3 relabel')
  # Keys do nothing outside of the review.
  _press(review, Keys.ESCAPE)
  assert not review.run('return document.getElementById("review-dialog").open')
  _press(review, 'd')
  assert set(_download(review)) == set(expected)
  path = review.downloads / 'decisions.csv'
  assert read_decisions(path, reviewed) == expected
  assert review.errors() == []


def test_a_key_held_down_decides_once(review):
  review.run(
    'for (const repeat of [false, true, true]) {'
    '  document.getElementById("review-dialog").dispatchEvent('
    '    new KeyboardEvent("keydown", { key: "d", repeat, bubbles: true }));'
    '}'
  )
  assert _shown(review) == _suspects(review)[1]


def test_undo_and_going_back(review):
  first, second = _suspects(review)[:2]
  _press(review, 'd', 'k')
  _press(review, 'z')
  assert _shown(review) == second
  assert 'Undone' in review.find('#review-said').text
  _press(review, 'z')
  assert _shown(review) == first
  assert review.find('#review-undo').get_property('disabled')
  _press(review, 'z', 'd', Keys.ARROW_LEFT)
  assert _shown(review) == first
  dropped = review.find('#review-drop')
  assert dropped.get_attribute('aria-pressed') == 'true'
  # Decided anew, and on to the next that is undecided.
  _press(review, 'u', Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, 'n')
  _press(review, Keys.ESCAPE)
  assert _download(review)[first]['decision'] == 'unsure'


def test_decisions_survive_a_reload(review):
  suspects = _suspects(review)
  _press(review, 'd', 's', 'k')
  review.open()
  counts = review.find('#review-counts').text
  assert counts == '3 decided: 1 keep, 1 relabel, 1 drop, 0 unsure.'
  review.click('#review-start')
  assert _shown(review) == suspects[3]
  _press(review, Keys.ARROW_LEFT)
  assert review.find('#review-facts div:nth-child(5) dd').text == 'keep'


def test_two_tabs_lose_nothing(review):
  _press(review, 'd', Keys.ESCAPE)
  first = review.driver.current_window_handle
  review.driver.switch_to.new_window('tab')
  try:
    review.open()
    review.click('#review-start')
    _press(review, 'k')
  finally:
    review.driver.close()
    review.driver.switch_to.window(first)
  review.wait(
    'return document.getElementById("review-counts").textContent'
    '.startsWith("2 decided")'
  )
  assert len(_download(review)) == 2


def test_what_is_beside(review, dataset):
  headings = [e.text for e in review.find_all('#review-beside h4')]
  labels = review.results.label_issues.iloc[0]
  given, suggested = labels['given_label_name'], labels['suggested_label_name']
  assert headings[0].startswith('Of the same class, nearest by ')
  assert headings[1:] == [
    f'Clean examples of {given} (given)',
    f'Clean examples of {suggested} (suggested)',
  ]
  for row in review.find_all('#review-beside ul'):
    assert len(row.find_elements('css selector', 'canvas')) == 8


def test_what_the_gallery_shows_is_reviewed(review):
  _press(review, Keys.ESCAPE)
  review.run(
    'const form = document.getElementById("gallery-form");'
    'form.elements.label.value = "3";'
    'form.dispatchEvent(new Event("input", {bubbles: true}))'
  )
  time.sleep(0.4)
  first = int(review.find('#gallery .card').get_attribute('data-index'))
  review.click('#review-gallery')
  assert _shown(review) == first


def test_a_browser_that_stores_nothing_is_told(review):
  review.run('Storage.prototype.setItem = () => { throw new Error("full") }')
  _press(review, 'd')
  assert 'could not save' in review.find('#review-stored').text


def _start(page, server) -> None:
  """Opens the served page and starts its review."""
  page.driver.get(server.address)
  page.wait('return document.body.dataset.ready === "yes"')
  page.click('#review-start')


@contextlib.contextmanager
def _running(page, server):
  """The server at work, and its page at the start of the review."""
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  try:
    _start(page, server)
    yield
  finally:
    server.shutdown()
    thread.join()


@pytest.fixture
def server(review):
  """A server of the page, on which nothing is decided, running."""
  with review_server(review.workdir.root) as server:
    with _running(review, server):
      yield server
  server.decisions.path.unlink()


def _hit(page, *keys) -> None:
  """Hits keys at once, so that decisions are sent together."""
  page.run(
    'for (const key of arguments) document.getElementById("review-dialog")'
    '.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }))',
    *keys,
  )


def _told(page, name: str, text: str) -> None:
  script = 'return document.getElementById(arguments[0]).textContent.includes('
  page.wait(f'{script}arguments[1])', name, text)


def test_a_refused_decision_stops_no_other(review, server, monkeypatch):
  suspects = _suspects(review)
  change = server.decisions.change

  def refusing(changes):
    if any(kind == 'unsure' for _, kind, _ in changes):
      raise DataDietError('not allowed here')
    change(changes)

  monkeypatch.setattr(server.decisions, 'change', refusing)
  _hit(review, 'd', 'k', 'u', 'd')
  _told(review, 'review-stored', f'example {suspects[2]} (not allowed here)')
  review.wait_for(lambda: len(server.decisions) == 3)
  saved = {str(i) for i in (suspects[0], suspects[1], suspects[3])}
  assert set(server.decisions.content()) == saved
  # Decided anew, it is saved like any other.
  _hit(review, 'ArrowLeft', 'ArrowLeft', 'd')
  _told(review, 'review-stored', 'Every decision is saved')
  assert len(server.decisions) == 4


def test_what_the_server_has_need_not_be_downloaded(review, server):
  _hit(review, *['k'] * len(_suspects(review)))
  _told(review, 'review-said', 'All are decided. They are saved in the workdir')
  assert len(server.decisions) == len(_suspects(review))


def test_the_served_page_saves_as_one_goes(review, reviewed):
  page, suspects = review, _suspects(review)
  with review_server(page.workdir.root) as server:
    with _running(page, server):
      _press(page, 'd', 'k', 's', 'z')
      page.wait_for(lambda: len(server.decisions) == 2)
      # Another start of the page goes on.
      _start(page, server)
      assert _shown(page) == suspects[2]
      assert page.run('return JSON.stringify(localStorage)') == '{}'
      assert page.errors() == []
    # Nobody is there any more: the page says so, and keeps trying.
    server.server_close()
    _press(page, 'u')
    page.wait(
      'return document.getElementById("review-stored").textContent'
      '.includes("1 decisions are not saved")'
    )
    page.run('window.onbeforeunload = null')
  path = page.workdir.root / 'review' / 'decisions.csv'
  expected = {suspects[0]: Decision('drop'), suspects[1]: Decision('keep')}
  assert read_decisions(path, reviewed) == expected
