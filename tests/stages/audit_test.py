"""Tests of the audit stage: what it goes by, what it writes, when it is due."""

import csv
import dataclasses
import json
import logging
import re
import shutil

import numpy as np
import pytest
from absl import logging as absl_logging

from datadiet import audit as audit_lib
from datadiet import config as config_lib
from datadiet import main
from datadiet.audit import guard
from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.reporting import audit as reading
from datadiet.results import load_results
from datadiet.stages import audit, report, threshold_trainings
from datadiet.stages.context import Context
from datadiet.workdir import artifacts, checkpoints, top_probs
from datadiet.workdir.artifacts import Workdir
from tests import running

STEP = 88


def _config(**changes):
  config = running.tiny_config(
    **{
      'model__width': 8,
      'optimizer__name': 'adamw',
      'optimizer__learning_rate': 1e-2,
      'train__num_steps': STEP,
      'train__schedule_steps': STEP,
      'train__subset_fraction': 0.5,
      'score__steps': (STEP,),
      'score__names': ('el2n', 'aum', 'input_norm'),
      'retrain__num_steps': 0,
      **changes,
    }
  )
  config.dataset.label_noise.update(fraction=0.1, kind='uniform')
  return config


def _context(workdir, **changes) -> Context:
  config = config_lib.resolve(_config(**changes))
  return Context(config, Workdir.at(workdir), load_dataset(config.dataset))


@pytest.fixture(scope='module')
def audited(tmp_path_factory):
  """A workdir audited with threshold samples; tests must not change it."""
  workdir = tmp_path_factory.mktemp('audited') / 'workdir'
  changes = {'audit__threshold_samples': True}
  with pytest.MonkeyPatch.context() as patch:
    # Four epochs do here, and are all that a test has time for.
    patch.setattr(threshold_trainings, '_ENOUGH_EPOCHS', 3)
    patch.setattr(threshold_trainings, '_ENOUGH_ACCURACY', 0.3)
    main.run(_config(**changes), str(workdir), ['train', 'score', 'audit'])
  return _context(workdir, **changes)


@pytest.fixture
def own(audited, tmp_path):
  """A copy of it without the audit: changes -> Context."""
  shutil.copytree(
    audited.workdir.root,
    tmp_path / 'workdir',
    ignore=shutil.ignore_patterns('audit'),
  )
  return lambda **changes: _context(tmp_path / 'workdir', **changes)


def _rows(context):
  with (context.workdir.audit / 'label_issues.csv').open() as file:
    return list(csv.DictReader(file))


def _read(context):
  return reading.read_audit(load_results(context.workdir))


def _wrong(context):
  return context.dataset.train.labels != context.dataset.original_labels


def _score(context, name):
  folder = context.workdir.scores(None, STEP)
  return artifacts.read_npy(folder / f'{name}.npy')


def _share_found(context):
  """The share of wrong labels among as many most suspicious ones."""
  wrong = _wrong(context)
  order = np.argsort(-_read(context).suspicion)
  return wrong[order[: wrong.sum()]].mean()


def test_every_label_is_ranked_once(audited):
  rows, train = _rows(audited), audited.dataset.train
  assert [int(row['rank']) for row in rows] == list(range(1, 1438))
  suspicion = [float(row['suspicion']) for row in rows]
  assert suspicion == sorted(suspicion, reverse=True)
  index = [int(row['example_index']) for row in rows]
  assert sorted(index) == list(range(1437))
  assert [row['id'] for row in rows] == train.ids[index].tolist()
  given = [int(row['given_label']) for row in rows]
  assert given == train.labels[index].tolist()
  names = audited.dataset.class_names
  for kind in ('given', 'suggested'):
    for row in rows:
      assert row[f'{kind}_label_name'] == names[int(row[f'{kind}_label'])]


def test_probabilities_follow_the_rank_and_are_not_too_high(audited):
  probability = [float(row['probability']) for row in _rows(audited)]
  assert probability == sorted(probability, reverse=True)
  found, wrong = _read(audited), _wrong(audited)
  stated = artifacts.read_manifest(audited.workdir.audit)['calibration']
  assert stated['noise_rate'] == pytest.approx(wrong.mean(), abs=0.05)
  for cut in stated['cuts']:
    chosen = found.probability >= cut['at_least'] - 1e-6
    assert chosen.sum() == cut['num_labels']
    # Of few labels the share of wrong ones is rather taken for too low.
    true, expected = wrong[chosen].mean(), cut['expected_precision']
    assert true - 0.4 < expected < true + 0.05


def test_wrong_labels_come_first(audited):
  assert _share_found(audited) > 0.85


def test_suggestions_are_out_of_sample_predictions(audited):
  suggested = _read(audited).suggested_labels
  np.testing.assert_array_equal(
    suggested, _score(audited, 'pred_probs').argmax(1)
  )
  wrong, original = _wrong(audited), audited.dataset.original_labels
  assert (suggested == original)[wrong].mean() > 0.8


def test_threshold_samples_are_trained_as_a_class_of_their_own(audited):
  labels = set()
  for number in (0, 1):
    folder = audited.workdir.run('audit', number)
    variables = checkpoints.load_variables(folder, STEP)
    kernels = [
      leaf.shape for leaf in _leaves(variables['params']) if leaf.ndim == 2
    ]
    assert kernels[-1][-1] == 11
    manifest = artifacts.read_manifest(folder)
    assert manifest['num_examples'] == 1437
    labels.add(manifest['labels_fingerprint'])
  assert len(labels | {audited.dataset.labels_fingerprint}) == 3


def _leaves(params):
  for value in params.values():
    yield from _leaves(value) if isinstance(value, dict) else [value]


def test_the_extra_class_has_images_of_all_classes(audited):
  samples = np.zeros(1437, bool)
  samples[::10] = True
  made = threshold_trainings.with_extra_class(audited.dataset, samples)
  before = audited.dataset
  assert made.num_classes == 11
  assert (made.train.labels[samples] == 10).all()
  same = made.train.labels == before.train.labels
  np.testing.assert_array_equal(same, ~samples)
  np.testing.assert_array_equal(made.original_labels, before.original_labels)
  assert made.fingerprint == before.fingerprint


def test_the_manifest_says_what_was_used(audited):
  manifest = artifacts.read_manifest(audited.workdir.audit)
  audit_read = _read(audited)
  # Eight visits each: too few for aum, by which it would go after twelve.
  # Nor is el2n, where there are the predictions it is made from.
  assert manifest['evidence'] == [
    'in-sample predictions',
    'out-of-sample predictions',
  ]
  assert manifest['suggestions'] == 'out-of-sample'
  assert manifest['threshold']['kind'] == 'threshold samples'
  assert len(manifest['threshold']['aum']) == 2
  assert 'warning' not in manifest['threshold']
  assert 0.7 < manifest['threshold']['accuracy'] < 1
  assert manifest['num_issues'] == audit_read.is_issue.sum() > 0
  assert manifest['noise_rate'] == pytest.approx(audit_read.is_issue.mean())
  sentence = reading.method(audit_read)
  assert 'in-sample' in sentence and 'threshold samples' in sentence


def test_what_is_done_is_left_alone(audited):
  before = running.all_bytes(audited.workdir.audit)
  audit.run(audited)
  assert running.all_bytes(audited.workdir.audit) == before
  assert audit.plan(audited).endswith(
    f'label_issues.csv, 2 runs of {STEP} steps with threshold samples (done)'
  )


def test_it_is_made_again_when_scores_or_settings_change(own):
  context = own()
  assert not audit.plan(context).endswith('(done)')
  audit.run(context)
  first = artifacts.read_manifest(context.workdir.audit)
  counts = first['threshold']['counts']
  assert set(counts) == {audit.CONFIDENT_LEARNING, audit.MIXTURE}
  assert first['num_issues'] == min(counts.values()) > 0
  assert audit.plan(context).endswith('label_issues.csv (done)')
  # As if one more score had been computed.
  folder = context.workdir.scores(None, STEP)
  manifest = artifacts.read_manifest(folder)
  manifest['scores']['loss'] = {}
  artifacts.write_npy(folder / 'loss.npy', _score(context, 'el2n'))
  artifacts.write_manifest(folder, manifest)
  context.forget()
  assert not audit.plan(context).endswith('(done)')
  audit.run(context)
  again = artifacts.read_manifest(context.workdir.audit)
  assert again['made_from'] != first['made_from']
  with_samples = own(audit__threshold_samples=True)
  assert not audit.plan(with_samples).endswith('(done)')


def test_the_report_is_made_again_after_an_audit(own):
  context = own()
  before = report._made_from(context)
  audit.run(context)
  assert report._made_from(context) != before


def test_in_sample_predictions_where_no_run_leaves_examples_out(
  tmp_path, monkeypatch
):
  # So short a training is right for about 70 % of its labels.
  monkeypatch.setattr(guard, 'ENOUGH_ACCURACY', 0.5)
  changes = {'train__subset_fraction': 1.0}
  main.run(_config(**changes), str(tmp_path), ['train', 'score', 'audit'])
  context = _context(tmp_path, **changes)
  manifest = artifacts.read_manifest(context.workdir.audit)
  assert manifest['suggestions'] == 'in-sample'
  assert {row['probability'] for row in _rows(context)} == {''}
  assert 'config.train.folds' in manifest['calibration']['warning']
  assert manifest['evidence'] == ['el2n']
  assert len(manifest['threshold']['counts']) == 2
  assert _share_found(context) > 0.75
  # Without what the forward pass has kept: the votes of the runs.
  for path in context.workdir.root.glob('scores/run_*/*/pred_probs.npy'):
    path.unlink()
  shutil.rmtree(context.workdir.audit)
  context.forget()
  audit.run(context)
  manifest = artifacts.read_manifest(context.workdir.audit)
  assert manifest['suggestions'] == 'votes'
  assert list(manifest['threshold']['counts']) == [audit.MIXTURE]
  votes = [
    artifacts.read_npy(context.workdir.scores(run, STEP) / 'prediction.npy')
    for run in (0, 1)
  ]
  suggested = _read(context).suggested_labels
  np.testing.assert_array_equal(suggested, votes[0])
  # And without those: no suggestions, which the table and its reader say.
  for path in context.workdir.root.glob('scores/run_*/*/prediction.npy'):
    path.unlink()
  shutil.rmtree(context.workdir.audit)
  context.forget()
  audit.run(context)
  manifest = artifacts.read_manifest(context.workdir.audit)
  assert manifest['suggestions'] is None
  assert {row['suggested_label'] for row in _rows(context)} == {''}
  assert set(_read(context).suggested_labels.tolist()) == {-1}
  assert 'Suggested labels: none.' in reading.method(_read(context))
  assert _share_found(context) > 0.75


@pytest.fixture
def unsuitable(own):
  """A copy that has no score by which wrong labels could be told."""
  folder = own().workdir.scores(None, STEP)
  manifest = artifacts.read_manifest(folder)
  manifest['scores'] = {'input_norm': manifest['scores']['input_norm']}
  artifacts.write_manifest(folder, manifest)
  return own


def test_out_of_sample_predictions_are_enough(unsuitable):
  context = unsuitable()
  audit.run(context)
  manifest = artifacts.read_manifest(context.workdir.audit)
  assert manifest['evidence'] == ['out-of-sample predictions']
  assert _share_found(context) > 0.8


def test_without_anything_that_could_tell_it_is_left_out(unsuitable, caplog):
  context = unsuitable(train__subset_fraction=1.0)
  absl_logging.use_absl_handler()
  with caplog.at_level(logging.WARNING, logger='absl'):
    audit.run(context)
  assert f'Label audit left out: at step {STEP}, ' in caplog.text
  assert not context.workdir.audit.exists()


def test_scores_must_have_been_computed(own):
  context = own()
  shutil.rmtree(context.workdir.root / 'scores' / 'mean')
  with pytest.raises(DataDietError, match='run the score stage first'):
    audit.run(context)


def test_damaged_predictions_are_named(own):
  context = own()
  path = context.workdir.scores(None, STEP) / 'pred_probs.npy'
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(DataDietError, match='pred_probs.npy is damaged'):
    audit.run(context)
  assert not context.workdir.audit.exists()


@pytest.mark.parametrize('run', [None, 1])
def test_predictions_that_are_no_numbers_are_named(own, run):
  context = own()
  folder = context.workdir.scores(run, STEP)
  probs = artifacts.read_npy(folder / 'pred_probs.npy')
  probs[[7, 9], 3] = np.nan
  _with_predictions(context, probs, run)
  message = (
    f'{folder}/pred_probs.npy: the prediction of example_index 7 is nan '
    '(2 such examples); allowed: probabilities, from 0 to 1'
  )
  with pytest.raises(DataDietError, match=re.escape(message)):
    audit.run(context)
  assert not context.workdir.audit.exists()


@pytest.mark.parametrize('num_steps', [STEP, 5 * STEP])
def test_threshold_samples_warn_of_few_epochs(
  own, caplog, monkeypatch, num_steps
):
  monkeypatch.setattr(threshold_trainings, 'train_jobs', lambda *_, **__: None)
  changes = {'train__num_steps': num_steps, 'train__schedule_steps': num_steps}
  with caplog.at_level(logging.WARNING, logger='absl'):
    threshold_trainings.train(own(audit__threshold_samples=True, **changes))
  warning = 'after 3.9 of them, far too many labels would be declared wrong'
  assert (warning in caplog.text) == (num_steps == STEP)
  stated = threshold_trainings.too_few_epochs(
    own(audit__threshold_samples=True, **changes)
  )
  assert (warning in (stated or '')) == (num_steps == STEP)


@pytest.mark.parametrize('accuracy, doubted', [(0.594, True), (0.61, False)])
def test_threshold_samples_need_networks_that_fit(own, accuracy, doubted):
  context = own()
  for number, last in enumerate((0.9, accuracy)):
    history = context.workdir.run('audit', number) / 'history.csv'
    rows = [[11, 0.99], [22, last]]
    artifacts.write_csv(history, ['step', 'train_accuracy'], rows)
  stated = threshold_trainings.too_little_fitted(context) or ''
  assert ('these are right for 59 % of them' in stated) == doubted


def test_threshold_samples_need_an_epoch(tmp_path):
  changes = {
    'train__num_steps': 21,
    'train__subset_fraction': 1.0,
    'score__steps': (21,),
  }
  config = _config(audit__threshold_samples=True, **changes)
  with pytest.raises(ConfigError, match='less than an epoch of 22 steps'):
    main.run(config, str(tmp_path / 'workdir'), ['audit'])
  assert not (tmp_path / 'workdir').exists()


def test_a_workdir_from_before_there_were_audits_is_accepted(own):
  path = own().workdir.config
  content = json.loads(path.read_text())
  del content['config']['audit']
  path.write_text(json.dumps(content))
  main.run(_config(), str(own().workdir.root), ['audit'])
  assert (own().workdir.audit / 'label_issues.csv').exists()


def test_pixels_do_not_matter_but_their_fingerprint_does(own):
  context = own()
  audit.run(context)
  other = dataclasses.replace(context.dataset, fingerprint='0123')
  with pytest.raises(DataDietError, match='made for other data'):
    audit.run(dataclasses.replace(context, dataset=other))


def test_an_issue_has_another_label_suggested(audited):
  found = _read(audited)
  issues = found.is_issue
  assert (found.suggested_labels != found.given_labels)[issues].all()
  # Otherwise they are the most suspicious.
  others = (found.suggested_labels != found.given_labels) & ~issues
  assert found.suspicion[issues].min() >= found.suspicion[others].max(initial=0)


def test_the_declared_ones_are_wrong_mostly(own):
  context = own()
  audit.run(context)
  wrong, found = _wrong(context), _read(context).is_issue
  assert (found & wrong).sum() / found.sum() > 0.7
  assert (found & wrong).sum() / wrong.sum() > 0.6


def test_threshold_samples_decide_how_many(audited):
  """As recomputed from what the trainings have left."""
  over, _ = audit_lib.margins_over_threshold(
    threshold_trainings.read_margins(audited), threshold_trainings.draw(audited)
  )
  found = _read(audited)
  differs = found.suggested_labels != found.given_labels
  assert found.is_issue.sum() == min((over <= 0).sum(), differs.sum()) > 0


def test_nothing_is_said_of_untrained_networks(own):
  context = own(score__steps=(0,))
  audit.run(context)
  assert not context.workdir.audit.exists()


def _with_predictions(context, probs, run=None) -> None:
  """As if the networks, or that of a run, had predicted something else."""
  folder = context.workdir.scores(run, STEP)
  manifest = artifacts.read_manifest(folder)
  manifest['checksums'] |= top_probs.write(folder, probs.astype(np.float32))
  artifacts.write_manifest(folder, manifest)


def _assert_ranked_but_not_counted(context, words):
  manifest = artifacts.read_manifest(context.workdir.audit)
  assert manifest['num_issues'] is None and manifest['noise_rate'] is None
  assert manifest['threshold']['kind'] is None
  assert words in manifest['threshold']['warning']
  assert {row['is_issue'] for row in _rows(context)} == {'0'}
  assert len({row['suspicion'] for row in _rows(context)}) > 100
  read = _read(context)
  assert not read.is_issue.any()
  assert words in reading.warning(read)
  assert 'How many are wrong: not counted.' in reading.method(read)


def test_networks_that_know_nothing_declare_nothing_wrong(own, caplog):
  context = own()
  _with_predictions(
    context, np.random.default_rng(0).dirichlet(np.ones(10), 1437)
  )
  with caplog.at_level(logging.WARNING, logger='absl'):
    audit.run(context)
  assert 'labels are ranked but not counted; train longer' in caplog.text
  assert {row['probability'] for row in _rows(context)} == {''}
  stated = artifacts.read_manifest(context.workdir.audit)['calibration']
  assert 'know too little for probabilities' in stated['warning']
  _assert_ranked_but_not_counted(context, 'were not trained on')


def test_threshold_samples_of_few_epochs_declare_nothing_wrong(own):
  context = own(audit__threshold_samples=True)
  source = context.workdir.root / 'train'
  for number in (0, 1):
    target = context.workdir.run('audit', number)
    shutil.copytree(source / f'run_0{number}', target)
  audit.run(context)
  _assert_ranked_but_not_counted(context, 'after 3.9 of them')


def test_without_held_out_examples_the_test_split_is_asked_too(own):
  context = own(train__subset_fraction=1.0)
  for run in context.runs:
    folder = context.workdir.run('train', run)
    manifest = artifacts.read_manifest(folder)
    artifacts.write_manifest(folder, {**manifest, 'test_accuracy': 0.47})
  audit.run(context)
  _assert_ranked_but_not_counted(context, '47 % of the labels of the test')
