"""Stand-ins for the clouds' and clusters' commands, first on the PATH."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name('stand_in.py')
NAMES = ('gcloud', 'sleep', 'srun', 'scontrol', 'kubectl', 'sky')


class StandIns:
  """A folder of recording commands, and scripts run with them."""

  def __init__(self, folder):
    self._folder = folder
    self.directory = folder / 'run'
    self.directory.mkdir()
    self._bin = folder / 'bin'
    self._bin.mkdir()
    for name in NAMES:
      self.add(name)
    self.script()

  def add(self, name):
    """Puts a recording command of this name on the PATH."""
    path = self._bin / name
    path.write_text(
      f'#!/bin/sh\nexec {sys.executable} -S -E {STAND_IN} {name} "$@"\n'
    )
    path.chmod(0o755)

  def script(self, *rules):
    """Sets the answers: (words in the call, answer, answer, ...)."""
    (self._folder / 'scenario.json').write_text(
      json.dumps([{'match': m, 'answers': answers} for m, *answers in rules])
    )

  @property
  def environment(self):
    """Nothing of the caller's environment, so no real cloud is reached."""
    return {
      'PATH': f'{self._bin}{os.pathsep}/usr/bin{os.pathsep}/bin',
      'HOME': str(self._folder),
      'STAND_IN_FOLDER': str(self._folder),
    }

  def start(self, name, *arguments, **environment):
    """Starts a script of launch/, in an empty directory."""
    return subprocess.Popen(
      ['bash', str(REPOSITORY / 'launch' / name), *arguments],
      cwd=self.directory,
      env={**self.environment, **environment},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )

  def run(self, name, *arguments, **environment):
    """Runs a script of launch/: (exit code, stdout, stderr)."""
    process = self.start(name, *arguments, **environment)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err

  @property
  def calls(self):
    """All calls so far, in order: lists of words."""
    path = self._folder / 'calls'
    if not path.exists():
      return []
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def stand_ins(tmp_path):
  return StandIns(tmp_path)
