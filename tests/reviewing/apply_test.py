"""Tests what is made of decisions, and that a data set takes it."""

import json
import logging
import shutil

import numpy as np
import pytest

from datadiet.data.label_files import read_labels
from datadiet.errors import ConfigError, DataDietError
from datadiet.reviewing import apply_decisions
from datadiet.reviewing.decisions import Decision, write_decisions
from datadiet.workdir import artifacts
from datadiet.workdir.example_lists import read_example_index


@pytest.fixture
def decisions(tmp_path, dataset, reviewed):
  """Of a person who knows: 0 and 20 relabelled, 10 dropped, 1 kept."""
  original = dataset.original_labels
  decided = {
    0: Decision('relabel', int(original[0])),
    20: Decision('relabel', int(original[20])),
    10: Decision('drop'),
    1: Decision('keep'),
    30: Decision('unsure'),
  }
  path = tmp_path / 'decisions.csv'
  write_decisions(path, decided, reviewed)
  return path


def test_labels_kept_and_dropped(tmp_path, workdir, dataset, decisions):
  out = tmp_path / 'out'
  summary = apply_decisions(workdir.root, decisions, out)
  labels = read_labels(f'{out}/labels.csv', dataset)
  expected = dataset.train.labels.copy()
  expected[[0, 20]] = dataset.original_labels[[0, 20]]
  np.testing.assert_array_equal(labels, expected)
  kept = read_example_index(out / 'kept.npy', 120)
  np.testing.assert_array_equal(kept, np.delete(np.arange(120), 10))
  lines = (out / 'dropped.csv').read_text().splitlines()
  assert lines[0] == 'example_index,id,label,label_name'
  assert len(lines) == 2 and lines[1].startswith('10,train_10,')
  assert summary == json.loads((out / 'summary.json').read_text())
  counts = ('num_decided', 'relabel', 'drop', 'keep', 'unsure', 'num_kept')
  assert [summary[name] for name in counts] == [5, 2, 1, 1, 1, 119]
  assert sum(pair['number'] for pair in summary['relabelled']) == 2
  # 12 of 120 were wrong by planted noise: two are put right, one is dropped.
  assert summary['num_wrong'] == {'before': 12, 'after': 9}


def test_it_says_what_the_data_set_would(tmp_path, workdir, dataset, decisions):
  summary = apply_decisions(workdir.root, decisions, tmp_path / 'out')
  labels = read_labels(f'{tmp_path}/out/labels.csv', dataset)
  train = dataset.train.__class__(
    dataset.train.images, labels, dataset.train.ids
  )
  made = dataset.__class__(**{**vars(dataset), 'train': train})
  assert summary['labels_fingerprint'] == made.labels_fingerprint
  manifest = artifacts.read_manifest(tmp_path / 'out')
  assert manifest['fingerprint'] == dataset.fingerprint


def test_a_second_review_leaves_out_what_the_first_did(
  tmp_path, workdir, decisions
):
  first = np.arange(5, 120)
  np.save(tmp_path / 'first.npy', first)
  config = artifacts.read_json(workdir.config)
  config['config']['train']['subset_path'] = str(tmp_path / 'first.npy')
  artifacts.write_json(workdir.config, config)
  apply_decisions(workdir.root, decisions, tmp_path / 'out')
  kept = np.load(tmp_path / 'out' / 'kept.npy')
  np.testing.assert_array_equal(kept, np.setdiff1d(first, [10]))


def test_the_command_to_go_on_is_logged(tmp_path, workdir, decisions, caplog):
  config = artifacts.read_json(workdir.config)
  config['config']['dataset'] = {
    'labels_are': 'numbers',
    'label_noise': {'fraction': 0.1},
  }
  artifacts.write_json(workdir.config, config)
  with caplog.at_level(logging.INFO, 'absl'):
    apply_decisions(workdir.root, decisions, tmp_path / 'out')
  line = caplog.messages[-1]
  assert f'--config={workdir.config} ' in line
  for setting in (
    f'dataset.labels_path={tmp_path}/out/labels.csv',
    'dataset.labels_are=',
    'dataset.label_noise.fraction=0',
    f'train.subset_path={tmp_path}/out/kept.npy',
  ):
    assert f' --config.{setting}' in line
  assert 'labels_order' not in line


def test_the_command_trains_in_no_parts(tmp_path, workdir, decisions, caplog):
  # A list of examples with folds, say, would be refused.
  config = artifacts.read_json(workdir.config)
  config['config']['train'] |= {'folds': 3, 'subset_fraction': 1.0}
  artifacts.write_json(workdir.config, config)
  with caplog.at_level(logging.INFO, 'absl'):
    apply_decisions(workdir.root, decisions, tmp_path / 'out')
  assert ' --config.train.folds=0' in caplog.messages[-1]
  assert 'subset_fraction' not in caplog.messages[-1]
  assert 'in parts (train.folds)' in caplog.messages[-2]


def test_nothing_is_made_of_nothing(tmp_path, workdir, decisions):
  out = tmp_path / 'out'
  header = decisions.read_text().splitlines()[0]
  decisions.write_text(f'{header}\n')
  with pytest.raises(DataDietError, match='holds no decisions'):
    apply_decisions(workdir.root, decisions, out)
  decisions.write_text(f'{header}\n500,train_0,keep,,\n')
  with pytest.raises(DataDietError, match='line 2'):
    apply_decisions(workdir.root, decisions, out)
  assert not out.exists()
  out.mkdir()
  with pytest.raises(ConfigError, match='--out: .* exists'):
    apply_decisions(workdir.root, decisions, out)


def test_a_workdir_without_scores_is_refused(tmp_path, workdir, decisions):
  shutil.rmtree(workdir.root / 'scores')
  with pytest.raises(DataDietError, match='has no scores'):
    apply_decisions(workdir.root, decisions, tmp_path / 'out')
