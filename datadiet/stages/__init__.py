"""The stages in the order they run; each reads artifacts and writes others."""

import dataclasses
from collections.abc import Callable

from datadiet.stages import (
  audit,
  inspect,
  report,
  retrain,
  score,
  select,
  train,
)
from datadiet.stages.context import Context
from datadiet.workdir import tables


@dataclasses.dataclass(frozen=True)
class Stage:
  """One stage.

  Attributes:
    run: does the part of the stage that is not done yet.
    plan: describes that part in one line.
  """

  run: Callable[[Context], None]
  plan: Callable[[Context], str]


_MODULES = {
  'train': train,
  'score': score,
  'inspect': inspect,
  'audit': audit,
  'select': select,
  'retrain': retrain,
  'report': report,
}
STAGES: dict[str, Stage] = {
  name: Stage(_MODULES[name].run, _MODULES[name].plan) for name in tables.STAGES
}
