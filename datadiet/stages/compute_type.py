"""The type that training computes in, chosen once in the life of a workdir."""

import dataclasses

import jax
from absl import logging

from datadiet.config import Config
from datadiet.runtime.platform import platform_of
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir

AUTO = 'auto'
# NVIDIA's GPUs before this compute capability (Ampere) have no bfloat16.
_FIRST_CAPABILITY = 8.0


def choose_dtype(config: Config, workdir: Workdir) -> Config:
  """The config with model.dtype = 'auto' resolved.

  A workdir keeps the type that it was begun with, wherever it goes on: its
  networks are to be comparable. A new one gets bfloat16 where there is
  hardware for it, on GPUs and TPUs, and float32 elsewhere.

  Args:
    config: of `config.resolve`.
    workdir: where artifacts go; may not exist yet.

  Raises:
    DataDietError: if the workdir's config.json is damaged.
  """
  if config.model.dtype != AUTO:
    return config
  chosen = usual = _usual_dtype()
  if workdir.config.exists():
    before = artifacts.read_json(workdir.config)['config']['model']
    chosen = before['dtype']
  if chosen != usual:
    logging.info(
      'Training in %s, as this workdir was begun, not in %s as is usual here',
      chosen,
      usual,
    )
  return dataclasses.replace(
    config, model=dataclasses.replace(config.model, dtype=chosen)
  )


def _usual_dtype() -> str:
  """What these devices multiply fast."""
  devices = jax.devices()
  if platform_of(devices) not in ('gpu', 'tpu'):
    return 'float32'
  capability = getattr(devices[0], 'compute_capability', None)
  try:
    is_old = float(capability) < _FIRST_CAPABILITY
  except (TypeError, ValueError):  # A TPU; AMD's are called gfx90a and so on.
    is_old = False
  return 'float32' if is_old else 'bfloat16'
