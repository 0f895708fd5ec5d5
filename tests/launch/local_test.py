"""Tests of local.py with small programs in place of datadiet.main."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from launch import local

REPOSITORY = Path(__file__).parents[2]

# What stands in for datadiet.main: its process number is the last argument.
# Like it, it ends with 75 after a first SIGTERM and at once after a second.
PRELUDE = """
import os, pathlib, signal, sys, time
index = int(sys.argv[1])
directory = pathlib.Path(sys.argv[2])
def stop(number, frame):
  print('saving', flush=True)
  sys.exit(75)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
def starts():
  path = directory / f'starts_{index}'
  count = int(path.read_text()) if path.exists() else 0
  path.write_text(str(count + 1))
  return count
def wait_for_others():
  (directory / f'ready_{index}').write_text('')
  while len(list(directory.glob('ready_*'))) < 2:
    time.sleep(0.02)
"""
DRIVER = """
import sys
from launch import local
program, directory = sys.argv[1:3]
local.command_of = lambda options, index, port: [
  sys.executable, '-c', program, str(index), directory
]
sys.exit(local.main(sys.argv[3:]))
"""


class Run:
  """local.py at work on a program."""

  def __init__(self, program, directory, *options):
    self._process = subprocess.Popen(
      [
        *(sys.executable, '-c', DRIVER, PRELUDE + textwrap.dedent(program)),
        *(str(directory), *options, '--', f'--workdir={directory}/results'),
      ],
      cwd=REPOSITORY,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )

  def send(self, number):
    self._process.send_signal(number)

  def send_as_terminal(self, number):
    """To all in the foreground, as Ctrl-C does."""
    os.killpg(self._process.pid, number)

  def wait(self):
    """(exit code, stdout, stderr), within a time that a hang exceeds."""
    out, err = self._process.communicate(timeout=40)
    return self._process.returncode, out, err


def wait_for(directory, pattern, count):
  deadline = time.monotonic() + 30
  while len(list(directory.glob(pattern))) < count:
    assert time.monotonic() < deadline
    time.sleep(0.02)


def test_output_is_prefixed(tmp_path):
  code, out, _ = Run('print("here")', tmp_path, '--num_processes=3').wait()
  assert code == 0
  assert sorted(out.splitlines()) == ['[0] here', '[1] here', '[2] here']


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_all(tmp_path, number):
  run = Run('wait_for_others(); time.sleep(50)', tmp_path)
  wait_for(tmp_path, 'ready_*', 2)
  run.send(number)
  code, out, _ = run.wait()
  assert code == 75
  assert sorted(out.splitlines()) == ['[0] saving', '[1] saving']


def test_control_c_arrives_once(tmp_path):
  """A second one would end the program before it has saved."""
  program = """
    wait_for_others()
    # On a busy machine the group may still be starting, and then gets SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
      signal.signal(number, lambda *_: print('signal', flush=True))
    (directory / f'set_{index}').write_text('')
    time.sleep(1)
    sys.exit(75)
  """
  run = Run(program, tmp_path)
  wait_for(tmp_path, 'set_*', 2)
  run.send_as_terminal(signal.SIGINT)
  code, out, _ = run.wait()
  assert code == 75
  assert sorted(out.splitlines()) == ['[0] signal', '[1] signal']


def test_a_signal_before_the_program_can_take_it(tmp_path):
  """Nothing was done, so there is nothing to lose: 75, too."""
  program = """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    wait_for_others()
    time.sleep(50)
  """
  run = Run(program, tmp_path)
  wait_for(tmp_path, 'ready_*', 2)
  run.send(signal.SIGTERM)
  assert run.wait()[0] == 75


@pytest.mark.parametrize('failure, code', [('sys.exit(3)', 3), ('1 / 0', 1)])
def test_a_failure_ends_the_others(tmp_path, failure, code):
  program = f"""
    if index == 0:
      wait_for_others()
      time.sleep(50)
    wait_for_others()
    print('the reason', flush=True)
    {failure}
  """
  started = time.monotonic()
  result = Run(program, tmp_path).wait()
  assert result[0] == code
  assert f'process 1 failed with exit code {code}' in result[2]
  assert '[1] the reason' in result[2]
  assert time.monotonic() - started < 20


def test_a_hanging_process_is_killed(tmp_path):
  program = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for_others()
    if index == 0:
      time.sleep(50)
    sys.exit(1)
  """
  code, _, err = Run(program, tmp_path, '--grace_seconds=0.5').wait()
  assert code == 1
  assert 'process 1 failed' in err


def test_a_killed_process(tmp_path):
  program = """
    wait_for_others()
    if index == 1:
      os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(50)
  """
  code, _, err = Run(program, tmp_path).wait()
  assert code == 128 + signal.SIGKILL
  assert 'process 1 failed with exit code 137' in err


def test_those_still_saving_are_waited_for(tmp_path):
  program = """
    wait_for_others()
    time.sleep(1.5 * (index == 0))
    print('saved', flush=True)
    sys.exit(75)
  """
  code, out, _ = Run(program, tmp_path, '--grace_seconds=1').wait()
  assert code == 75
  assert sorted(out.splitlines()) == ['[0] saved', '[1] saved']


def test_until_done_after_preemptions(tmp_path):
  program = 'sys.exit(75 if starts() < 3 else 0)'
  code, _, err = Run(program, tmp_path, '--until_done').wait()
  assert code == 0
  assert err.count('exit code 75; starting again') == 3


def test_until_done_gives_up_without_progress(tmp_path):
  code, _, err = Run('starts(); sys.exit(1)', tmp_path, '--until_done').wait()
  assert code == 1
  assert 'giving up' in err
  assert (tmp_path / 'starts_0').read_text() == '2'


def test_until_done_with_progress_has_an_end(tmp_path):
  program = """
    results = directory / 'results'
    results.mkdir(exist_ok=True)
    (results / f'{index}_{starts()}').write_text('')
    wait_for_others()
    sys.exit(1)
  """
  code, _, _ = Run(program, tmp_path, '--until_done').wait()
  assert code == 1
  assert (tmp_path / 'starts_0').read_text() == '4'


def test_until_done_does_not_repeat_a_wrong_setting(tmp_path):
  code, _, _ = Run('starts(); sys.exit(2)', tmp_path, '--until_done').wait()
  assert code == 2
  assert (tmp_path / 'starts_0').read_text() == '1'


def test_until_done_stops_when_asked(tmp_path):
  run = Run('wait_for_others(); time.sleep(50)', tmp_path, '--until_done')
  wait_for(tmp_path, 'ready_*', 2)
  run.send(signal.SIGTERM)
  code, _, err = run.wait()
  assert code == 75
  assert 'starting again' not in err


def test_each_process_is_told_its_place():
  options = local.parse_arguments(
    ['--num_processes=2', '--', '--config=c', '--workdir=w', '--config.a=b c']
  )
  assert local.command_of(options, 1, 1234) == [
    *(sys.executable, '-m', 'datadiet.main'),
    *('--config=c', '--workdir=w', '--config.a=b c'),
    '--coordinator_address=localhost:1234',
    *('--num_processes=2', '--process_id=1'),
  ]


def test_one_process_needs_no_coordinator():
  options = local.parse_arguments(['--num_processes=1', '--', '--workdir=w'])
  assert local.command_of(options, 0, 1234)[3:] == ['--workdir=w']


def test_virtual_devices_join_other_flags(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=d')
  options = local.parse_arguments(
    ['--devices_per_process=3', '--', '--workdir=w']
  )
  assert local.environment_of(options)['XLA_FLAGS'] == (
    '--xla_dump_to=d --xla_force_host_platform_device_count=3'
  )


@pytest.mark.parametrize(
  'arguments',
  [['--', '--config=c'], ['--num_processes=0', '--', '--workdir=w']],
)
def test_wrong_arguments(arguments, capsys):
  with pytest.raises(SystemExit) as ended:
    local.main(arguments)
  assert ended.value.code == 2
  assert '--' in capsys.readouterr().err


def test_dry_run(capsys):
  assert local.main(['--dry_run', '--', '--config=c', '--workdir=w']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 2
  assert lines[1].endswith('--num_processes=2 --process_id=1')
  ports = {line.split('localhost:')[1].split()[0] for line in lines}
  assert len(ports) == 1


def test_the_real_program(tmp_path):
  """It is found from anywhere, and its exit code comes back."""
  result = subprocess.run(
    [
      *(sys.executable, REPOSITORY / 'launch' / 'local.py'),
      *('--num_processes=1', '--', f'--workdir={tmp_path}/w'),
      f'--config={REPOSITORY}/configs/cnn_digits.py',
      '--config.model.name=nothing',
    ],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert result.returncode == 2
  assert '[0] datadiet: config.model.name' in result.stdout
