"""Tests of slurm.sbatch against recording commands; see also tests/slurm."""

import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'launch' / 'slurm.sbatch'
PROGRAM = ['--config=configs/a.py', '--workdir=/shared/a b']


def run(stand_ins, *arguments, **environment):
  return stand_ins.run('slurm.sbatch', *arguments, **environment)


def test_one_task_a_node(stand_ins):
  code, _, _ = run(stand_ins, *PROGRAM, SLURM_JOB_ID='7')
  assert code == 0
  assert stand_ins.calls == [
    [
      *('srun', '--label', '--wait=120', '--kill-on-bad-exit=0'),
      *('python', '-m', 'datadiet.main', *PROGRAM),
    ]
  ]


def test_the_repository_s_python_comes_first(stand_ins):
  python = stand_ins.directory / '.venv' / 'bin' / 'python'
  python.parent.mkdir(parents=True)
  python.write_text('')
  python.chmod(0o755)
  run(stand_ins, *PROGRAM)
  run(stand_ins, *PROGRAM, PYTHON='/opt/python')
  assert stand_ins.calls[0][4] == '.venv/bin/python'
  assert stand_ins.calls[1][4] == '/opt/python'


def test_preempted_goes_back_into_the_queue(stand_ins):
  stand_ins.script(('srun', {'code': 75}))
  code, _, _ = run(
    stand_ins, *PROGRAM, SLURM_JOB_ID='7', SLURM_RESTART_COUNT='3'
  )
  assert code == 75
  assert stand_ins.calls[1:] == [['scontrol', 'requeue', '7']]


def test_of_an_array_only_this_job_is_requeued(stand_ins):
  stand_ins.script(('srun', {'code': 75}))
  run(
    stand_ins,
    *PROGRAM,
    SLURM_JOB_ID='7',
    SLURM_ARRAY_JOB_ID='7',
    SLURM_ARRAY_TASK_ID='3',
  )
  assert stand_ins.calls[1:] == [['scontrol', 'requeue', '7_3']]


@pytest.mark.parametrize('code', [0, 1, 2, 137])
def test_anything_else_is_not_started_again(stand_ins, code):
  stand_ins.script(('srun', {'code': code}))
  assert run(stand_ins, *PROGRAM, SLURM_JOB_ID='7')[0] == code
  assert len(stand_ins.calls) == 1


def test_requeueing_has_an_end(stand_ins):
  stand_ins.script(('srun', {'code': 75}))
  code, _, err = run(
    stand_ins, *PROGRAM, SLURM_JOB_ID='7', SLURM_RESTART_COUNT='100'
  )
  assert code == 75
  assert 'giving up' in err
  assert len(stand_ins.calls) == 1


def test_where_requeueing_is_refused_the_job_fails(stand_ins):
  stand_ins.script(
    ('srun', {'code': 75}),
    ('scontrol', {'code': 1, 'stderr': 'Requested operation is disabled\n'}),
  )
  code, _, err = run(stand_ins, *PROGRAM, SLURM_JOB_ID='7')
  assert code != 0
  assert 'Requested operation is disabled' in err


def test_dry_run(stand_ins):
  code, out, _ = run(stand_ins, '--dry_run', *PROGRAM)
  assert code == 0
  assert stand_ins.calls == []
  assert re.search(r'^srun .*--config=configs/a\.py', out, re.MULTILINE)
  assert 'scontrol requeue JOB' in out


def test_help(stand_ins):
  code, out, _ = run(stand_ins, '--help')
  assert code == 0
  assert out.startswith('Runs an experiment under Slurm')


def test_directives_stand_before_the_first_command():
  """sbatch stops looking for them there."""
  lines = SCRIPT.read_text().splitlines()
  first = next(
    number for number, line in enumerate(lines) if line and line[0] != '#'
  )
  directives = [
    number for number, line in enumerate(lines) if line.startswith('#SBATCH')
  ]
  assert len(directives) == 7 and max(directives) < first
  assert '#SBATCH --signal=TERM@120' in lines
