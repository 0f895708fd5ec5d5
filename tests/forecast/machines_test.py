"""Tests of the names of machines."""

import importlib.util

import pytest

from datadiet.errors import ConfigError, DataDietError
from datadiet.forecast import machines


@pytest.mark.parametrize('name', ['v5e', 'v7:2x4', 'v5e:8', 'h100', '', 'v5e:'])
def test_names_that_are_none(name):
  with pytest.raises(ConfigError, match='; allowed: CHIP:SHAPE, one'):
    machines.open_machine(name)


def test_a_missing_compiler_is_one_sentence_with_the_command(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(DataDietError, match=r"pip install 'datadiet\[tpu\]'"):
    machines.open_machine('v5e:2x4')


def test_clocks_are_what_the_makers_peaks_come_out_at():
  peaks = {'v4': 275e12, 'v5e': 197e12, 'v5p': 459e12, 'v6e': 918e12}
  units = {'v4': 8 * 128**2, 'v5e': 4 * 128**2, 'v5p': 8 * 128**2}
  units['v6e'] = 4 * 256**2
  for name, chip in machines.CHIPS.items():
    assert 2 * units[name] * chip.hertz == pytest.approx(peaks[name], rel=0.02)
