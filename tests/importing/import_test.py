"""Tests the import of what another program's training left behind."""

import json
import pickle
import subprocess
import sys

import fsspec
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.config import stored
from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.stages import pred_probs
from datadiet.stages.context import Context
from datadiet.workdir import artifacts
from tests import running
from tests.importing.made_up import (
  LAST_STEP,
  NUM_EPOCHS,
  import_arrays,
  mean_scores_of,
  softmax,
)


def _formulas(logits, labels, window=10):
  """Scores by their definitions, of float64[epochs, N, C]."""
  probs, rows = softmax(logits), np.arange(len(labels))
  own = probs[:, rows, labels]
  right = logits.argmax(-1) == labels
  onehot = np.eye(logits.shape[-1])[labels]
  others = np.where(onehot == 1, -np.inf, logits)
  forgotten = (right[:-1] & ~right[1:]).sum(0)
  never = ~right.any(0)
  windows = [own[i : i + window] for i in range(len(own) - window + 1)]
  stds = [one.std(0, ddof=1) for one in windows]
  means = [one.mean(0) for one in windows]
  last = probs[-1]
  return {
    'el2n': np.linalg.norm(last - onehot, axis=1),
    'loss': -np.log(own[-1]),
    'entropy': -(last * np.log(last)).sum(1),
    'confidence': own[-1],
    'aum': (logits[:, rows, labels] - others.max(-1)).mean(0),
    'accumulated_margin': (
      own - np.where(onehot == 1, 0.0, probs).max(-1)
    ).mean(0),
    'forgetting': np.where(never, len(logits) + 1, forgotten),
    'correctness': right.mean(0),
    'mean_confidence': own.mean(0),
    'variability': own.std(0),
    'dyn_unc': np.mean(stds, 0),
    'dual': np.mean([s * (1 - m) for s, m in zip(stds, means)], 0),
  }


def _assert_equal(found, expected, names):
  for name in names:
    np.testing.assert_allclose(
      found[name], expected[name], rtol=1e-6, atol=1e-6, err_msg=name
    )


def test_logits_give_the_scores_of_their_formulas(recorded, tmp_path):
  labels, _, logits = recorded
  root = import_arrays(tmp_path, logits=logits.astype(np.float32))
  found, expected = mean_scores_of(root), _formulas(logits, labels)
  assert {'tdds', 'max_margin', 'never_learned'} < {*found}
  assert 'grand' not in found and 'grand_last' not in found
  _assert_equal(found, expected, expected)
  assert 0 < (found['forgetting'] > NUM_EPOCHS).sum() < len(labels)
  path = artifacts.dynamics_file(root.run('train', 0), LAST_STEP)
  dynamics = artifacts.read_npz(path)
  np.testing.assert_array_equal(dynamics['trained_on'], np.arange(len(labels)))
  assert dynamics['window'] == 10 and 'changes.score' in dynamics
  # What is only needed to go on takes most of it.
  assert 'changes.probs' not in dynamics
  assert max(array.size for array in dynamics.values()) == len(labels)


def test_probabilities_give_the_same(recorded, tmp_path):
  labels, _, logits = recorded
  found = mean_scores_of(import_arrays(tmp_path, probs=softmax(logits)))
  expected = _formulas(logits, labels)
  _assert_equal(found, expected, expected)


@pytest.mark.slow
def test_zeros_give_no_score_of_their_logarithms(recorded, tmp_path, caplog):
  labels, _, logits = recorded
  probs = softmax(logits * 4).astype(np.float16)
  assert (probs == 0).any()
  root = import_arrays(tmp_path, probs=probs)
  found, exact = mean_scores_of(root), _formulas(logits * 4, labels)
  assert {'el2n', 'entropy', 'forgetting', 'dual', 'accumulated_margin'} < {
    *found
  }
  assert not {'aum', 'loss', 'tdds'} & {*found}
  assert 'Left out: loss, aum, tdds, as there are' in caplog.text
  for name in ('el2n', 'mean_confidence'):
    np.testing.assert_allclose(found[name], exact[name], atol=2e-3)
  (run,) = (root.root / 'scores' / 'run_00').iterdir()
  assert not (run / 'aum.npy').exists()
  with pytest.raises(ConfigError, match="scores: 'aum' is not computed"):
    (tmp_path / 'again').mkdir()
    config = running.tiny_config(select__scores=('aum',))
    import_arrays(tmp_path / 'again', config, probs=probs[-2:])
  with np.load(next(root.root.glob('train/run_00/dynamics/*'))) as dynamics:
    assert 'visits' in dynamics and 'margin_mean' not in dynamics


def test_probabilities_below_float32_keep_their_logarithms(recorded, tmp_path):
  labels, _, logits = recorded
  probs = softmax(logits * 40)
  assert 0 < probs.min() < 1e-60
  found = mean_scores_of(import_arrays(tmp_path, probs=probs))
  expected = _formulas(logits * 40, labels)
  np.testing.assert_allclose(found['aum'], expected['aum'], 1e-5, 1e-4)


def test_it_says_how_often_the_last_epoch_is_right(recorded, tmp_path, caplog):
  labels, _, logits = recorded
  caplog.set_level('INFO')
  import_arrays(tmp_path, logits=logits)
  right = 100 * (logits[-1].argmax(-1) == labels).mean()
  assert f'the last epoch predicts {right:.2f} % of the labels' in caplog.text


def test_predictions_of_one_class_have_no_order_to_refuse(recorded, tmp_path):
  _, _, logits = recorded
  one = logits[-1].copy()
  one[:, 3] = 30 + one[:, 3]
  assert 'el2n' in mean_scores_of(import_arrays(tmp_path, logits=one))


def test_losses_give_what_the_label_s_probability_tells(recorded, tmp_path):
  labels, _, logits = recorded
  own = softmax(logits)[:, np.arange(len(labels)), labels]
  root = import_arrays(tmp_path, losses=-np.log(own))
  found, expected = mean_scores_of(root), _formulas(logits, labels)
  names = {'loss', 'confidence', 'mean_confidence', 'variability'}
  assert {*found} == names | {'dual', 'dyn_unc'}
  _assert_equal(found, expected, found)
  # Which scores there are is what the stages go by.
  config = stored.get_config(str(root.config))
  assert config.select.scores == ('loss',)
  (run,) = (root.root / 'scores' / 'run_00').iterdir()
  assert not (run / 'pred_probs.npy').exists()


def test_few_epochs_have_no_windows_and_one_no_dynamics(recorded, tmp_path):
  _, _, logits = recorded
  (tmp_path / 'one').mkdir()
  one = mean_scores_of(import_arrays(tmp_path / 'one', logits=logits[-1]))
  assert 'el2n' in one and 'aum' not in one
  few = mean_scores_of(import_arrays(tmp_path, logits=logits[:9]))
  assert 'aum' in few and 'dual' not in few


def test_rows_are_joined_by_ids(recorded, tmp_path):
  labels, ids, logits = recorded
  order = np.random.default_rng(1).permutation(len(ids))
  (tmp_path / 'ids.txt').write_text('\n'.join(ids[order]) + '\n')
  features = np.random.default_rng(2).normal(size=(len(ids), 6))
  root = import_arrays(
    tmp_path,
    logits=logits[:, order],
    features=features[order],
    ids=str(tmp_path / 'ids.txt'),
  )
  found = mean_scores_of(root)
  _assert_equal(found, _formulas(logits, labels), ('el2n', 'aum'))
  (run,) = (root.root / 'scores' / 'run_00').iterdir()
  np.testing.assert_array_equal(
    np.load(run / 'features.npy'), features.astype(np.float32)
  )
  norm = np.sqrt((features**2).sum(1) + 1)
  np.testing.assert_allclose(
    found['grand_last'], found['el2n'] * norm, rtol=1e-5
  )


def test_runs_are_averaged(recorded, tmp_path):
  labels, _, logits = recorded
  other = logits / 2
  np.save(tmp_path / 'other.npy', other)
  np.save(tmp_path / 'first.npy', logits)
  paths = (str(tmp_path / 'first.npy'), str(tmp_path / 'other.npy'))
  found = mean_scores_of(import_arrays(tmp_path, logits=paths))
  both = [_formulas(one, labels)['el2n'] for one in (logits, other)]
  np.testing.assert_allclose(found['el2n'], np.mean(both, 0), rtol=1e-6)
  np.save(tmp_path / 'other.npy', other[:3])
  with pytest.raises(ConfigError, match=r'epochs.*12 of .*first.*3 of .*other'):
    (tmp_path / 'again').mkdir()
    import_arrays(tmp_path / 'again', logits=paths)


def test_features_of_one_of_several_runs_give_no_score(
  recorded, tmp_path, caplog
):
  labels, _, logits = recorded
  for name, rows in (('first', logits[-1]), ('other', logits[-2])):
    np.save(tmp_path / f'{name}.npy', rows)
  features = np.random.default_rng(2).normal(size=(len(labels), 6))
  paths = tuple(str(tmp_path / f'{name}.npy') for name in ('first', 'other'))
  root = import_arrays(tmp_path, logits=paths, features=features)
  found = mean_scores_of(root)
  assert 'el2n' in found and 'grand_last' not in found
  assert 'Left out: grand_last, as --features are those of the' in caplog.text
  first, other = (next(root.root.glob(f'scores/run_0{i}/*')) for i in (0, 1))
  found = np.load(first / 'features.npy')
  np.testing.assert_array_equal(found, features.astype(np.float32))
  assert not (other / 'features.npy').exists()
  for folder in (first, other):
    assert not (folder / 'grand_last.npy').exists()


def test_the_other_stages_run_without_any_training(recorded, tmp_path):
  labels, _, logits = recorded
  wrong = np.random.default_rng(3).choice(len(labels), 40, replace=False)
  logits = logits.copy()
  logits[:, wrong] = np.roll(logits[:, wrong], 1, axis=2)
  held_out = softmax(logits[-1])
  config = running.tiny_config(
    select__policies=('keep_max', 'craig', 'contextual_diversity'),
    select__sizes=(100,),
    select__fractions=(),
  )
  root = import_arrays(
    tmp_path,
    config,
    logits=logits,
    features=np.random.default_rng(2).normal(size=(len(labels), 6)),
    held_out_probs=held_out,
  )
  config = stored.get_config(str(root.config))
  main.run(config, str(root.root), ['train', 'score', 'audit', 'select'])
  assert not list((root.root / 'train').glob('*/checkpoints'))
  assert len(list((root.root / 'selections').iterdir())) == 4
  audit = json.loads((root.audit / 'manifest.json').read_text())
  assert audit['suggestions'] == 'out-of-sample'
  lines = (root.audit / 'label_issues.csv').read_text().splitlines()
  worst = {int(line.split(',')[0]) for line in lines[1:41]}
  assert len(worst & {*wrong.tolist()}) > 30
  with pytest.raises(ConfigError, match='whose scores were imported'):
    main.run(config, str(root.root), ['train', 'score'])
  main.run(config, str(root.root), ['report'])
  page = (root.report / 'index.html').read_text()
  assert 'el2n' in page
  summary = json.loads((root.report / 'summary.json').read_text())
  assert summary['scored_steps'] == [LAST_STEP]
  assert summary['scores'] == sorted(mean_scores_of(root))


def test_what_was_changed_since_the_import_is_refused(recorded, tmp_path):
  labels, _, logits = recorded
  root = import_arrays(
    tmp_path,
    logits=logits[-1],
    features=np.random.default_rng(2).normal(size=(len(labels), 6)),
    held_out_probs=softmax(logits[-1]),
  )
  config = config_lib.resolve(stored.get_config(str(root.config)))
  (step,) = config.score.steps
  dataset = load_dataset(config.dataset)
  for run, name, read in (
    (None, 'pred_probs', lambda one: pred_probs.read(one, None, step)),
    (None, 'el2n', lambda one: one.mean_score('el2n', step)),
    (0, 'pred_probs', lambda one: pred_probs.read(one, 0, step)),
    (0, 'features', lambda one: one.run_array(0, step, 'features')),
  ):
    path = root.scores(run, step) / f'{name}.npy'
    read(Context(config, root, dataset))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataDietError, match=f'{path} is damaged .its') as error:
      read(Context(config, root, dataset))
    # No stage makes it anew if it is deleted.
    assert 'import it anew into another folder' in str(error.value)
    assert 'delete' not in str(error.value)


def test_held_out_predictions_alone_will_do(recorded, tmp_path):
  labels, _, logits = recorded
  found = mean_scores_of(
    import_arrays(tmp_path, held_out_probs=softmax(logits[-1]))
  )
  _assert_equal(found, _formulas(logits, labels), ('el2n', 'loss', 'entropy'))
  assert 'aum' not in found


@pytest.mark.parametrize(
  ('given', 'stated'),
  [
    (('logits',), 'in-sample'),
    (('logits', 'held_out_probs'), 'in-sample'),
    (('held_out_probs',), 'out-of-sample'),
  ],
)
def test_each_score_says_what_it_was_made_from(
  recorded, tmp_path, given, stated
):
  _, _, logits = recorded
  arrays = {'logits': logits, 'held_out_probs': softmax(logits[-1])}
  root = import_arrays(tmp_path, **{name: arrays[name] for name in given})
  for folder in (root.root / 'scores').glob('*/step_*'):
    scores = json.loads((folder / 'manifest.json').read_text())['scores']
    assert {score['imported'] for score in scores.values()} == {stated}
  config = stored.get_config(str(root.config))
  main.run(config, str(root.root), ['audit'])
  audit = json.loads((root.audit / 'manifest.json').read_text())
  expected = {
    ('logits',): ['loss'],
    ('logits', 'held_out_probs'): ['loss', 'out-of-sample predictions'],
    # A score of the same predictions would count them twice.
    ('held_out_probs',): ['out-of-sample predictions'],
  }
  assert audit['evidence'] == expected[given]


def _damaged(logits, position, value):
  logits = logits.copy()
  logits[position] = value
  return logits


@pytest.mark.parametrize(
  ('name', 'change', 'message'),
  [
    ('logits', lambda x: x[:, :-1], r'\[12, 1436, 10\]; allowed: \[epochs, 14'),
    ('logits', lambda x: x[..., :9], r'1437 train examples of 10 classes'),
    ('logits', lambda x: x[None], r'allowed: \[epochs, 1437, 10\]'),
    (
      'logits',
      lambda x: _damaged(x, (3, 7, 0), np.nan),
      '1 row of epoch 3 not allowed, the first row 7.*finite',
    ),
    (
      'logits',
      lambda x: _damaged(x, (3, 7, 0), -1e39),
      r'first row 7: .*-1e\+39.*allowed: finite numbers, up to 3.4e\+38',
    ),
    ('logits', lambda x: x.astype(str), 'allowed: numbers'),
    (
      'probs',
      lambda x: _damaged(softmax(x), (3, 7, 0), np.nan),
      '1 row of epoch 3 not allowed, the first row 7.*nan.*sum to 1',
    ),
    (
      'held_out_probs',
      lambda x: _damaged(softmax(x[0]), (7, 0), np.nan),
      '1 row not allowed, the first row 7.*nan.*sum to 1',
    ),
    (
      'losses',
      lambda x: _damaged(x[..., 0] ** 2, (3, 7), np.nan),
      'the first row 7: nan; allowed: cross-entropies, 0 or more',
    ),
    ('probs', lambda x: x, 'probabilities that sum to 1'),
    (
      'logits',
      softmax,
      'all rows of .*bad.npy of epoch 0 .*sum to 1.*; allowed: .*--probs with',
    ),
    (
      'logits',
      lambda x: np.random.default_rng(4).permutation(x, axis=1),
      r'bad.npy: the last epoch predicts \d+.\d% of the labels, no more than '
      r'by chance \(\d+.\d%\).*own order, or .* by --ids',
    ),
    (
      'held_out_probs',
      lambda x: np.roll(softmax(x[-1]), 1, axis=0),
      '--held_out_probs: .*no more than by chance',
    ),
    ('losses', lambda x: x[..., 0], 'cross-entropies, 0 or more'),
    ('features', lambda x: x[0, :5], r'\[5, 10\]; allowed: \[1437, d\]'),
    ('held_out_probs', lambda x: x[0], 'probabilities that sum to 1'),
    ('logits', lambda x: x.astype(object), 'holds Python objects'),
  ],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_is_written(
  recorded, tmp_path, name, change, message
):
  _, _, logits = recorded
  arrays = {'logits': logits} if name in ('features', 'held_out_probs') else {}
  bad = change(logits)
  path = tmp_path / 'bad.npy'
  np.save(path, bad, allow_pickle=bad.dtype == object)
  arrays[name] = (
    (str(path),) if name in ('logits', 'probs', 'losses') else (str(path))
  )
  with pytest.raises(DataDietError, match=message):
    import_arrays(tmp_path, **arrays)
  assert not (tmp_path / 'workdir').exists()


def test_files_of_pickled_objects_are_refused(recorded, tmp_path):
  (tmp_path / 'logits.pt').write_bytes(pickle.dumps({'logits': [1.0]}))
  with pytest.raises(
    DataDietError, match='no readable .npy file, but a pickle'
  ):
    import_arrays(tmp_path, logits=(str(tmp_path / 'logits.pt'),))


def test_files_of_an_object_store_are_copied_first(recorded, tmp_path):
  labels, _, logits = recorded
  np.save(tmp_path / 'logits.npy', logits[-1])
  store = fsspec.filesystem('memory')
  store.pipe_file('/import/a.npy', (tmp_path / 'logits.npy').read_bytes())
  with pytest.raises(DataDietError, match='memory://import/b.npy does not exi'):
    import_arrays(tmp_path, logits=('memory://import/b.npy',))
  found = mean_scores_of(
    import_arrays(tmp_path, logits=('memory://import/a.npy',))
  )
  _assert_equal(found, _formulas(logits, labels), ('el2n', 'loss'))


def test_ids_may_be_saved_by_other_programs(recorded, tmp_path):
  labels, ids, logits = recorded
  order = np.random.default_rng(1).permutation(len(ids))
  text = ''.join(f'{name}\r\n' for name in ids[order])
  path = tmp_path / 'ids.txt'
  path.write_bytes(text.encode('utf-8-sig'))
  root = import_arrays(tmp_path, logits=logits[-1, order], ids=str(path))
  _assert_equal(
    mean_scores_of(root), _formulas(logits, labels), ('el2n', 'loss')
  )
  path.write_bytes(text.encode('utf-16'))
  with pytest.raises(DataDietError, match='ids.txt is not text in UTF-8 .*en'):
    (tmp_path / 'again').mkdir()
    import_arrays(tmp_path / 'again', logits=logits[-1], ids=str(path))


def test_ids_of_other_examples_are_refused(recorded, tmp_path):
  _, ids, logits = recorded
  for changed, message in (
    ([*ids[:-1], 'stranger'], f"without '{ids[-1]}', with 'str"),
    ([*ids, ids[0]], '1,438 ids, 1,437 of them dist'),
    (ids[1:], 'has 1,436 ids'),
  ):
    (tmp_path / 'ids.txt').write_text('\n'.join(changed))
    with pytest.raises(DataDietError, match=f'--ids: .*{message}'):
      import_arrays(tmp_path, logits=logits, ids=str(tmp_path / 'ids.txt'))


def test_the_command(recorded, tmp_path):
  _, _, logits = recorded
  np.save(tmp_path / 'logits.npy', logits[-1])
  command = [sys.executable, '-m', 'datadiet', 'import']
  command += running.tiny_flags(tmp_path / 'workdir')
  env = running.environment(tmp_path)
  for flags, code, message in (
    (['--logits=a', '--probs=b'], 2, '--probs is not allowed with --logits'),
    (['--logits=nowhere.npy'], 1, 'nowhere.npy does not exist'),
    ([f'--logits={tmp_path}/logits.npy'], 0, 'go on with --stages=audit'),
  ):
    done = subprocess.run(
      [*command, *flags], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code and message in done.stderr, done.stderr
  assert 'el2n' in (tmp_path / 'workdir' / 'scores' / 'scores.csv').read_text()
