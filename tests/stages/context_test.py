"""Tests that what stages share is read once."""

import collections
import re

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.scoring import registry
from datadiet.stages import STAGES
from datadiet.stages.context import Context, training_plan
from datadiet.workdir import artifacts, storage
from tests import running


@pytest.fixture
def reads(monkeypatch):
  """Counts reads: (number of stages begun, path) -> reads."""
  counts, begun = collections.Counter(), []
  read_bytes, forget = storage.read_bytes, Context.forget

  def counted(path):
    counts[len(begun), str(path)] += 1
    return read_bytes(path)

  def noted(context):
    begun.append(None)
    forget(context)

  monkeypatch.setattr(storage, 'read_bytes', counted)
  monkeypatch.setattr(Context, 'forget', noted)
  return counts


@pytest.fixture
def files(tmp_path):
  """A subset and scores of the user's own, both with a manifest beside."""
  rng = np.random.default_rng(0)
  fingerprint = load_fingerprint()
  for name in ('mine', 'theirs'):
    artifacts.write_manifest(tmp_path / name, {'fingerprint': fingerprint})
  np.save(tmp_path / 'mine' / 'kept.npy', rng.permutation(1437)[:1000])
  np.save(tmp_path / 'theirs' / 'hardness.npy', rng.random(1437))
  return {
    'train__subset_path': str(tmp_path / 'mine' / 'kept.npy'),
    'select__scores_path': str(tmp_path / 'theirs' / 'hardness.npy'),
    'select__higher_is': 'harder',
  }


def load_fingerprint():
  from datadiet.data.sources.digits import load_digits

  return load_digits(None).fingerprint


# Few and short: what counts is how often each is read.
_SHORT = {
  'train__num_steps': 22,
  'train__schedule_steps': 22,
  'train__num_runs': 1,
  'score__steps': (22,),
  'score__keep': ('features',),
  'retrain__num_steps': 1,
  'retrain__full': False,
  'select__policies': ('keep_max', 'top_window', 'moderate'),
}


def test_a_start_reads_each_input_once(tmp_path, reads, files):
  config = running.tiny_config(
    **_SHORT, **files, score__names=('el2n', 'input_norm')
  )
  for _ in range(2):  # The second one finds everything done.
    reads.clear()
    main.run(config, str(tmp_path / 'workdir'), list(STAGES))
    totals = collections.Counter()
    for (_, path), number in reads.items():
      totals[path] += number
    for name in ('train__subset_path', 'select__scores_path'):
      folder, _, _ = files[name].rpartition('/')
      assert totals[files[name]] == 1
      assert totals[f'{folder}/manifest.json'] == 1


def test_a_stage_reads_each_artifact_once(tmp_path, reads):
  config = running.tiny_config(
    **_SHORT,
    score__names=('el2n', 'grand', 'input_norm'),
    select__scores=('el2n', 'grand'),
  )
  stages = [name for name in STAGES if name != 'report']
  for _ in range(2):
    reads.clear()
    main.run(config, str(tmp_path / 'workdir'), stages)
    often = {
      path
      for (_, path), number in reads.items()
      # A writer of checkpoints looks back at what it has written; times are
      # looked at for an estimate, and added to.
      if number > 1 and not re.search('/checkpoints/|/timing.json', path)
    }
    assert often == set()


def test_what_was_read_is_kept_while_the_config_is_resolved(finished, files):
  config = config_lib.resolve(running.tiny_config(**files))
  context = Context(config, finished.workdir, finished.dataset)
  subset, scores = context.subset, context.score_file
  resolved = context.with_changes(config=config_lib.resolve(config, 15))
  assert resolved.subset is subset and resolved.score_file is scores
  assert resolved.steps_per_epoch == 1000 // 64


def test_a_stage_sees_what_the_one_before_it_wrote(own):
  folder = own.workdir.scores(0, 44)
  manifest = own.manifest(folder)
  artifacts.write_manifest(folder, {**manifest, 'new': 1})
  assert 'new' not in own.manifest(folder)
  own.forget()
  assert own.manifest(folder)['new'] == 1
  own.write_manifest(folder, {**manifest, 'new': 2})
  assert own.manifest(folder)['new'] == 2


def test_event_files_are_told_the_whole_config():
  config = config_lib.resolve(running.tiny_config(score__steps=(0, 44)))
  plan = training_plan(config, 44)
  assert plan.hparams.keys() == config_lib.FIELDS.keys()
  assert plan.hparams['model.name'] == 'simple_cnn'
  assert plan.hparams['retrain.num_runs'] == 2
  assert plan.hparams['score.steps'] == '(0, 44)'
  # As TensorBoard takes them.
  assert {*map(type, plan.hparams.values())} <= {bool, int, float, str}
  assert 'hparams' not in plan.statement()


def test_scores_depend_on_settings_that_there_are():
  settings = dict(config_lib.flatten(running.tiny_config()))
  for name, score in registry.SCORES.items():
    assert set(score.depends_on.values()) <= settings.keys(), name
  unclog = registry.SCORES['unclog'].depends_on
  assert unclog['sample_size'] == 'score.unclog_sample_size'
  assert unclog['dtype'] == 'score.dtype'
