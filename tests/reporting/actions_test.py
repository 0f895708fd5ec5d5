"""Tests of the list of what to do, and of the files that go with it."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from datadiet.reporting import actions, figures, write_report
from datadiet.reporting.audit import Audit
from datadiet.results import load_results
from datadiet.results.inspection import Inspection
from datadiet.workdir import artifacts
from tests.results import synthetic


def _audit(dataset, num_issues, probability=0.8, manifest=None):
  """An audit that declares the last examples wrong."""
  num = dataset.train.num_examples
  is_issue = np.zeros(num, bool)
  is_issue[num - num_issues :] = True
  return Audit(
    given_labels=dataset.train.labels,
    suggested_labels=(dataset.train.labels + 1) % 3,
    suspicion=np.arange(num, dtype=np.float32) / num,
    probability=np.full(num, probability, np.float32),
    is_issue=is_issue,
    manifest=manifest or {},
  )


def _inspection(pairs=(), dropped=(), flags=None):
  """An inspection of 120 examples.

  Args:
    pairs: (index_a, label_a, split_b, index_b, label_b, exact).
    dropped: train examples of which another copy is kept.
    flags: of some examples.
  """
  columns = ['index_a', 'label_a', 'split_b', 'index_b', 'label_b', 'exact']
  rows = [(flags or {}).get(i, '') for i in range(120)]
  return Inspection(
    manifest={'flags': dict.fromkeys(actions.FAULTS, 0)},
    pairs=pd.DataFrame(list(pairs), columns=columns).assign(split_a='train'),
    groups=pd.DataFrame(
      [('train', i, 0) for i in dropped],
      columns=['split', 'example_index', 'keep'],
    ),
    examples=pd.DataFrame({'flags': rows}),
    bad_groups=pd.DataFrame(),
    shortcuts=pd.DataFrame(),
  )


def _found(workdir, audit=None, inspection=None):
  found = actions.find_actions(load_results(workdir), audit, inspection)
  return {action.name: action for action in found}


@pytest.mark.parametrize(
  ('num', 'probability', 'sentence'),
  [
    (
      10,
      0.8,
      'Look at 10 likely wrong labels: about 8 are wrong (precision 0.80).',
    ),
    (
      2,
      0.6,
      'Look at 2 likely wrong labels: about 1 is wrong (precision 0.60).',
    ),
    (1, 0.7, 'Look at 1 likely wrong label, wrong with a probability of 0.70.'),
    (10, np.nan, 'Look at 10 likely wrong labels.'),
    (1, np.nan, 'Look at 1 likely wrong label.'),
  ],
)
def test_wrong_labels(workdir, dataset, num, probability, sentence):
  found = _found(workdir, _audit(dataset, num, probability))
  action = found.pop('wrong_labels')
  assert action.sentence == sentence
  # The most suspicious first.
  assert action.example_index.tolist() == list(range(119, 119 - num, -1))
  assert not found


def test_copies(workdir):
  pairs = [
    (0, 1, 'train', 3, 1, 1),
    (0, 1, 'train', 5, 1, 1),
    (7, 1, 'train', 8, 2, 0),
    (9, 1, 'test', 2, 1, 0),
  ]
  found = _found(workdir, None, _inspection(pairs, [3, 5, 8, 9]))
  assert {name: a.example_index.tolist() for name, a in found.items()} == {
    'test_copies': [9],
    'copies': [3, 5, 8],
    'contradictions': [7, 8],
  }
  assert [action.sentence for action in found.values()] == [
    'Drop 1 image that the test split has, too.',
    'Drop 3 copies.',
    'Settle the labels of 2 images that have copies with another label.',
  ]


def test_what_was_left_out_is_done_with(workdir, dataset, tmp_path):
  pairs = [
    (0, 1, 'train', 3, 1, 1),
    (5, 1, 'train', 6, 2, 0),
    (9, 1, 'test', 2, 1, 0),
    (10, 1, 'test', 3, 1, 0),
  ]
  inspection = _inspection(pairs, [3, 9, 10], {20: 'dark', 21: 'dark'})
  left_out = [3, 6, 9, 20, 119]
  np.save(tmp_path / 'kept.npy', np.setdiff1d(np.arange(120), left_out))
  config = artifacts.read_json(workdir.config)
  config['config']['train']['subset_path'] = str(tmp_path / 'kept.npy')
  artifacts.write_json(workdir.config, config)
  found = _found(workdir, _audit(dataset, 3), inspection)
  assert {name: a.example_index.tolist() for name, a in found.items()} == {
    'test_copies': [10],
    'wrong_labels': [118, 117],
    'dark': [21],
  }
  # A list that is gone leaves nothing out.
  (tmp_path / 'kept.npy').unlink()
  found = _found(workdir, _audit(dataset, 3), inspection)
  assert found['copies'].example_index.tolist() == [3]


@pytest.mark.parametrize(
  ('dropped', 'sentence'),
  [([3], 'Drop 1 exact copy.'), ([3, 5], 'Drop 2 exact copies.')],
)
def test_exact_copies(workdir, dropped, sentence):
  pairs = [(0, 1, 'train', i, 1, 1) for i in dropped]
  (copies,) = _found(workdir, None, _inspection(pairs, dropped)).values()
  assert copies.sentence == sentence


def test_faulty_images(workdir):
  flags = dict.fromkeys(range(9), 'blurry')
  flags |= dict.fromkeys(range(9, 16), 'blurry;dark')
  flags |= {20: 'odd_size', 21: 'odd_size', 22: 'border', 23: 'grey'}
  found = _found(workdir, None, _inspection(flags=flags))
  assert [action.sentence for action in found.values()] == [
    'Look at 16 blurred images.',
    'Look at 7 dark images.',
    'Look at 2 oddly sized images.',
    'Look at 2 images with other faults (grey, framed).',
  ]
  assert found['dark'].example_index.tolist() == list(range(9, 16))
  assert found['other_faults'].example_index.tolist() == [22, 23]


def test_a_class_that_is_short_of_images(workdir):
  labels = np.where(np.arange(120) < 10, 2, np.arange(120) % 2)
  for path in (workdir.scores_csv(synthetic.STEPS[-1]), workdir.scores_csv()):
    table = pd.read_csv(path)
    table['label'] = labels
    artifacts.write_bytes(path, table.to_csv(index=False).encode())
  for run in range(synthetic.NUM_RUNS):
    folder = workdir.run('train', run)
    manifest = artifacts.read_manifest(folder)
    artifacts.write_manifest(
      folder, manifest | {'class_accuracy': [0.9, 0.9, 0.6]}
    )
  (action,) = _found(workdir).values()
  assert action.sentence == (
    'Find more images of bird: it has 10 where 55 are usual, and 60 % of its '
    'test images are right, 80 % of all classes on average.'
  )
  assert action.example_index.tolist() == list(range(10))


def test_the_list_is_short(workdir, dataset, monkeypatch):
  monkeypatch.setattr(actions, 'MAX_ACTIONS', 2)
  inspection = _inspection(flags={1: 'dark', 2: 'grey', 3: 'blurry'})
  assert len(_found(workdir, _audit(dataset, 3), inspection)) == 2


def test_nothing_to_do(workdir, dataset):
  nothing = actions.nothing_to_do(None, None)
  assert nothing.startswith('Nothing was looked for yet')
  audit = _audit(dataset, 0, manifest={'noise_rate': 0.0})
  assert not _found(workdir, audit, _inspection())
  assert actions.nothing_to_do(audit, _inspection()) == (
    'Nothing to do: no copies, faulty images or wrong labels were found.'
  )
  # Labels that could not be counted are not said to be right.
  audit = _audit(dataset, 0, manifest={'noise_rate': None})
  assert actions.nothing_to_do(audit, _inspection()) == (
    'Nothing to do: no copies or faulty images were found.'
  )


def test_the_report_lists_them_with_files_and_filters(
  workdir, dataset, monkeypatch
):
  monkeypatch.setattr(figures, 'render_png', lambda spec: b'')
  synthetic.write_audit(workdir, dataset)
  done = workdir.report / 'actions' / 'copies.csv'
  artifacts.write_csv(done, ['example_index'], [[1]])
  summary = write_report(workdir, dataset)
  (row,) = summary['actions']
  assert row['name'] == 'wrong_labels' and summary['nothing_to_do'] == ''
  assert not done.exists()
  saved = json.loads((workdir.report / 'summary.json').read_text())
  assert saved['actions'] == summary['actions']
  page = (workdir.report / 'index.html').read_text()
  assert row['sentence'] in page
  assert f'href="{row["file"]}"' in page
  assert 'data-array="action-0"' in page and '<select name="action">' in page
  # Before all other sections.
  assert page.index('id="actions"') < page.index('id="summary"')
  content = (workdir.report / row['file']).read_text()
  listed = list(csv.DictReader(io.StringIO(content)))
  assert len(listed) == row['num_examples']
  issues = load_results(workdir).label_issues
  expected = issues.index[issues['is_issue']].tolist()
  assert [int(line['example_index']) for line in listed] == expected
  for line in listed:
    i = int(line['example_index'])
    assert line['id'] == dataset.train.ids[i]
    assert line['label_name'] == dataset.class_names[dataset.train.labels[i]]
    assert line['suggested_label'] == str(issues['suggested_label'][i])
    assert float(line['probability']) == pytest.approx(
      issues['probability'][i], rel=1e-5
    )
