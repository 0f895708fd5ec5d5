"""Tests of gpu_vm.sh: its commands word by word."""

GONE = {'code': 1, 'stderr': "ERROR: The resource 'x' was not found\n"}
RUNNING = {'stdout': 'RUNNING\n'}
# A machine that is gone without a word is noticed within minutes.
SSH_FLAG = '--ssh-flag=-o ServerAliveInterval=30 -o ConnectTimeout=30'
IMAGE = 'europe-docker.pkg.dev/project/datadiet:cuda'


def test_every_command(stand_ins):
  stand_ins.script(('instances describe', GONE, RUNNING))
  code, _, _ = stand_ins.run(
    'gpu_vm.sh',
    '--name=digits',
    '--project=project',
    '--zone=us-central1-a',
    f'--image={IMAGE}',
    '--machine_type=n1-standard-8',
    '--accelerator=type=nvidia-tesla-t4,count=1',
    '--spot',
    '--',
    '--config=configs/a.py',
    '--workdir=gs://bucket/run',
    '--config.score.steps=(0, 390)',
  )
  assert code == 0
  flags = ['--quiet', '--project=project', '--zone=us-central1-a']
  compute = ['gcloud', 'compute']
  describe = [
    *(*compute, 'instances', 'describe', 'digits'),
    *('--format=value(status)', *flags),
  ]
  assert stand_ins.calls == [
    describe,
    [
      *(*compute, 'instances', 'create', 'digits'),
      *('--machine-type=n1-standard-8',),
      *('--accelerator=type=nvidia-tesla-t4,count=1',),
      *('--maintenance-policy=TERMINATE', '--provisioning-model=SPOT'),
      *('--instance-termination-action=DELETE',),
      *('--image-family=common-cu129-ubuntu-2204-nvidia-580',),
      *('--image-project=deeplearning-platform-release',),
      *('--boot-disk-size=100GB', '--scopes=cloud-platform', *flags),
    ],
    [*compute, 'ssh', 'digits', '--command=true', SSH_FLAG, *flags],
    [
      *(*compute, 'ssh', 'digits'),
      '--command=sudo gcloud auth configure-docker europe-docker.pkg.dev '
      f'--quiet && sudo docker pull --quiet {IMAGE} &&\n'
      'sudo install --directory --owner=1000 --group=1000 /workdirs',
      *(SSH_FLAG, *flags),
    ],
    [
      *(*compute, 'ssh', 'digits'),
      '--command=sudo docker rm --force datadiet >/dev/null 2>&1\n'
      'sudo docker run --detach --name=datadiet --gpus=all --network=host '
      f'--stop-timeout=25 --volume=/workdirs:/workdirs {IMAGE} '
      '--config=configs/a.py --workdir=gs://bucket/run '
      "'--config.score.steps=(0, 390)'",
      *(SSH_FLAG, *flags),
    ],
    [
      *(*compute, 'ssh', 'digits'),
      '--command=sudo docker logs --follow datadiet 2>&1\n'
      'exit "$(sudo docker wait datadiet || echo 137)"',
      *(SSH_FLAG, *flags),
    ],
    describe,
    [*compute, 'instances', 'delete', 'digits', *flags],
  ]


def test_waits_until_a_new_machine_answers(stand_ins):
  refused = {'code': 255, 'stderr': 'Connection refused\n'}
  stand_ins.script(
    ('instances describe', GONE, RUNNING),
    ('--command=true', refused, refused, {}),
  )
  code, _, _ = stand_ins.run(
    *('gpu_vm.sh', '--zone=z', '--image=i'),
    *('--', '--config=c', '--workdir=gs://b/c'),
  )
  assert code == 0
  assert stand_ins.calls.count(['sleep', '15']) == 2


def test_a_machine_that_never_answers_is_deleted(stand_ins):
  stand_ins.script(
    ('instances describe', GONE, RUNNING), ('--command=true', {'code': 255})
  )
  code, _, err = stand_ins.run(
    *('gpu_vm.sh', '--zone=z', '--image=i'),
    *('--', '--config=c', '--workdir=gs://b/c'),
  )
  assert code == 1
  assert 'does not answer to ssh' in err
  assert stand_ins.calls[-1][3] == 'delete'


def test_the_workdir_has_to_outlive_the_container(stand_ins):
  code, _, err = stand_ins.run(
    *('gpu_vm.sh', '--zone=z', '--image=i'),
    *('--', '--config=c', '--workdir=workdirs/c'),
  )
  assert code == 2
  assert 'below /workdirs, not workdirs/c' in err
