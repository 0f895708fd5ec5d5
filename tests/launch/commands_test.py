"""Tests of kubernetes.yaml and skypilot.yaml by the commands that go with them.

What is written in the files' headers is run, with recording stand-ins for
kubectl and sky: no cluster and no cloud is asked, see docs/launch.md.
"""

import itertools
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests import running

REPOSITORY = Path(__file__).parents[2]
LAUNCH = REPOSITORY / 'launch'
DOCS = (REPOSITORY / 'docs' / 'launch.md').read_text()


def header(name):
  """The indented commands of the comment at a file's top, one a line."""
  lines = (LAUNCH / name).read_text().splitlines()
  comment = itertools.takewhile(lambda line: line.startswith('#'), lines)
  text = '\n'.join(line[4:] for line in comment if line.startswith('#   '))
  return re.sub(r' *\\\n *', ' ', text).splitlines()


def run_header(stand_ins, name):
  """Runs a file's commands in the repository; what was called, in order."""
  result = subprocess.run(
    ['bash', '-c', 'set -e\n' + '\n'.join(header(name))],
    cwd=REPOSITORY,
    env=stand_ins.environment,
    capture_output=True,
    text=True,
  )
  return result.returncode, stand_ins.calls


@pytest.mark.parametrize('name', ['kubernetes.yaml', 'skypilot.yaml'])
def test_the_docs_give_the_same_commands(name):
  flat = re.sub(r' *\\\n *', ' ', DOCS)
  for command in header(name):
    # The docs name `sky jobs cancel` and `logs` in a sentence.
    assert re.search(rf'(^    |`){re.escape(command)}(`|$)', flat, re.M), (
      command
    )


def test_kubectl_commands(stand_ins):
  code, calls = run_header(stand_ins, 'kubernetes.yaml')
  assert code == 0
  assert calls == [
    ['kubectl', 'apply', '-f', 'launch/kubernetes.yaml'],
    [
      *('kubectl', 'logs', '--follow', '--prefix', '-l'),
      'batch.kubernetes.io/job-name=datadiet',
    ],
    ['kubectl', 'delete', '-f', 'launch/kubernetes.yaml'],
  ]
  _, job = kubernetes_documents()
  # The label that Kubernetes gives the pods of a Job.
  assert calls[1][-1].split('=')[1] == job['metadata']['name']


def test_a_refusal_of_the_cluster_ends_the_commands(stand_ins):
  stand_ins.script(('kubectl apply', {'code': 1, 'stderr': 'exceeded quota\n'}))
  code, calls = run_header(stand_ins, 'kubernetes.yaml')
  assert (code, len(calls)) == (1, 1)


def kubernetes_documents():
  return list(yaml.safe_load_all((LAUNCH / 'kubernetes.yaml').read_text()))


def container_arguments(index):
  """The container's arguments in the pod of an index, as Kubernetes fills in.

  Each variable from the pod's annotation of its index.
  """
  _, job = kubernetes_documents()
  container = job['spec']['template']['spec']['containers'][0]
  values = {
    variable['name']: str(index)
    for variable in container['env']
    if 'job-completion-index' in str(variable['valueFrom'])
  }
  return [
    re.sub(r'\$\((\w+)\)', lambda match: values[match[1]], argument)
    for argument in container['args']
  ]


def test_the_pods_say_themselves_who_takes_part(tmp_path):
  """The program takes their flags as they are; a wrong setting ends it."""
  assert container_arguments(1)[2:] == [
    '--coordinator_address=datadiet-0.datadiet:8476',
    *('--num_processes=2', '--process_id=1'),
  ]
  env = running.environment(tmp_path, num_devices=1)
  env['JOB_COMPLETION_INDEX'] = '1'
  flags = [*container_arguments(1), '--config.train.num_steps=-1']
  done = running.run_main(flags, env)
  assert done.returncode == 2
  assert done.stderr.count('\n') == 1
  assert 'config.train.num_steps: -1 is not allowed' in done.stderr


def test_sky_commands(stand_ins):
  code, calls = run_header(stand_ins, 'skypilot.yaml')
  assert code == 0
  assert calls == [
    [
      *('sky', 'jobs', 'launch', '--name', 'resnet18', 'launch/skypilot.yaml'),
      *('--env', 'CONFIG=configs/resnet18_cifar10.py'),
      *('--env', 'WORKDIR=gs://BUCKET/DIR'),
    ],
    ['sky', 'jobs', 'logs', 'JOB_ID'],
    ['sky', 'jobs', 'cancel', 'JOB_ID'],
  ]
  given = dict(
    value.split('=', 1)
    for option, value in itertools.pairwise(calls[0])
    if option == '--env'
  )
  task = yaml.safe_load((LAUNCH / 'skypilot.yaml').read_text())
  assert given.keys() <= task['envs'].keys()
  # What has no default is given.
  assert given.keys() >= {k for k, v in task['envs'].items() if v is None}
  assert (REPOSITORY / given['CONFIG']).is_file()


def test_a_refusal_of_the_cloud_ends_the_commands(stand_ins):
  stand_ins.script(('sky jobs launch', {'code': 1, 'stderr': 'no quota\n'}))
  code, calls = run_header(stand_ins, 'skypilot.yaml')
  assert (code, len(calls)) == (1, 1)
