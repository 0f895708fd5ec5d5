"""Tests what an import makes of a workdir, and of its settings."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from datadiet import main
from datadiet.config import stored
from datadiet.errors import ConfigError, DataDietError
from datadiet.stages import mean_scores
from datadiet.workdir import lock
from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.importing.made_up import LAST_STEP, import_arrays, softmax


@pytest.mark.parametrize(
  ('asked', 'expected'),
  [
    (('forget', 'l2_error'), ('forgetting', 'el2n')),
    ((f'el2n@{LAST_STEP}',), (f'el2n@{LAST_STEP}',)),
    # Not among the config's score.names, which an import does not read.
    (('dual',), ('dual',)),
    (('grand', 'aum'), ('aum',)),
  ],
)
def test_it_selects_by_what_was_asked_for(
  recorded, tmp_path, caplog, asked, expected
):
  _, _, logits = recorded
  config = running.tiny_config(select__scores=asked)
  root = import_arrays(tmp_path, config, logits=logits)
  assert stored.get_config(str(root.config)).select.scores == expected
  warned = 'Left out of select.scores: grand, which' in caplog.text
  assert warned == ('grand' in asked)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'scores': ('grand',)}, "scores: 'grand' is not computed; .*= el2n"),
    ({'scores': ('grad_norm',)}, "scores: 'grand' is not computed"),
    ({'scores': ('dual',)}, "scores: 'dual' is not computed"),
    ({'scores': ('el2n@100',)}, "'el2n@100' is not scored at that step"),
    ({'policies': ('ccs:grand',)}, "scores: 'grand' is not computed"),
  ],
)
def test_other_scores_to_select_by_are_refused(
  recorded, tmp_path, changes, message
):
  _, _, logits = recorded
  changes = {f'select__{name}': value for name, value in changes.items()}
  with pytest.raises(ConfigError, match=message):
    import_arrays(tmp_path, running.tiny_config(**changes), logits=logits[-9:])
  assert not (tmp_path / 'workdir').exists()


def test_what_is_given_must_be_one_kind_in_a_new_folder(recorded, tmp_path):
  _, _, logits = recorded
  with pytest.raises(ConfigError, match='nothing is given to import'):
    import_arrays(tmp_path)
  with pytest.raises(ConfigError, match='--probs is not allowed with --logits'):
    import_arrays(tmp_path, logits=logits, probs=logits)
  root = import_arrays(tmp_path, logits=logits[-1])
  with pytest.raises(ConfigError, match='has results already'):
    import_arrays(tmp_path, logits=logits)
  assert root.config.exists()


def test_an_import_that_was_interrupted_begins_anew(
  recorded, tmp_path, monkeypatch
):
  labels, _, logits = recorded
  for name, rows in (('first', logits[-1]), ('other', logits[-2])):
    np.save(tmp_path / f'{name}.npy', rows)
  paths = tuple(str(tmp_path / f'{name}.npy') for name in ('first', 'other'))
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(mean_scores, 'write_means', _interrupt)
    features = np.ones((len(labels), 2))
    import_arrays(tmp_path, logits=paths, features=features)
  root = Workdir.at(tmp_path / 'workdir')
  assert root.scores(1, 22).exists() and not root.config.exists()
  with pytest.raises(ConfigError, match='an import that has not ended'):
    main.run(running.tiny_config(), str(root.root), ['select'])
  # Nothing is left of what this one does not have.
  import_arrays(tmp_path, logits=paths[:1])
  (tmp_path / 'fresh').mkdir()
  fresh = import_arrays(tmp_path / 'fresh', logits=paths[:1])
  one, other = (running.results(Path(at.root)) for at in (root, fresh))
  assert one == other and 'scores/scores.csv' in one
  with pytest.raises(ConfigError, match='has results already'):
    import_arrays(tmp_path, logits=paths[:1])


def _interrupt(*_):
  raise KeyboardInterrupt


def test_two_imports_at_once_do_not_mix(recorded, tmp_path, monkeypatch):
  _, _, logits = recorded
  root = Workdir.at(tmp_path / 'workdir')
  with (
    lock.hold(root.root),
    pytest.raises(DataDietError, match='in use by process'),
  ):
    import_arrays(tmp_path, logits=logits[-1])
  hold = lock.hold

  @contextlib.contextmanager
  def hold_after_another(folder):
    monkeypatch.setattr(lock, 'hold', hold)
    import_arrays(tmp_path, logits=logits[-1])
    with hold(folder) as holder:
      yield holder

  monkeypatch.setattr(lock, 'hold', hold_after_another)
  with pytest.raises(ConfigError, match='has results already'):
    import_arrays(tmp_path, logits=logits[-2])
  expected = softmax(logits[-1]).max(-1)
  found = np.load(root.scores(0, 22) / 'pred_probs.npy').max(-1)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
