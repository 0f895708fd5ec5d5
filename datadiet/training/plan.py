"""The plan of a training: what is the same for all its runs."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from datadiet.models.settings import ModelSettings
from datadiet.runtime.platform import platform_of
from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.optimizer import OptimizerSettings
from datadiet.training.settings import TrainSettings


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
  """What to train and how, the same for all runs of a stage.

  Attributes:
    model: `config.model`.
    optimizer: `config.optimizer`.
    train: `config.train`, of which `num_steps` and the early steps do not count
      here.
    num_steps: optimizer steps to train.
    keep_steps: steps whose networks and dynamics are kept, to be scored.
    placement: where the data is kept, 'auto', 'device' or 'host'.
    dynamics: what is recorded of the examples in addition to the basics.
    uses_losses: whether the examples of an epoch depend on earlier losses.
    pretrained: what is stated of `model.weights`; None if there are none.
    platform: of the devices that train; '' for those of the process.
    hparams: the whole config by dotted name, for TensorBoard alone.
  """

  model: ModelSettings
  optimizer: OptimizerSettings
  train: TrainSettings
  num_steps: int
  keep_steps: tuple[int, ...] = ()
  placement: str = 'auto'
  dynamics: DynamicsSettings = DynamicsSettings()
  uses_losses: bool = False
  pretrained: dict[str, Any] | None = None
  platform: str = ''
  hparams: Mapping[str, bool | int | float | str] = dataclasses.field(
    default_factory=dict
  )

  @property
  def steps_per_call(self) -> int:
    """How many optimizer steps one call of the compiled function trains."""
    if self.train.steps_per_call:
      return self.train.steps_per_call
    platform = self.platform or platform_of()
    if platform == 'gpu':
      return self._gpu_steps_per_call()
    # On CPU, compiled loops over steps are many times slower than single steps.
    return 1 if platform == 'cpu' else 10

  def _gpu_steps_per_call(self) -> int:
    """As many as go into all intervals, since others are called one by one."""
    every = math.gcd(
      self.train.log_every_steps,
      self.train.eval_every_steps,
      self.train.checkpoint_every_steps,
    )
    # With 50, what a call does once is spread thin; a stop waits for a call.
    whole = [steps for steps in range(10, 51) if every % steps == 0]
    return max(whole, default=10)

  def statement(self) -> dict[str, Any]:
    """The plan as a run's manifest states it."""
    names = [recorder.name for recorder in self.dynamics.recorders]
    stated = dataclasses.asdict(self)
    del stated['hparams']
    stated['dynamics'] = {'window': self.dynamics.window, 'recorders': names}
    return stated

  def next_event(self, step: int) -> int:
    """The first step after `step` to log, evaluate, save or profile at."""
    due = [self.num_steps]
    for every in (
      self.train.log_every_steps,
      self.train.eval_every_steps,
      self.train.checkpoint_every_steps,
    ):
      due.append((step // every + 1) * every)
    due.extend(kept for kept in self.keep_steps if kept > step)
    due.extend(end for end in self.train.profile_steps if end > step)
    return min(due)

  def steps_until_event(self, step: int) -> int:
    """How many steps the call after `step` trains."""
    return min(self.steps_per_call, self.next_event(step) - step)

  def is_log_step(self, step: int) -> bool:
    """Whether the history gets a row at a step."""
    is_due = step % self.train.log_every_steps == 0
    return is_due or self.is_eval_step(step)

  def is_eval_step(self, step: int) -> bool:
    """Whether the networks are evaluated on the test split at a step."""
    return step % self.train.eval_every_steps == 0 or step == self.num_steps

  def is_checkpoint_step(self, step: int) -> bool:
    """Whether the full state is saved at a step."""
    return (
      step % self.train.checkpoint_every_steps == 0
      or step in self.keep_steps
      or step == self.num_steps
    )
