"""Tests of tpu_vm.sh: its commands word by word, and the queue."""

import re

import pytest

GONE = {'code': 1, 'stderr': 'ERROR: NOT_FOUND: Resource was not found\n'}
READY = {'stdout': 'READY\n'}
# A machine that is gone without a word is noticed within minutes.
SSH_FLAG = '--ssh-flag=-o ServerAliveInterval=30 -o ConnectTimeout=30'
PROGRAM = ['--', '--config=configs/a.py', '--workdir=gs://bucket/run']
QUEUED = ['--zone=z', '--accelerator_type=v6e-8', '--queued', *PROGRAM]


def state(name):
  return {'stdout': f'{name}\n'}


def test_every_command(stand_ins):
  stand_ins.script(('tpu-vm describe', GONE, READY))
  code, _, _ = stand_ins.run(
    'tpu_vm.sh',
    '--name=digits',
    '--project=project',
    '--zone=us-west4-a',
    '--accelerator_type=v5litepod-8',
    '--spot',
    *PROGRAM,
    '--config.score.steps=(0, 390)',
  )
  assert code == 0
  flags = ['--quiet', '--project=project', '--zone=us-west4-a']
  vm = ['gcloud', 'compute', 'tpus', 'tpu-vm']
  describe = [*vm, 'describe', 'digits', '--format=value(state)', *flags]
  calls = stand_ins.calls
  upload = calls.pop(2)
  install = calls.pop(2)
  assert calls == [
    describe,
    [
      *(*vm, 'create', 'digits', '--accelerator-type=v5litepod-8'),
      *('--version=v2-alpha-tpuv5-lite', '--spot', *flags),
    ],
    [
      *(*vm, 'ssh', 'digits', '--worker=all'),
      '--command=cd datadiet && JAX_COORDINATOR_PORT=8476 '
      'bash launch/detached.sh start '
      '.venv/bin/python -m datadiet.main --config=configs/a.py '
      "--workdir=gs://bucket/run '--config.score.steps=(0, 390)'",
      *(SSH_FLAG, *flags),
    ],
    [
      *(*vm, 'ssh', 'digits', '--worker=all'),
      '--command=cd datadiet && bash launch/detached.sh follow',
      *(SSH_FLAG, *flags),
    ],
    describe,
    [*vm, 'delete', 'digits', *flags],
  ]
  source = upload.pop(5)
  assert re.fullmatch(r'/tmp/.*/datadiet\.tgz', source)
  assert upload == [
    *(*vm, 'scp', 'digits:datadiet.tgz', '--worker=all'),
    *flags,
  ]
  assert install[:7] == [*vm, 'ssh', 'digits', '--worker=all']
  assert 'uv venv --quiet --clear --python 3.12' in install[7]
  assert (
    '-c constraints.txt -e ".[tpu,gcs,photographs,report,tfds]"' in install[7]
  )


@pytest.mark.parametrize(
  'accelerator_type, version',
  [
    ('v6e-8', 'v2-alpha-tpuv6e'),
    ('v5p-8', 'v2-alpha-tpuv5'),
    ('v4-32', 'tpu-ubuntu2204-base'),
  ],
)
def test_runtime_versions(stand_ins, accelerator_type, version):
  options = ['--dry_run', '--zone=z', f'--accelerator_type={accelerator_type}']
  _, out, _ = stand_ins.run('tpu_vm.sh', *options, *PROGRAM)
  assert f'--version={version} ' in out
  options.append('--runtime_version=other')
  _, out, _ = stand_ins.run('tpu_vm.sh', *options, *PROGRAM)
  assert '--version=other ' in out


def test_queue(stand_ins):
  stand_ins.script(
    (
      'queued-resources describe',
      GONE,
      *(state('WAITING_FOR_RESOURCES'), state('PROVISIONING')),
      state('ACTIVE'),
    )
  )
  code, _, err = stand_ins.run('tpu_vm.sh', '--spot', *QUEUED)
  assert code == 0
  assert 'queued resource is WAITING_FOR_RESOURCES' in err
  calls = stand_ins.calls
  assert calls[1] == [
    *('gcloud', 'compute', 'tpus', 'queued-resources', 'create', 'datadiet'),
    *('--node-id=datadiet', '--accelerator-type=v6e-8'),
    *('--runtime-version=v2-alpha-tpuv6e', '--spot', '--quiet', '--zone=z'),
  ]
  assert calls.count(['sleep', '60']) == 2
  assert calls[-1] == [
    *('gcloud', 'compute', 'tpus', 'queued-resources', 'delete', 'datadiet'),
    *('--force', '--quiet', '--zone=z'),
  ]
  assert not any('tpu-vm create' in ' '.join(call) for call in calls)


@pytest.mark.parametrize('end', ['FAILED', 'SUSPENDED'])
def test_a_request_that_fails_is_shown_and_deleted(stand_ins, end):
  stand_ins.script(
    ('describe datadiet --format', GONE, state(end)),
    ('describe datadiet', {'stdout': 'because: of quota\n'}),
  )
  code, _, err = stand_ins.run('tpu_vm.sh', *QUEUED)
  assert code == 1
  assert f'The queued resource is {end}' in err
  assert 'because: of quota' in err
  assert stand_ins.calls[-1][4] == 'delete'
  assert sum('create' in call for call in stand_ins.calls) == 1


def test_the_queue_has_an_end(stand_ins):
  stand_ins.script(
    ('queued-resources describe', GONE, state('WAITING_FOR_RESOURCES'))
  )
  code, _, err = stand_ins.run('tpu_vm.sh', '--wait_hours=0', *QUEUED)
  assert code == 1
  assert 'No machine was free for 0 hours' in err
  assert stand_ins.calls[-1][4] == 'delete'


def test_a_preempted_queued_resource_is_asked_for_again(stand_ins):
  active = state('ACTIVE')
  stand_ins.script(
    ('queued-resources describe', GONE, active, state('SUSPENDED'), active),
    ('tpu-vm describe', GONE),
    ('detached.sh follow', {'code': 255}, {}),
  )
  code, _, _ = stand_ins.run('tpu_vm.sh', '--spot', *QUEUED)
  assert code == 0
  made = [
    call[4] for call in stand_ins.calls if call[3:4] == ['queued-resources']
  ]
  assert [verb for verb in made if verb != 'describe'] == [
    *('create', 'delete', 'create', 'delete')
  ]


def test_a_spot_tpu_lost_before_it_was_seen_is_asked_for_again(stand_ins):
  states = [state(name) for name in ('SUSPENDING', 'SUSPENDED', 'SUSPENDED')]
  stand_ins.script(
    ('describe datadiet --format', GONE, *states, state('ACTIVE')),
    ('describe datadiet', {'stdout': 'because: preempted\n'}),
  )
  code, _, err = stand_ins.run('tpu_vm.sh', '--spot', *QUEUED)
  assert code == 0
  assert 'because: preempted' in err
  made = [
    call[4] if call[0] == 'gcloud' else ' '.join(call)
    for call in stand_ins.calls
    if call[0] == 'sleep' or call[3] == 'queued-resources'
  ]
  assert [step for step in made if step != 'describe'] == [
    *('create', 'sleep 60', 'delete', 'sleep 300', 'create', 'delete')
  ]


def test_a_spot_tpu_that_is_always_lost_has_an_end(stand_ins):
  suspended = state('SUSPENDED')
  # Before the first, and after the last one, there is nothing.
  stand_ins.script(('describe datadiet --format', GONE, suspended))
  code, _, err = stand_ins.run('tpu_vm.sh', '--spot', '--wait_hours=1', *QUEUED)
  assert code == 1
  assert 'No machine was free for 1 hours' in err
  verbs = [call[4] for call in stand_ins.calls if call[0] == 'gcloud']
  assert verbs.count('create') == verbs.count('delete') == 13


def test_results_of_a_relative_workdir(stand_ins):
  stand_ins.script(('tpu-vm describe', GONE, READY))
  stand_ins.run(
    *('tpu_vm.sh', '--zone=z', '--accelerator_type=v6e-8'),
    *('--', '--config=c', '--workdir=workdirs/run'),
  )
  assert [
    *('gcloud', 'compute', 'tpus', 'tpu-vm', 'scp'),
    *('datadiet:datadiet/workdirs/run', 'results', '--recurse', '--worker=0'),
    *('--quiet', '--zone=z'),
  ] in stand_ins.calls
