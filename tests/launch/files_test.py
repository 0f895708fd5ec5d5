"""Tests of the files that no script reads: YAML, Dockerfile, shell style."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from datadiet.errors import EXIT_STOPPED

REPOSITORY = Path(__file__).parents[2]
LAUNCH = REPOSITORY / 'launch'
SHELL = [*sorted(LAUNCH.glob('*.sh')), LAUNCH / 'slurm.sbatch']
SHELL += sorted((REPOSITORY / 'tests').rglob('*.sh'))
SHELL += sorted((REPOSITORY / 'benchmarks').glob('*.sh'))


def run_tool(name, *arguments):
  """Runs a linter from the environment of this Python."""
  return subprocess.run(
    [Path(sys.executable).with_name(name), *arguments],
    capture_output=True,
    text=True,
  )


def test_shellcheck():
  result = run_tool('shellcheck', '--external-sources', *SHELL)
  assert result.returncode == 0, result.stdout


def test_shellcheck_finds_faults(tmp_path):
  script = tmp_path / 'bad.sh'
  script.write_text('#!/bin/bash\nrm $1\n')
  assert run_tool('shellcheck', script).returncode == 1


@pytest.mark.parametrize('path', SHELL, ids=lambda path: path.name)
def test_shell_style(path):
  lines = path.read_text().splitlines()
  assert all(len(line) <= 80 for line in lines)
  assert not any('\t' in line for line in lines)
  assert 'set -euo pipefail' in lines or 'source "${directory}' in str(lines)


def test_hadolint():
  result = run_tool('hadolint', REPOSITORY / 'Dockerfile')
  assert result.returncode == 0, result.stdout


def kubernetes_documents():
  text = (LAUNCH / 'kubernetes.yaml').read_text()
  return list(yaml.safe_load_all(text))


@pytest.mark.parametrize('version', ['1.31', '1.37'])
def test_kubernetes_schema(version):
  for document in kubernetes_documents():
    kubernetes_validate.validate(document, version, strict=True)


def test_kubernetes_pods_find_each_other():
  service, job = kubernetes_documents()
  assert service['spec']['clusterIP'] == 'None'
  assert service['spec']['selector'] == {
    'batch.kubernetes.io/job-name': job['metadata']['name']
  }
  pod = job['spec']['template']['spec']
  assert pod['subdomain'] == service['metadata']['name']
  container = pod['containers'][0]
  port = container['ports'][0]['containerPort']
  host = f'{job["metadata"]["name"]}-0.{pod["subdomain"]}'
  pods = job['spec']['completions']
  assert job['spec']['parallelism'] == pods
  assert container['args'][2:] == [
    f'--coordinator_address={host}:{port}',
    f'--num_processes={pods}',
    '--process_id=$(PROCESS_ID)',
  ]
  assert container['env'][0]['valueFrom']['fieldRef']['fieldPath'] == (
    "metadata.annotations['batch.kubernetes.io/job-completion-index']"
  )


def test_kubernetes_exit_codes():
  _, job = kubernetes_documents()
  pod = job['spec']['template']['spec']
  rules = job['spec']['podFailurePolicy']['rules']
  by_code = {
    code: rule['action']
    for rule in rules
    if 'onExitCodes' in rule
    for code in rule['onExitCodes']['values']
  }
  assert by_code == {2: 'FailJob', EXIT_STOPPED: 'Ignore'}
  names = {
    rule['onExitCodes']['containerName']
    for rule in rules
    if 'onExitCodes' in rule
  }
  assert names == {pod['containers'][0]['name']}
  # A Job with a failure policy has to say so.
  assert pod['restartPolicy'] == 'Never'


@pytest.fixture
def skypilot():
  return yaml.safe_load((LAUNCH / 'skypilot.yaml').read_text())


def test_skypilot_recovers_from_preemption_only(skypilot):
  assert skypilot['resources']['use_spot'] is True
  assert skypilot['resources']['job_recovery'] == {
    'recover_on_exit_codes': [EXIT_STOPPED],
    'max_restarts_on_errors': 0,
  }
  # None: sky asks for it.
  assert skypilot['envs']['WORKDIR'] is None


def run_section(text, directory, **environment):
  """Runs a section as sky does, in the copied repository."""
  python = directory / '.venv' / 'bin' / 'python'
  python.parent.mkdir(parents=True, exist_ok=True)
  python.write_text(
    f'#!/bin/sh\nexec {sys.executable} -c '
    '"import json, sys; print(json.dumps(sys.argv[1:]))" "$@"\n'
  )
  python.chmod(0o755)
  result = subprocess.run(
    ['bash', '-c', text],
    cwd=directory,
    env={'PATH': '/usr/bin:/bin', **environment},
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  return json.loads(result.stdout)


def test_skypilot_on_one_machine(skypilot, tmp_path):
  command = run_section(
    skypilot['run'],
    tmp_path,
    CONFIG='configs/a.py',
    WORKDIR='gs://b/c',
    OVERRIDES='--config.a=1 --config.b=2',
    SKYPILOT_NODE_IPS='10.0.0.1\n',
    SKYPILOT_NUM_NODES='1',
    SKYPILOT_NODE_RANK='0',
  )
  assert command == [
    *('-m', 'datadiet.main', '--config=configs/a.py', '--workdir=gs://b/c'),
    *('--config.a=1', '--config.b=2'),
  ]


def test_skypilot_on_two_machines(skypilot, tmp_path):
  command = run_section(
    skypilot['run'],
    tmp_path,
    CONFIG='configs/a.py',
    WORKDIR='gs://b/c',
    OVERRIDES='',
    SKYPILOT_NODE_IPS='10.0.0.1\n10.0.0.2\n',
    SKYPILOT_NUM_NODES='2',
    SKYPILOT_NODE_RANK='1',
  )
  assert command[4:] == [
    '--coordinator_address=10.0.0.1:8476',
    *('--num_processes=2', '--process_id=1'),
  ]


def test_skypilot_sections_pass_shellcheck(skypilot, tmp_path):
  for section in ('setup', 'run'):
    script = tmp_path / f'{section}.sh'
    script.write_text(f'#!/bin/bash\n{skypilot[section]}')
    result = run_tool('shellcheck', script)
    assert result.returncode == 0, result.stdout


def test_every_launcher_is_in_the_docs():
  text = (REPOSITORY / 'docs' / 'launch.md').read_text()
  for path in LAUNCH.iterdir():
    if path.is_file():
      assert f'launch/{path.name})' in text, path.name
