"""The type that training computes in, chosen once in the life of a workdir."""

from typing import Any

import jax
import ml_collections
from absl import logging

from datadiet import artifacts
from datadiet.artifacts import Workdir

AUTO = 'auto'
# What accelerators multiply fast; elsewhere it would only be rounding.
_FAST = {'gpu': 'bfloat16', 'tpu': 'bfloat16'}


def choose_dtype(config: Any, workdir: Workdir) -> Any:
  """The config with model.dtype = 'auto' resolved.

  A workdir keeps the type that it was begun with, wherever it goes on: its
  networks are to be comparable. A new one gets bfloat16 on GPUs and TPUs, and
  float32 on CPUs.

  Args:
    config: of `config.resolve`.
    workdir: where artifacts go; may not exist yet.

  Raises:
    DataDietError: if the workdir's config.json is damaged.
  """
  if config.model.dtype != AUTO:
    return config
  backend = jax.default_backend()
  usual = _FAST.get(backend, 'float32')
  chosen = usual
  if workdir.config.exists():
    before = artifacts.read_json(workdir.config)['config']['model']
    chosen = before['dtype']
  if chosen != usual:
    logging.info(
      'Computing in %s, as this workdir was begun, not in %s as is usual on %s',
      chosen,
      usual,
      backend,
    )
  config = ml_collections.ConfigDict(config.to_dict())
  config.model.dtype = chosen
  return ml_collections.FrozenConfigDict(config)
