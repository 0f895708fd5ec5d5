"""Runs the command line in processes of its own, and compares workdirs."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ml_collections

from datadiet.configs import cnn_digits
from datadiet.workdir import checkpoints

REPOSITORY = Path(__file__).parents[1]

# Digits, short enough to run in seconds.
TINY = {
  'model.name': 'simple_cnn',
  'model.width': 4,
  'model.dtype': 'float32',
  'score.dtype': 'float32',
  'optimizer.name': 'sgd',
  'optimizer.learning_rate': 0.1,
  'optimizer.schedule': 'cosine',
  'train.batch_size': 64,
  'train.augmentation': 'crop',
  'train.crop_padding': 1,
  'train.num_runs': 2,
  'train.num_steps': 44,
  'train.schedule_steps': 44,
  'train.log_every_steps': 11,
  'train.eval_every_steps': 22,
  'train.checkpoint_every_steps': 22,
  'score.steps': (0, 44),
  'score.names': ('el2n', 'grand', 'forgetting', 'aum', 'input_norm'),
  # Neither divides the 1437 examples.
  'score.batch_size': 500,
  'score.gradient_batch_size': 100,
  'select.scores': ('el2n',),
  'select.policies': ('keep_max',),
  'select.fractions': (0.5,),
  'select.baselines': ('random',),
  'retrain.num_runs': 2,
  'retrain.num_steps': 22,
  'compilation_cache_dir': 'none',
}


def tiny_config(**changes) -> ml_collections.ConfigDict:
  """Digits, made tiny; changes as `train__num_runs=3`."""
  config = cnn_digits.get_config()
  for name, value in {**TINY, **_dotted(changes)}.items():
    set_field(config, name, value)
  return config


def _dotted(changes: Mapping) -> dict:
  return {name.replace('__', '.'): value for name, value in changes.items()}


def set_field(config, name: str, value) -> None:
  """Sets a field by its dotted name."""
  *sections, field = name.split('.')
  for section in sections:
    config = config[section]
  config[field] = value


def with_raw_value(config, name: str, value) -> ml_collections.ConfigDict:
  """A copy with any value in a field, also of a type the config refuses."""
  fields = config.to_dict()
  set_field(fields, name, value)
  return ml_collections.ConfigDict(fields)


def as_flags(settings: Mapping) -> list[str]:
  """Dotted names and values as command line flags."""
  return [f'--config.{name}={value}' for name, value in settings.items()]


def tiny_flags(workdir, *, stages: str = '', **changes) -> list[str]:
  """The command line of digits, made tiny."""
  command = ['--config=configs/cnn_digits.py', f'--workdir={workdir}']
  command += as_flags({**TINY, **_dotted(changes)})
  return command + ([f'--stages={stages}'] if stages else [])


def environment(
  folder: Path, *, num_devices: int = 2, tensorflow: bool = False
) -> dict[str, str]:
  """The environment of a process to be tested.

  Args:
    folder: for files that the environment needs.
    num_devices: virtual CPU devices.
    tensorflow: whether event files are written; importing it takes seconds.
  """
  path = [str(REPOSITORY)]
  if not tensorflow:
    hidden = folder / 'without_event_files' / 'clu'
    hidden.mkdir(parents=True, exist_ok=True)
    (hidden / '__init__.py').write_text('raise ImportError("hidden by a test")')
    path.insert(0, str(hidden.parent))
  return {
    **os.environ,
    'HOME': str(folder),
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={num_devices}',
    'PYTHONPATH': os.pathsep.join(path),
  }


def run_main(
  flags: Sequence[str],
  env: Mapping[str, str],
  *,
  prefix: Sequence[str] = (),
  cwd: Path = REPOSITORY,
  **options,
) -> subprocess.CompletedProcess:
  """Runs `python -m datadiet.main` to its end, as an argument of `prefix`."""
  return subprocess.run(
    [*prefix, sys.executable, '-m', 'datadiet.main', *flags],
    cwd=cwd,
    env=env,
    capture_output=True,
    text=True,
    check=False,
    **options,
  )


def interrupt_main(
  flags: Sequence[str],
  env: Mapping[str, str],
  *,
  when: Callable[[], bool],
  delay: float,
  with_signal: signal.Signals,
) -> tuple[int, str]:
  """Starts `python -m datadiet.main` and sends it a signal.

  Args:
    flags: its command line.
    env: its environment.
    when: says that it is time.
    delay: seconds from then to the signal.
    with_signal: what to send.

  Returns:
    The exit status (negative: the signal it died of), and stderr.
  """
  log = Path(env['HOME']) / 'interrupted.log'
  with log.open('w') as stderr:
    process = subprocess.Popen(
      [sys.executable, '-m', 'datadiet.main', *flags],
      cwd=REPOSITORY,
      env=env,
      stdout=subprocess.DEVNULL,
      stderr=stderr,
    )
    while process.poll() is None and not when():
      time.sleep(0.001)
    time.sleep(delay)
    if process.poll() is None:
      process.send_signal(with_signal)
    return process.wait(timeout=120), log.read_text()


class Pair:
  """Processes of `python -m datadiet.main` that run as one program."""

  def __init__(
    self,
    flags: Sequence[str],
    env: Mapping[str, str],
    num_processes: int = 2,
    prefixes: Mapping[int, Sequence[str]] | None = None,
  ):
    """Starts them; their output goes to files in the home of `env`.

    `prefixes` has what some of them are arguments of.
    """
    with socket.socket() as free:
      free.bind(('localhost', 0))
      address = f'localhost:{free.getsockname()[1]}'
    self._logs = [
      Path(env['HOME']) / f'process_{number}.log'
      for number in range(num_processes)
    ]
    self.processes = []
    for number, log in enumerate(self._logs):
      command = [
        *(prefixes or {}).get(number, ()),
        sys.executable,
        '-m',
        'datadiet.main',
        f'--coordinator_address={address}',
        f'--num_processes={num_processes}',
        f'--process_id={number}',
        *flags,
      ]
      with log.open('w') as file:
        self.processes.append(
          subprocess.Popen(
            command, cwd=REPOSITORY, env=env, stdout=file, stderr=file
          )
        )

  def is_running(self) -> bool:
    """Whether none has ended yet."""
    return all(process.poll() is None for process in self.processes)

  def wait(self, timeout: float = 300) -> list[int]:
    """Their exit statuses, once all have ended."""
    deadline = time.monotonic() + timeout
    try:
      return [
        process.wait(max(0.0, deadline - time.monotonic()))
        for process in self.processes
      ]
    finally:
      for process in self.processes:
        process.kill()

  def log(self, number: int) -> str:
    """What a process wrote."""
    return self._logs[number].read_text()


@dataclasses.dataclass(frozen=True)
class Refusal:
  """How a command line ended that was meant to be refused."""

  code: int
  stdout: str
  stderr: str


_FORK = """
import json, os, sys
from datadiet import main, pipeline
for number, flags in enumerate(json.loads(sys.stdin.read())):
  child = os.fork()
  if not child:
    for stream, name in ((1, 'out'), (2, 'err')):
      file = os.open(f'{sys.argv[1]}/{number}.{name}', os.O_CREAT | os.O_WRONLY)
      os.dup2(file, stream)
    sys.argv = ['datadiet', *flags]
    try:
      main.main()
    except SystemExit as error:
      # At once: taking down all that is imported takes seconds.
      sys.stdout.flush(), sys.stderr.flush()
      os._exit(error.code or 0)
  _, status = os.waitpid(child, 0)
  print(os.waitstatus_to_exitcode(status), flush=True)
"""


def refuse_many(
  command_lines: Sequence[Sequence[str]], folder: Path, env: Mapping[str, str]
) -> list[Refusal]:
  """Runs many short command lines, importing the program only once."""
  folder.mkdir(parents=True, exist_ok=True)
  done = subprocess.run(
    [sys.executable, '-c', _FORK, str(folder)],
    cwd=REPOSITORY,
    env=env,
    input=json.dumps([list(flags) for flags in command_lines]),
    capture_output=True,
    text=True,
    check=True,
  )
  codes = [int(line) for line in done.stdout.split()]
  return [
    Refusal(
      code,
      (folder / f'{number}.out').read_text(),
      (folder / f'{number}.err').read_text(),
    )
    for number, code in enumerate(codes)
  ]


def all_bytes(folder: Path) -> dict[str, bytes]:
  """Every file below a folder."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(Path(folder).rglob('*'))
    if path.is_file()
  }


def results(workdir: Path) -> dict[str, bytes]:
  """What a resumed workdir must share with an uninterrupted one, bit by bit.

  Everything but what tells the time (timing.json, event files) or the commit
  (config.json), the report, and checkpoints but those of scored steps, of which
  the networks stay, and of the last step.
  """
  kept = {}
  for name, content in all_bytes(workdir).items():
    if name.startswith('report/') or 'tfevents' in name:
      continue
    if '/checkpoints/' not in name and name not in (
      'timing.json',
      'config.json',
    ):
      kept[name] = content
  for manifest in workdir.glob('*train/**/run_*/manifest.json'):
    folder, content = manifest.parent, json.loads(manifest.read_text())
    steps = {content['num_steps'], *content['settings']['keep_steps']}
    for step in sorted(steps):
      step_folder = folder / 'checkpoints' / str(step)
      names = [checkpoints.VARIABLES]
      if step == content['num_steps']:
        names.append(checkpoints.REST)
      for path in (step_folder / name for name in names):
        kept[str(path.relative_to(workdir))] = path.read_bytes()
  return kept


def copy_without(source: Path, target: Path, left_out: Sequence[str]) -> None:
  """Copies a workdir but for some folders in it."""
  shutil.copytree(source, target, ignore=shutil.ignore_patterns(*left_out))
