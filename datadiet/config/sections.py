"""All settings: the sections of the rooms, put together."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from datadiet.audit.settings import AuditSettings
from datadiet.data.settings import DatasetSettings
from datadiet.inspection.settings import InspectSettings
from datadiet.models.settings import ModelSettings
from datadiet.scoring.settings import ScoreSettings
from datadiet.selection.settings import SelectSettings
from datadiet.settings import checks, section, setting
from datadiet.training.optimizer import OptimizerSettings
from datadiet.training.settings import RetrainSettings, TrainSettings


@dataclasses.dataclass(frozen=True)
class Config:
  """The resolved, immutable config of an experiment, as stages receive it."""

  dataset: DatasetSettings = section(DatasetSettings)
  model: ModelSettings = section(ModelSettings)
  optimizer: OptimizerSettings = section(OptimizerSettings)
  train: TrainSettings = section(TrainSettings)
  score: ScoreSettings = section(ScoreSettings, free=True)
  inspect: InspectSettings = section(InspectSettings, free=True)
  audit: AuditSettings = section(AuditSettings, free=True)
  select: SelectSettings = section(SelectSettings, free=True)
  retrain: RetrainSettings = section(RetrainSettings)
  sweep: Mapping[str, Any] = setting(
    {},
    checks.options('a ConfigDict of settings, each with a tuple of values'),
    'Settings to try all combinations of, each with a tuple of values, such as '
    '--config.sweep.train.model_seed=0,1.',
    free=True,
  )
  plugins: tuple[str, ...] = setting(
    (),
    checks.each(checks.name),
    'Modules that add models, scores, policies, data sets, schedules or '
    'sections of the report; of the current folder too.',
    free=True,
  )
  compilation_cache_dir: str = setting(
    '',
    checks.text,
    "JAX's compilation cache; '' for ~/.cache/datadiet/xla, 'none' for none.",
    free=True,
  )
