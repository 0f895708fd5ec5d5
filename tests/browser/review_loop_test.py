"""The whole loop: suspects, a review in the browser, apply, train again."""

import json
import os
import re
import shlex
import subprocess
import sys

import ml_collections
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from datadiet.data import load_dataset
from datadiet.results import load_results
from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.browser.conftest import Page

_STAGES = '--stages=train,score,inspect,audit,report'
# A tenth of the labels gets another class, and training is long and without
# augmentation: networks that stop early do not learn wrong labels by heart.
_NOISE = {
  'dataset.label_noise.fraction': 0.1,
  'dataset.label_noise.kind': 'uniform',
  'model.width': 32,
  'train.augmentation': 'none',
  'train.num_steps': 1980,
  'train.schedule_steps': 1980,
  'train.eval_every_steps': 660,
  'train.checkpoint_every_steps': 660,
}


def _run(*flags: str) -> None:
  # One device, as users have it; the tests' own processes hold eight.
  env = {**os.environ, 'XLA_FLAGS': ''}
  done = running.run_main([*flags, _STAGES], env)
  assert done.returncode == 0, done.stderr


@pytest.fixture(scope='module')
def before(tmp_path_factory):
  """Digits with wrong labels, trained, scored and audited."""
  root = tmp_path_factory.mktemp('loop') / 'before'
  noise = running.as_flags(_NOISE)
  _run('--config=configs/cnn_digits.py', f'--workdir={root}', *noise)
  return Workdir.at(root)


def _decide(page, truth, number: int) -> int:
  """Decides on up to so many suspects, as one who knows the classes."""
  page.click('#review-start')
  heading = page.find('#review-beside h4').text
  assert heading.startswith('Nearest by embedding: ')
  decided = 0
  while decided < number:
    text = page.find('#review-facts div:nth-child(4) dd').text
    index = int(text.split(',')[0])
    # Digits are their own keys.
    given = page.find('#review-facts div:nth-child(1) dd').text
    is_right = given == str(truth[index])
    key = 'k' if is_right else str(truth[index])
    ActionChains(page.driver).send_keys(key).perform()
    decided += 1
    bar = page.find('#review-bar')
    if bar.get_property('value') == bar.get_property('max'):
      break
  ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
  return decided


def test_from_suspects_to_a_retrained_network(
  driver, downloads, tmp_path, before, measured
):
  page = Page(driver, before, downloads)
  page.open()
  page.run('localStorage.clear()')
  page.open()
  truth = page.results.original_labels
  num_suspects = int(page.results.label_issues['is_issue'].sum())
  assert 50 < num_suspects < 400
  first = _decide(page, truth, num_suspects // 2)
  # Everything that was decided survives a reload.
  page.open()
  text = page.find('#review-start').text
  assert f'({num_suspects - first} of {num_suspects} undecided)' in text
  rest = _decide(page, truth, num_suspects)
  assert first + rest == num_suspects
  file = downloads / 'decisions.csv'
  file.unlink(missing_ok=True)
  page.click('#review-download')
  page.wait_for(file.exists)
  page.run('localStorage.clear()')

  out = tmp_path / 'reviewed'
  done = subprocess.run(
    [sys.executable, '-m', 'datadiet', 'apply', str(before.root)]
    + [f'--decisions={file}', f'--out={out}'],
    cwd=running.REPOSITORY,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  told = re.search(r'To train on it: datadiet (.*)', done.stderr)[1]
  after = tmp_path / 'after'
  _run(*shlex.split(told.replace('NEW_WORKDIR', str(after))))

  summary = json.loads((out / 'summary.json').read_text())
  wrong = summary['num_wrong']
  assert summary['num_decided'] == num_suspects
  # All that was suspected rightly is right now.
  assert wrong['after'] == wrong['before'] - summary['relabel']
  assert summary['relabel'] > 0.9 * num_suspects
  results = load_results(after)
  settings = ml_collections.ConfigDict(results.config['dataset'])
  labels = load_dataset(settings).train.labels
  assert (labels != truth).sum() == wrong['after']
  report = json.loads((after / 'report' / 'summary.json').read_text())
  rows = {row['name']: row for row in report['review']['rows']}
  accuracy = rows['test accuracy']
  for row in report['review']['rows']:
    measured(f'{row["name"]}: {row["before"]:.4f} -> {row["after"]:.4f}')
  measured(
    f'{num_suspects} suspects reviewed; wrong labels trained on: '
    f'{wrong["before"]} -> {wrong["after"]}'
  )
  assert accuracy['after'] > accuracy['before'] + 0.01
  assert rows['suspected label errors']['after'] < num_suspects / 2
