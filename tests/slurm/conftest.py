"""A real Slurm of two nodes on this machine, and jobs in it.

These tests need root and Debian's slurm-wlm and munge. They run only when this
folder is named: `make test-slurm`.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

_FOLDER = 'tests/slurm'
REPOSITORY = Path(__file__).parents[2]
CLUSTER = Path(__file__).with_name('cluster.sh')


def pytest_ignore_collect(config):
  """Leaves these tests out unless they were asked for."""
  return None if any(_FOLDER in str(arg) for arg in config.args) else True


class Job:
  """A job of launch/slurm.sbatch."""

  def __init__(self, number, log, env):
    self.number = number
    self._log = log
    self._env = env

  def child(self, index):
    """A job of this array."""
    log = self._log.with_name(f'{self.number}_{index}.log')
    return Job(f'{self.number}_{index}', log, self._env)

  def _call(self, *command):
    return subprocess.run(
      command, env=self._env, check=True, capture_output=True, text=True
    ).stdout

  @property
  def log(self):
    return self._log.read_text() if self._log.exists() else ''

  def field(self, name):
    """A field of `scontrol show job`, such as JobState."""
    shown = self._call('scontrol', 'show', 'job', self.number)
    return re.search(rf'\b{name}=(\S+)', shown)[1]

  @property
  def restarts(self):
    return int(self.field('Restarts'))

  def wait_for(self, condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
      assert time.monotonic() < deadline, self.log
      time.sleep(0.1)

  def wait_for_log(self, text, count=1):
    self.wait_for(lambda: self.log.count(text) >= count)

  def preempt(self):
    """Sends SIGTERM to the tasks and waits for the job in the queue again."""
    before = self.restarts
    self._call('scancel', '--signal=TERM', self.number)
    self.wait_for(lambda: self.restarts == before + 1)
    self.start_soon()

  def start_soon(self):
    """Slurm holds a requeued job back for two minutes; this, for seconds.

    At once would be too early: a node does not start what it just ended.
    """
    self.wait_for(lambda: self.field('JobState') == 'PENDING')
    self._call('scontrol', 'update', f'JobId={self.number}', 'StartTime=now+5')

  def cancel(self):
    self._call('scancel', self.number)

  def wait(self):
    """The state in which it ended, and the exit code."""
    running = ('PENDING', 'RUNNING', 'COMPLETING', 'CONFIGURING', 'REQUEUED')
    self.wait_for(lambda: self.field('JobState') not in running)
    return self.field('JobState'), self.field('ExitCode').split(':')[0]


class Slurm:
  """A cluster to submit to."""

  def __init__(self, env):
    self._env = env

  def submit(self, *options, program, env=None, folder):
    """Submits launch/slurm.sbatch with sbatch's options."""
    env = {**(env or os.environ), **self._env, 'PYTHON': sys.executable}
    env.update(program.get('env', {}))
    output = subprocess.run(
      [
        *('sbatch', '--parsable', f'--output={folder}/%A_%a.log'),
        *(*options, REPOSITORY / 'launch' / 'slurm.sbatch'),
        *program['arguments'],
      ],
      cwd=program.get('directory', REPOSITORY),
      env=env,
      check=True,
      capture_output=True,
      text=True,
    ).stdout
    number = output.strip()
    # An index that is no array's is 2^32 - 2.
    return Job(number, folder / f'{number}_4294967294.log', env)


@pytest.fixture(scope='session')
def slurm():
  """The cluster; where munged trusts the folders: not in pytest's."""
  with tempfile.TemporaryDirectory(prefix='slurm') as folder:
    subprocess.run([CLUSTER, 'start', folder], check=True)
    try:
      yield Slurm({'SLURM_CONF': f'{folder}/slurm.conf'})
    finally:
      subprocess.run([CLUSTER, 'stop', folder], check=True)
