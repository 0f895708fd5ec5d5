"""Tests of the list of what to do."""

import numpy as np
import pandas as pd
import pytest

from datadiet.reporting import actions
from datadiet.reporting.audit import Audit
from datadiet.reporting.faults import FAULTS
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


def _inspection(pairs=(), dropped=(), flags=None, groups=(), **manifest):
  """An inspection of 120 examples.

  Args:
    pairs: (index_a, label_a, split_b, index_b, label_b, exact).
    dropped: train examples of which another copy is kept.
    flags: of some examples.
    groups: (num_examples, examples) of those that networks are bad at.
    **manifest: what else is found; shortcuts predict 0.4, 0.39, ....
  """
  columns = ['index_a', 'label_a', 'split_b', 'index_b', 'label_b', 'exact']
  rows = [(flags or {}).get(i, '') for i in range(120)]
  return Inspection(
    manifest={
      'flags': dict.fromkeys(FAULTS, 0),
      'bad_groups': None,
      'shortcuts': [],
      'drift': {'found': False},
      **manifest,
    },
    pairs=pd.DataFrame(list(pairs), columns=columns).assign(split_a='train'),
    groups=pd.DataFrame(
      [('train', i, 0) for i in dropped],
      columns=['split', 'example_index', 'keep'],
    ),
    examples=pd.DataFrame({'flags': rows}),
    bad_groups=pd.DataFrame(groups, columns=['num_examples', 'examples']),
    shortcuts=pd.DataFrame(
      [
        (name, 0.4 - 0.01 * place)
        for place, name in enumerate(manifest.get('shortcuts', ()))
      ],
      columns=['property', 'predicts'],
    ),
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


@pytest.mark.parametrize(
  ('groups', 'sentence'),
  [
    (
      [(41, '3;7'), (102, '8;9;11')],
      'Look at 2 groups of images that networks are bad at, 143 images (5 of '
      'them are listed).',
    ),
    (
      [(41, '3')],
      'Look at 1 group of images that networks are bad at, 41 images (1 of '
      'them is listed).',
    ),
    (
      [(1, '3')],
      'Look at 1 group of images that networks are bad at, 1 image.',
    ),
  ],
)
def test_groups_that_networks_are_bad_at(workdir, groups, sentence):
  (action,) = _found(workdir, None, _inspection(groups=groups)).values()
  assert action.sentence == sentence
  listed = ';'.join(examples for _, examples in groups)
  assert ';'.join(map(str, action.example_index)) == listed
  assert (action.name, action.section) == ('bad_groups', 'groups-caption')


@pytest.mark.parametrize(
  ('names', 'sentence'),
  [
    # 0.4 of the way from a third to 1.
    (
      ['dark_end'],
      'The dark end of an image tells its class (accuracy 0.60 where 0.33 is '
      'chance): networks may learn it in place of what is shown.',
    ),
    (
      ['brightness', 'file name'],
      'The brightness and file name of an image each tell its class, best of '
      'all the brightness (accuracy 0.60 where 0.33 is chance): networks may '
      'learn them in place of what is shown.',
    ),
    (
      ['red', 'green', 'blue', 'border'],
      'The red, green, blue and 1 more property of an image each tell its '
      'class, best of all the red (accuracy 0.60 where 0.33 is chance): '
      'networks may learn them in place of what is shown.',
    ),
    (
      ['red', 'green', 'blue', 'border', 'chroma'],
      'The red, green, blue and 2 more properties of an image each tell its '
      'class, best of all the red (accuracy 0.60 where 0.33 is chance): '
      'networks may learn them in place of what is shown.',
    ),
  ],
)
def test_shortcuts(workdir, names, sentence):
  (action,) = _found(workdir, None, _inspection(shortcuts=names)).values()
  assert action.sentence == sentence
  assert (action.section, action.file) == ('shortcuts-caption', '')


def test_drift(workdir):
  drift = {'found': True, 'accuracy': 0.714, 'property': 'bright_end'}
  (action,) = _found(workdir, None, _inspection(drift=drift)).values()
  assert action.sentence == (
    'Train and test images differ: a classifier of pixels tells them apart '
    'with an accuracy of 0.71, where chance is 0.50, most of all by their '
    'bright end.'
  )
  assert (action.section, action.file) == ('drift-caption', '')


def test_findings_on_all_of_the_data_follow_labels_and_copies(workdir, dataset):
  inspection = _inspection(
    [(0, 1, 'train', 3, 1, 1)],
    [3],
    {20: 'dark'},
    [(5, '1;2')],
    shortcuts=['red'],
    drift={'found': True, 'accuracy': 0.7, 'property': 'red'},
  )
  assert list(_found(workdir, _audit(dataset, 3), inspection)) == [
    'copies',
    'wrong_labels',
    'bad_groups',
    'shortcuts',
    'drift',
    'dark',
  ]


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
    'Nothing to do: no copies, faulty images, shortcuts, drift or wrong labels '
    'were found.'
  )
  # Labels that could not be counted are not said to be right.
  audit = _audit(dataset, 0, manifest={'noise_rate': None})
  assert actions.nothing_to_do(audit, _inspection()) == (
    'Nothing to do: no copies, faulty images, shortcuts or drift were found.'
  )
