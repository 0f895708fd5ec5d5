"""Tests of preparing items ahead in another thread."""

import threading
import time

import pytest

from datadiet.feeding.prefetch import prefetched


def _num_threads():
  return sum(thread.name == 'prefetch' for thread in threading.enumerate())


@pytest.mark.parametrize('depth', [1, 2, 5])
def test_items_come_in_order(depth):
  assert list(prefetched(iter(range(100)), depth)) == list(range(100))
  assert list(prefetched(iter([]), depth)) == []
  assert _num_threads() == 0


def test_items_are_made_ahead_but_not_too_far():
  made = []

  def items():
    for i in range(10):
      made.append(i)
      yield i

  ahead = prefetched(items(), depth=2)
  assert next(ahead) == 0
  deadline = time.monotonic() + 5
  while len(made) < 4 and time.monotonic() < deadline:
    time.sleep(0.01)
  time.sleep(0.05)
  # One taken, two waiting, one in the hand of the thread.
  assert made == [0, 1, 2, 3]
  ahead.close()
  assert _num_threads() == 0


def test_error_comes_in_the_place_of_its_item():
  def items():
    yield 1
    raise KeyError('broken')

  ahead = prefetched(items())
  assert next(ahead) == 1
  with pytest.raises(KeyError, match='broken'):
    next(ahead)
  assert _num_threads() == 0
