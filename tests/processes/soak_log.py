"""What the log of a process says of how far it had come."""

import dataclasses
import datetime
import re

_STAGE = re.compile(r'Stage (\w+) begins')
_WAVE = re.compile(r'Wave from step (\d+): (.*)')
_STEP = re.compile(r'Dispatched step (\d+)')
# absl's: I1124 13:05:07.123456 ...
_TIME = re.compile(r'[DIWE](\d{4} \d\d:\d\d:\d\d\.\d+) ')


@dataclasses.dataclass
class Seen:
  """How far a process had come.

  Attributes:
    stage: the last that it began; 'start' before the first.
    stages: all that it began.
    wave: the runs that it trained last in that stage; '' for none.
    step: the last one they trained.
    first_steps: the step at which each wave began.
  """

  stage: str = 'start'
  stages: list[str] = dataclasses.field(default_factory=list)
  wave: str = ''
  step: int = 0
  first_steps: dict[str, int] = dataclasses.field(default_factory=dict)

  def is_past(self, stage: str) -> bool:
    """Whether a later stage began."""
    return stage in self.stages and self.stages[-1] != stage


def read_log(log: str) -> Seen:
  """Reads the log of process 0, written with --verbosity=1."""
  seen = Seen()
  for line in log.splitlines():
    if found := _STAGE.search(line):
      seen.stage, seen.wave, seen.step = found[1], '', 0
      seen.stages.append(found[1])
    elif found := _WAVE.search(line):
      seen.wave, seen.step = found[2], int(found[1])
      seen.first_steps.setdefault(found[2], int(found[1]))
    elif found := _STEP.search(line):
      seen.step = int(found[1])
  return seen


def seconds_by_stage(log: str, start: float) -> dict[str, float]:
  """Seconds that each stage took; `start` is when the process was started."""
  seconds, stage, since = {}, 'start', start
  year = datetime.datetime.fromtimestamp(start).year
  now = start
  for line in log.splitlines():
    if found := _TIME.match(line):
      text = f'{year}{found[1]}'
      now = datetime.datetime.strptime(text, '%Y%m%d %H:%M:%S.%f').timestamp()
    if found := _STAGE.search(line):
      seconds[stage] = now - since
      stage, since = found[1], now
  return {**seconds, stage: now - since}
