"""The stages in the order they run; each makes artifacts from artifacts."""

import dataclasses
from collections.abc import Callable

from datadiet.stages import audit, report, retrain, score, select, train
from datadiet.stages.context import Context


@dataclasses.dataclass(frozen=True)
class Stage:
  """One stage.

  Attributes:
    run: does what is not done yet.
    plan: says in a line what that is.
  """

  run: Callable[[Context], None]
  plan: Callable[[Context], str]


STAGES: dict[str, Stage] = {
  'train': Stage(train.run, train.plan),
  'score': Stage(score.run, score.plan),
  'audit': Stage(audit.run, audit.plan),
  'select': Stage(select.run, select.plan),
  'retrain': Stage(retrain.run, retrain.plan),
  'report': Stage(report.run, report.plan),
}
