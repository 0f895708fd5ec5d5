"""Tests of launch/slurm.sbatch in a real Slurm."""

import subprocess

import pytest

from tests import running

# Plays python: works on until SIGTERM, which it answers after a while, as one
# that saves; started again, it is done.
PROGRAM = """#!/usr/bin/env bash
echo "began ${SLURM_PROCID}/${SLURM_NTASKS} child=${SLURM_ARRAY_TASK_ID:-none}"
trap 'sleep 1; echo "saved ${SLURM_PROCID}"; exit 75' TERM
if [[ "${SLURM_RESTART_COUNT:-0}" != 0 ]]; then
  echo "done ${SLURM_PROCID}"
  exit 0
fi
while true; do sleep 0.1; done
"""


@pytest.fixture
def program(tmp_path):
  """A program as described above, and what it is called with."""
  path = tmp_path / 'python'
  path.write_text(PROGRAM)
  path.chmod(0o755)
  return {
    'arguments': ['--config=c', '--workdir=w'],
    'env': {'PYTHON': str(path)},
  }


@pytest.mark.parametrize(
  'options',
  [('--nodes=1',), ('--nodes=2',), ('--nodes=1', '--ntasks-per-node=2')],
  ids=['one', 'two nodes', 'two tasks'],
)
def test_requeue_after_sigterm(slurm, program, options, tmp_path):
  tasks = 1 if options == ('--nodes=1',) else 2
  job = slurm.submit(*options, program=program, folder=tmp_path)
  job.wait_for_log('began', tasks)
  job.preempt()
  assert job.wait() == ('COMPLETED', '0')
  assert job.restarts == 1
  for task in range(tasks):
    assert f'{task}: saved {task}' in job.log
    assert f'{task}: done {task}' in job.log


def test_time_limit(slurm, program, tmp_path):
  """The tasks are signalled two minutes before it, and the job goes on."""
  job = slurm.submit('--time=3', program=program, folder=tmp_path)
  job.wait_for_log('saved 0')
  job.wait_for(lambda: job.restarts == 1)
  job.start_soon()
  assert job.wait() == ('COMPLETED', '0')


def test_cancelled_for_good(slurm, program, tmp_path):
  job = slurm.submit(program=program, folder=tmp_path)
  job.wait_for_log('began')
  job.cancel()
  assert job.wait()[0] == 'CANCELLED'
  assert job.restarts == 0


def test_array(slurm, program, tmp_path):
  """Each job of it knows its index, and is requeued alone."""
  array = slurm.submit('--array=0-1', program=program, folder=tmp_path)
  jobs = [array.child(index) for index in (0, 1)]
  for index, job in enumerate(jobs):
    job.wait_for_log(f'child={index}')
  jobs[1].preempt()
  assert jobs[1].wait() == ('COMPLETED', '0')
  assert jobs[0].restarts == 0
  jobs[0].preempt()
  assert jobs[0].wait() == ('COMPLETED', '0')


def real_program(workdir, **changes):
  flags = running.tiny_flags(workdir, stages='train,score', **changes)
  return {'arguments': flags}


def test_a_wrong_setting_fails_once(slurm, tmp_path):
  env = running.environment(tmp_path)
  job = slurm.submit(
    program=real_program(tmp_path / 'workdir', model__name='nothing'),
    env=env,
    folder=tmp_path,
  )
  assert job.wait() == ('FAILED', '2')
  assert 'config.model.name' in job.log
  assert job.restarts == 0


def knows_several_processes():
  """Whether this version of datadiet runs as several processes."""
  found = subprocess.run(
    ['grep', '-rql', 'coordinator_address', running.REPOSITORY / 'datadiet']
  )
  return found.returncode == 0


@pytest.mark.timeout(900)  # Seconds, of three trainings by two processes.
@pytest.mark.parametrize('nodes', [1, 2])
def test_the_results_are_those_of_an_uninterrupted_run(slurm, tmp_path, nodes):
  if nodes > 1 and not knows_several_processes():
    pytest.skip('datadiet runs as one process yet')
  env = running.environment(tmp_path)
  changes = {
    'train__num_runs': 2,
    'train__num_steps': 1100,
    'train__schedule_steps': 1100,
    'train__checkpoint_every_steps': 220,
    'score__steps': '(0, 1100)',
  }

  def submit(name):
    return slurm.submit(
      f'--nodes={nodes}',
      program=real_program(tmp_path / name, **changes),
      env=env,
      folder=tmp_path,
    )

  assert submit('uninterrupted').wait() == ('COMPLETED', '0')
  job = submit('interrupted')
  checkpoints = tmp_path / 'interrupted' / 'train' / 'run_00' / 'checkpoints'
  job.wait_for(lambda: (checkpoints / '220').exists())
  job.preempt()
  assert 'Stopped; run the same command again' in job.log
  assert job.wait() == ('COMPLETED', '0')
  assert job.restarts == 1
  expected = running.results(tmp_path / 'uninterrupted')
  assert expected
  assert running.results(tmp_path / 'interrupted') == expected
