"""Tests the order of old score files against numpy itself."""

import os
import subprocess
import sys

import numpy as np
import pytest

from datadiet.errors import DataDietError
from tools import old_scores

# With these switched off numpy sorts as it did before it had them.
_FEATURES = 'X86_V3 X86_V4 AVX512_ICL AVX512_SPR'

_SORT = """
import sys
import numpy as np
for num, num_classes, seed in eval(sys.argv[1]):
  labels = np.random.default_rng(seed).integers(0, num_classes, num)
  np.save(f'{sys.argv[2]}/{num}_{num_classes}_{seed}.npy', labels.argsort())
"""
_CASES = [(1, 2, 0), (16, 3, 1), (17, 3, 2), (18, 2, 3), (1000, 10, 4)]
_CASES += [(5000, 100, 5), (20_000, 10, 6), (3000, 1, 7)]


@pytest.fixture(scope='module')
def sorted_then(tmp_path_factory):
  """A folder with what numpy's quicksort makes of each case."""
  folder = tmp_path_factory.mktemp('sorted')
  subprocess.run(
    [sys.executable, '-W', 'ignore', '-c', _SORT, repr(_CASES), str(folder)],
    env={**os.environ, 'NPY_DISABLE_CPU_FEATURES': _FEATURES},
    check=True,
    capture_output=True,
  )
  return folder


@pytest.mark.parametrize('num, num_classes, seed', _CASES)
def test_the_sort_is_numpy_s_of_the_time(sorted_then, num, num_classes, seed):
  labels = np.random.default_rng(seed).integers(0, num_classes, num)
  expected = np.load(sorted_then / f'{num}_{num_classes}_{seed}.npy')
  found = old_scores.quicksort_order(labels)
  np.testing.assert_array_equal(found, expected)


def test_it_is_not_the_stable_one():
  labels = np.random.default_rng(0).integers(0, 10, 1000)
  stable = np.argsort(labels, kind='stable')
  assert (old_scores.quicksort_order(labels) != stable).any()
  found = old_scores.old_order(labels, sort='stable')
  np.testing.assert_array_equal(found, stable)


@pytest.mark.parametrize('fraction', [0.0, 0.3])
def test_scores_come_back_to_their_examples(fraction):
  """As the old code would have sorted examples and scored them."""
  labels = np.random.default_rng(1).integers(0, 10, 500)
  examples = np.arange(500)
  order = old_scores.quicksort_order(labels)
  examples, by_class = examples[order], labels[order]
  if fraction:
    rng = np.random.RandomState(7)
    drawn = rng.choice(500, int(500 * fraction), replace=False)
    noisy = by_class.copy()
    noisy[np.sort(drawn)] = noisy[drawn]
    examples = examples[old_scores.quicksort_order(noisy)]
  order = old_scores.old_order(
    labels, random_label_fraction=fraction, random_label_seed=7
  )
  converted = old_scores.convert(examples * 10.0, order)
  assert converted.dtype == np.float32
  np.testing.assert_array_equal(converted, np.arange(500) * 10.0)


def test_what_was_never_learned_ranks_above_all_and_is_finite():
  order = np.array([2, 0, 1])
  converted = old_scores.convert(np.array([np.inf, 3.0, 0.0]), order)
  assert converted.tolist() == [3.0, 0.0, 4.0]


@pytest.mark.parametrize(
  'scores, message',
  [
    (np.zeros(4), r'float64\[4\]; allowed: one number for each of 3'),
    (np.zeros((3, 2)), r'float64\[3, 2\]'),
    (np.array([0.0, np.nan, 1.0]), 'row 1 is NaN'),
  ],
)
def test_scores_that_do_not_fit_are_refused(scores, message):
  with pytest.raises(DataDietError, match=message):
    old_scores.convert(scores, np.arange(3))


def _run(*flags):
  return subprocess.run(
    [sys.executable, '-m', 'tools.old_scores', *flags],
    capture_output=True,
    text=True,
    check=False,
  )


def test_the_command_converts_cinic10_in_the_old_layout(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  rng = np.random.default_rng(0)
  folder = tmp_path / 'cinic10'
  folder.mkdir()
  labels = {}
  for name, num in (('train', 60), ('valid', 50), ('test', 20)):
    images = rng.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
    labels[name] = rng.integers(0, 10, num)
    np.save(folder / f'X_{name}.npy', images)
    np.save(folder / f'Y_{name}.npy', labels[name])
  both = np.concatenate([labels['train'], labels['valid']])
  order = old_scores.quicksort_order(both)
  np.save(tmp_path / 'old.npy', np.arange(110.0)[order])
  flags = [
    '--scores=~/old.npy',
    '--output=~/new.npy',
    '--dataset=cinic10',
    '--data_dir=~',
  ]
  done = _run(*flags)
  assert done.returncode == 0, done.stderr
  np.testing.assert_array_equal(np.load(tmp_path / 'new.npy'), np.arange(110))
  np.save(tmp_path / 'short.npy', np.arange(109.0))
  short = _run(
    f'--scores={tmp_path / "short.npy"}',
    f'--output={tmp_path / "b"}',
    *flags[2:],
  )
  assert short.returncode == 1
  assert f'{tmp_path / "short.npy"}: the scores are' in short.stderr
  wrong = _run(*flags, '--random_label_fraction=1.5')
  assert wrong.returncode == 2
  assert '--random_label_fraction: 1.5 is not allowed' in wrong.stderr
  again = _run(*flags)
  assert again.returncode == 2
  assert 'new.npy exists already' in again.stderr
  refused = _run(*flags[:1], f'--output={tmp_path / "b"}', '--dataset=digits')
  assert refused.returncode == 2
  assert "'digits' from TFDS is not allowed" in refused.stderr
  assert not (tmp_path / 'b').exists()
