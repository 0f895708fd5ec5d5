"""Tests of the names of machines."""

import importlib.util

import pytest

from datadiet.errors import ConfigError, DataDietError
from datadiet.forecast import machines


@pytest.mark.parametrize(
  'name',
  [
    *('v5e', 'v7:2x4', 'v5e:8', '', 'v5e:'),
    *('h100', 'h100:', 'h100:0', 'h100:12', 'h100:2x4', 'h300:8'),
  ],
)
def test_names_that_are_none(name):
  with pytest.raises(ConfigError, match='; allowed: CHIP:SHAPE, one'):
    machines.open_machine(name)


@pytest.mark.parametrize(
  'machine, extra', [('v5e:2x4', 'tpu'), ('h100:8', 'cuda'), ('a100:1', 'cuda')]
)
def test_a_missing_compiler_is_one_sentence_with_the_command(
  machine, extra, monkeypatch
):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  command = rf"pip install 'datadiet\[{extra}\]' \(Linux on x86-64; no"
  with pytest.raises(DataDietError, match=command):
    machines.open_machine(machine)


def test_clocks_are_what_the_makers_peaks_come_out_at():
  peaks = {'v4': 275e12, 'v5e': 197e12, 'v5p': 459e12, 'v6e': 918e12}
  units = {'v4': 8 * 128**2, 'v5e': 4 * 128**2, 'v5p': 8 * 128**2}
  units['v6e'] = 4 * 256**2
  for name, chip in machines.TPUS.items():
    assert 2 * units[name] * chip.hertz == pytest.approx(peaks[name], rel=0.02)
