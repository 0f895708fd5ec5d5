"""Tests of what tpu_vm.sh and gpu_vm.sh have in common, by their commands."""

import os
import signal
import time

import pytest

GONE = {'code': 1, 'stderr': 'ERROR: NOT_FOUND: Resource was not found\n'}
QUOTA = {
  'code': 1,
  'stderr': 'ERROR: Quota limit TPUS has been exceeded. Limit: 0\n',
}
NO_CAPACITY = {
  'code': 1,
  'stderr': 'ERROR: code 8: There is no more capacity in the zone "z"\n'
  'ERROR: code: ZONE_RESOURCE_POOL_EXHAUSTED\n',
}
TAKEN = {
  'code': 1,
  'stderr': "ERROR: ALREADY_EXISTS: Resource 'datadiet' already exists\n",
}
LOST_CONNECTION = {'code': 255, 'stderr': 'Connection closed\n'}
OK = {}
REMOTE = '--workdir=gs://bucket/run'


class Cloud:
  """One of the launchers, and what its commands look like."""

  def __init__(self, script, options, ready, describe, words, local):
    self.script = script
    self.options = options
    self.ready = {'stdout': f'{ready}\n'}
    self.describe = describe
    self.local = local
    self._words = words

  def arguments(self, *options, workdir=REMOTE):
    return [*self.options, *options, '--', '--config=configs/a.py', workdir]

  def steps(self, calls):
    """The calls in short, without questions about the state."""
    texts = (' '.join(call) for call in calls)
    return [
      next((word for part, word in self._words if part in text), text)
      for text in texts
      if 'describe' not in text
    ]

  def part(self, step):
    """What a call for a step contains."""
    return next(part for part, word in self._words if word == step)


TPU = Cloud(
  'tpu_vm.sh',
  ['--zone=z', '--accelerator_type=v6e-8'],
  'READY',
  'tpu-vm describe',
  [
    ('tpu-vm create', 'create'),
    ('tpu-vm scp /', 'upload'),
    ('uv pip install', 'install'),
    ('detached.sh start', 'start'),
    ('detached.sh follow', 'follow'),
    ('storage ls', 'list'),
    ('find ', 'list'),
    (' --recurse', 'copy'),
    ('tpu-vm delete', 'delete'),
  ],
  '--workdir=workdirs/run',
)
GPU = Cloud(
  'gpu_vm.sh',
  ['--zone=z', '--image=registry/datadiet:cuda'],
  'RUNNING',
  'instances describe',
  [
    ('instances create', 'create'),
    ('--command=true', 'upload'),
    ('docker pull', 'install'),
    ('docker run', 'start'),
    ('docker logs', 'follow'),
    ('storage ls', 'list'),
    ('find ', 'list'),
    (' --recurse', 'copy'),
    ('instances delete', 'delete'),
  ],
  '--workdir=/workdirs/run',
)
SET_UP = ['create', 'upload', 'install']


@pytest.fixture(params=[TPU, GPU], ids=['tpu', 'gpu'])
def cloud(request):
  return request.param


def test_success(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('follow'), {'stdout': 'epoch 1\n'}),
  )
  code, out, _ = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 0
  assert 'epoch 1' in out
  assert cloud.steps(stand_ins.calls) == [*SET_UP, 'start', 'follow', 'delete']


@pytest.mark.parametrize('state', ['PREEMPTED', 'TERMINATED', None])
def test_preemption_in_the_middle(cloud, stand_ins, state):
  lost = {'stdout': f'{state}\n'} if state else GONE
  stand_ins.script(
    # Before it, after it (whether lost, whether there to be deleted), the end.
    (cloud.describe, GONE, lost, lost, cloud.ready),
    (cloud.part('follow'), LOST_CONNECTION, OK),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments('--spot'))
  assert code == 0
  assert f'The machine is {state or "gone"}' in err
  deletion = ['delete'] if state else []
  assert cloud.steps(stand_ins.calls) == [
    *[*SET_UP, 'start', 'follow', 'list', *deletion],
    *[*SET_UP, 'start', 'follow', 'delete'],
  ]


def test_exit_code_75_of_a_machine_that_is_taken_away(cloud, stand_ins):
  """The program ends first; the start after it meets a closed door."""
  stand_ins.script(
    (
      cloud.describe,
      *(GONE, cloud.ready, cloud.ready),
      *[{'stdout': 'STOPPING\n'}] * 2,
      cloud.ready,
    ),
    (cloud.part('start'), OK, LOST_CONNECTION, LOST_CONNECTION, OK),
    (cloud.part('follow'), {'code': 75}, OK),
  )
  code, _, _ = stand_ins.run(cloud.script, *cloud.arguments('--spot'))
  assert code == 0
  assert cloud.steps(stand_ins.calls) == [
    *[*SET_UP, 'start', 'follow', 'list'],
    *['start', 'sleep 30', 'start', 'list', 'delete'],
    *[*SET_UP, 'start', 'follow', 'delete'],
  ]


def test_preemptions_without_a_result_have_an_end(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE),
    (cloud.part('follow'), LOST_CONNECTION),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments('--spot'))
  assert code == 1
  assert 'without a new result' in err
  assert cloud.steps(stand_ins.calls).count('create') == 11


def test_quota(cloud, stand_ins):
  stand_ins.script((cloud.describe, GONE), (cloud.part('create'), QUOTA))
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert 'Quota limit TPUS has been exceeded' in err
  assert cloud.steps(stand_ins.calls) == ['create']


def test_quota_after_a_preemption(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE),
    (cloud.part('create'), OK, QUOTA),
    (cloud.part('follow'), LOST_CONNECTION),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments('--spot'))
  assert code == 1
  assert 'Quota limit TPUS has been exceeded' in err
  steps = cloud.steps(stand_ins.calls)
  assert steps == [*SET_UP, 'start', 'follow', 'list', 'create']


def test_waits_for_a_free_machine(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('create'), NO_CAPACITY, NO_CAPACITY, OK),
  )
  code, _, _ = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 0
  steps = cloud.steps(stand_ins.calls)
  assert steps[:5] == ['create', 'sleep 300'] * 2 + ['create']


def test_a_name_that_another_takes_meanwhile_is_left_alone(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('create'), NO_CAPACITY, TAKEN),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert "datadiet is another's by now and is left alone" in err
  assert cloud.steps(stand_ins.calls) == ['create', 'sleep 300', 'create']


def test_a_name_taken_after_a_preemption_is_left_alone(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, GONE, GONE, cloud.ready),
    (cloud.part('create'), OK, TAKEN),
    (cloud.part('follow'), LOST_CONNECTION),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments('--spot'))
  assert code == 1
  assert 'is left alone' in err
  steps = cloud.steps(stand_ins.calls)
  assert steps == [*SET_UP, 'start', 'follow', 'list', 'create']


def test_an_interrupt_while_waiting_deletes_nothing(cloud, stand_ins):
  """Whoever has the name by then."""
  pid_file = stand_ins.directory / 'pid'
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('create'), NO_CAPACITY),
    ('sleep 300', {'seconds': 50, 'pid_file': str(pid_file)}),
  )
  process = stand_ins.start(cloud.script, *cloud.arguments())
  wait_for(lambda: pid_file.exists() and pid_file.read_text())
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=20)
  assert process.returncode == 130
  assert cloud.steps(stand_ins.calls) == ['create', 'sleep 300']


def test_does_not_wait_for_ever(cloud, stand_ins):
  stand_ins.script((cloud.describe, GONE), (cloud.part('create'), NO_CAPACITY))
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments('--wait_hours=1'))
  assert code == 1
  assert 'No machine was free for 1 hours' in err
  assert cloud.steps(stand_ins.calls).count('create') == 13


def test_hours_are_decimal(cloud, stand_ins):
  stand_ins.script((cloud.describe, GONE), (cloud.part('create'), NO_CAPACITY))
  options = cloud.arguments('--wait_hours=08')
  code, _, err = stand_ins.run(cloud.script, *options)
  assert code == 1
  assert 'No machine was free for 8 hours' in err


def test_a_failed_installation_deletes_the_machine(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('install'), {'code': 1, 'stderr': 'no space\n'}),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert 'no space' in err
  assert cloud.steps(stand_ins.calls) == [*SET_UP, 'delete']


def test_a_wrong_setting_is_not_started_again(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready), (cloud.part('follow'), {'code': 2})
  )
  code, _, _ = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 2
  assert cloud.steps(stand_ins.calls) == [*SET_UP, 'start', 'follow', 'delete']


def test_an_error_twice_without_progress(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('follow'), {'code': 1, 'stderr': 'boom\n'}),
    # TensorBoard's files, new at each start, and a lock are no progress.
    (
      'storage ls',
      {'stdout': 'a\nevents.out.1\n'},
      {'stdout': 'a\nevents.out.2\nrun/.lock\n'},
    ),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert 'boom' in err and 'without a new result' in err
  assert cloud.steps(stand_ins.calls) == [
    *SET_UP,
    *['start', 'follow', 'list'] * 2,
    'delete',
  ]


def test_errors_with_progress_are_started_again_three_times(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('follow'), {'code': 1}),
    ('storage ls', *({'stdout': f'{number}\n'} for number in range(9))),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert 'failed 4 times' in err
  steps = cloud.steps(stand_ins.calls)
  assert steps.count('start') == 4
  assert steps[-1] == 'delete'


def test_a_broken_connection_starts_nothing_twice(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('follow'), LOST_CONNECTION, LOST_CONNECTION, OK),
  )
  code, _, _ = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 0
  assert cloud.steps(stand_ins.calls) == [
    *[*SET_UP, 'start', 'follow', 'sleep 30', 'follow', 'sleep 30', 'follow'],
    'delete',
  ]


def test_a_machine_that_stays_unreachable_is_replaced(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('follow'), *[LOST_CONNECTION] * 6, OK),
  )
  code, _, _ = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 0
  steps = cloud.steps(stand_ins.calls)
  assert steps.count('sleep 30') == 5
  assert steps[-7:] == ['delete', *SET_UP, 'start', 'follow', 'delete']


def test_asks_again_when_the_cloud_does_not_answer(cloud, stand_ins):
  silent = {'code': 1, 'stderr': 'ERROR: network is unreachable\n'}
  stand_ins.script(
    (cloud.describe, GONE, silent, silent, cloud.ready),
    (cloud.part('follow'), LOST_CONNECTION, OK),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 0
  assert 'network is unreachable' in err
  assert cloud.steps(stand_ins.calls).count('sleep 60') == 2


@pytest.mark.parametrize(
  'number, code', [('SIGINT', 130), ('SIGTERM', 143), ('SIGHUP', 129)]
)
@pytest.mark.parametrize('step', ['create', 'follow'])
def test_interrupt(cloud, stand_ins, step, number, code):
  pid_file = stand_ins.directory / 'pid'
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part(step), {'seconds': 50, 'pid_file': str(pid_file)}),
  )
  process = stand_ins.start(cloud.script, *cloud.arguments())
  wait_for(lambda: pid_file.exists() and pid_file.read_text())
  process.send_signal(getattr(signal, number))
  process.communicate(timeout=20)
  assert process.returncode == code
  steps = cloud.steps(stand_ins.calls)
  assert steps[-2:] == [step, 'delete']
  wait_for(lambda: not is_running(int(pid_file.read_text())))


def test_results_on_the_machine_are_copied(cloud, stand_ins):
  stand_ins.script((cloud.describe, GONE, cloud.ready))
  code, _, _ = stand_ins.run(
    cloud.script, *cloud.arguments('--copy_to=here', workdir=cloud.local)
  )
  assert code == 0
  assert cloud.steps(stand_ins.calls)[-3:] == ['follow', 'copy', 'delete']
  assert (stand_ins.directory / 'here').is_dir()


def test_results_are_copied_after_a_failure_too(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready), (cloud.part('follow'), {'code': 1})
  )
  code, _, _ = stand_ins.run(
    cloud.script, *cloud.arguments(workdir=cloud.local)
  )
  assert code == 1
  assert cloud.steps(stand_ins.calls)[-2:] == ['copy', 'delete']


def test_results_that_cannot_be_copied_keep_the_machine(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready), (cloud.part('copy'), {'code': 1})
  )
  code, _, err = stand_ins.run(
    cloud.script, *cloud.arguments(workdir=cloud.local)
  )
  assert code == 1
  assert 'IS KEPT AND COSTS MONEY' in err
  steps = cloud.steps(stand_ins.calls)
  assert steps[-5:] == ['copy', 'sleep 10', 'copy', 'sleep 10', 'copy']


def test_a_failed_deletion_is_tried_again(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready),
    (cloud.part('delete'), {'code': 1, 'stderr': '503 backend\n'}, OK),
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 0
  assert '503 backend' in err and 'COSTS MONEY' not in err
  steps = cloud.steps(stand_ins.calls)
  assert steps[-4:] == ['follow', 'delete', 'sleep 10', 'delete']


def test_a_deletion_that_fails_is_said_with_its_command(cloud, stand_ins):
  stand_ins.script(
    (cloud.describe, GONE, cloud.ready), (cloud.part('delete'), {'code': 1})
  )
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  said, command = err.splitlines()[-2:]
  assert 'COULD NOT BE DELETED AND COSTS MONEY' in said
  assert command.split() == stand_ins.calls[-1]
  assert cloud.steps(stand_ins.calls).count('delete') == 3


@pytest.mark.parametrize('appears', [True, False])
def test_what_was_being_created_may_appear_late(cloud, stand_ins, appears):
  pid_file = stand_ins.directory / 'pid'
  creating = {'stdout': 'CREATING\n'}
  stand_ins.script(
    (cloud.describe, *[GONE] * 4, creating if appears else GONE),
    (cloud.part('create'), {'seconds': 50, 'pid_file': str(pid_file)}),
  )
  process = stand_ins.start(cloud.script, *cloud.arguments())
  wait_for(lambda: pid_file.exists() and pid_file.read_text())
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=20)
  assert process.returncode == 143
  steps = cloud.steps(stand_ins.calls)
  asked_again = ['sleep 5'] * 3 + ['delete'] if appears else ['sleep 5'] * 6
  assert steps == ['create', *asked_again]


def test_a_machine_of_that_name_is_left_alone(cloud, stand_ins):
  stand_ins.script((cloud.describe, cloud.ready))
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert 'datadiet exists already' in err
  assert cloud.steps(stand_ins.calls) == []


def test_attach(cloud, stand_ins):
  stand_ins.script((cloud.describe, cloud.ready))
  code, _, _ = stand_ins.run(cloud.script, *cloud.arguments('--attach'))
  assert code == 0
  assert cloud.steps(stand_ins.calls) == ['follow', 'delete']


def test_a_cloud_that_cannot_be_asked_stops_it(cloud, stand_ins):
  stand_ins.script((cloud.describe, {'code': 1, 'stderr': 'not logged in\n'}))
  code, _, err = stand_ins.run(cloud.script, *cloud.arguments())
  assert code == 1
  assert 'not logged in' in err
  assert cloud.steps(stand_ins.calls) == []


@pytest.mark.parametrize(
  'arguments, message',
  [
    ([], '--zone is missing'),
    (['--colour=red'], '--colour=red is not an option'),
    (['--', '--workdir=gs://b/c'], '--config=... is missing'),
    (['--', '--config=c'], '--workdir=... is missing'),
    (['--wait_hours=x', '--', '--config=c', REMOTE], 'not x'),
    (['--wait_hours=1e9', '--', '--config=c', REMOTE], 'not 1e9'),
    (['--', '--config=c', '--workdir=s3://b/c'], 'not s3://b/c'),
    (['--spot', '--', '--config=c', '--workdir=/workdirs/c'], '--spot needs'),
  ],
)
def test_wrong_options(cloud, stand_ins, arguments, message):
  options = cloud.options if arguments else []
  code, _, err = stand_ins.run(cloud.script, *options, *arguments)
  assert code == 2
  assert message in err
  assert stand_ins.calls == []


def test_dry_run_prints_the_commands_and_does_nothing(cloud, stand_ins):
  code, out, _ = stand_ins.run(
    cloud.script, *cloud.arguments('--dry_run', workdir=cloud.local)
  )
  assert code == 0
  assert stand_ins.calls == []
  assert list(stand_ins.directory.iterdir()) == []
  for step in ('create', 'install', 'start', 'follow', 'copy', 'delete'):
    assert cloud.part(step) in out


def test_help(cloud, stand_ins):
  code, out, _ = stand_ins.run(cloud.script, '--help')
  assert code == 0
  assert out.startswith('Runs an experiment on a ')
  assert '--dry_run' in out and 'set -euo' not in out


def wait_for(condition, seconds=20):
  deadline = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def is_running(pid):
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  return True
