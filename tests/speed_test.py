"""Tests of the marks that `make test-fast` goes by."""

import re

import pytest

from tests import speed
from tests.running import REPOSITORY
from tools import house

TESTS = REPOSITORY / 'tests'
ENTRIES = [start for starts in speed.MARKS.values() for start in starts]
ENTRIES += speed.FAST


@pytest.mark.parametrize('start', ENTRIES)
def test_every_entry_names_something(start):
  path, _, name = start.partition('::')
  assert (TESTS / path).exists()
  assert f'def {name}' in (TESTS / path).read_text() if name else True


@pytest.mark.parametrize(
  'room',
  sorted(room for room in house.rooms() if (TESTS / room).is_dir()),
)
def test_every_room_keeps_fast_tests(room):
  nodes = [
    f'{path.relative_to(REPOSITORY)}::{name}'
    for path in (TESTS / room).rglob('*_test.py')
    for name in re.findall(r'^def (test_\w+)', path.read_text(), re.M)
  ]
  assert not all(speed.marks_of(node) for node in nodes)


def test_a_mark_is_of_whole_names():
  assert speed.marks_of('tests/stages/train_test.py::test_it') == ['slow']
  assert speed.marks_of('tests/stages_test.py::test_it') == []
  assert speed.marks_of('tests/wheel/wheel_test.py::test_it') == ['network']
