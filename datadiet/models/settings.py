"""The settings of the network: `config.model`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from datadiet.models import ALIASES, DTYPES, MODELS, make_model
from datadiet.settings import checks, setting


@dataclasses.dataclass(frozen=True)
class ModelSettings:
  """Which network, and what it computes in."""

  name: str = setting(
    'resnet18_lowres', checks.one_of(MODELS, ALIASES), 'The network.'
  )
  width: int = setting(
    0,
    checks.integer(
      0, 4096, 'an integer of channels up to 4096, 0 for the usual number'
    ),
    "Channels of the first stage; 0 for the family's own.",
  )
  weights: str = setting(
    '',
    checks.text,
    "A file of pretrained weights to start from, torchvision's or timm's or a "
    "checkpoint's variables.safetensors: .safetensors, or .pth where PyTorch "
    "is installed. The last layer is a new one where classes differ; '' for a "
    'new network.',
    path=True,
  )
  dtype: str = setting(
    'auto',
    checks.one_of(('auto', *DTYPES)),
    "What training computes in; 'auto' for bfloat16 on GPUs and TPUs and "
    'float32 on CPUs. A workdir keeps what it was begun with; params, batch '
    'statistics, logits and losses are float32 always.',
  )
  options: Mapping[str, Any] = setting(
    {},
    checks.options('a ConfigDict of options of the network'),
    "The network's own settings, fields of its class, such as "
    '--config.model.options.NAME=VALUE.',
  )


def make_network(
  settings: ModelSettings,
  num_classes: int,
  dtype: str = '',
  platform: str = '',
) -> nn.Module:
  """Builds the network of `config.model`.

  Args:
    settings: of which the dtype is resolved, no longer 'auto'.
    num_classes: number of logits.
    dtype: what to compute in, such as for scoring; '' for what it trains in.
    platform: of the devices that it runs on; '' where none is computed on.
  """
  return make_model(
    settings.name,
    num_classes=num_classes,
    width=settings.width,
    dtype=dtype or settings.dtype,
    options=settings.options,
    platform=platform,
  )
