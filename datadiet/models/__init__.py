"""Networks: one file a family, one entry each in `MODELS`.

A model is a flax linen module with `__call__(images, train) -> logits`, images
float32[batch, height, width, channels], logits float32[batch, num_classes]. One
with batch norm has an attribute `axis_name`, which it hands to `nn.BatchNorm`:
the mesh axis over whose devices a run's batch is split.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from datadiet.errors import ConfigError, DataDietError
from datadiet.models.efficientnet import efficientnet_lite0
from datadiet.models.resnet import (
  resnet18,
  resnet18_lowres,
  resnet34,
  resnet50,
  resnet50_lowres,
)
from datadiet.models.simple_cnn import SimpleCNN
from datadiet.models.vision_transformer import vit_b16, vit_s16
from datadiet.models.wide_resnet import wide_resnet28_10
from datadiet.settings import check_options, closest

# name -> factory(num_classes, width, dtype, and what options it has).
MODELS: dict[str, Callable[..., nn.Module]] = {
  'simple_cnn': SimpleCNN,
  'resnet18_lowres': resnet18_lowres,
  'resnet50_lowres': resnet50_lowres,
  'wide_resnet28_10': wide_resnet28_10,
  'resnet18': resnet18,
  'resnet34': resnet34,
  'resnet50': resnet50,
  'efficientnet_lite0': efficientnet_lite0,
  'vit_s16': vit_s16,
  'vit_b16': vit_b16,
}

# The names of the paper's first code.
ALIASES = {'simple_cnn_0': 'simple_cnn'}

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def make_model(
  name: str,
  *,
  num_classes: int,
  width: int = 0,
  dtype: str = 'float32',
  options: Mapping[str, Any] | None = None,
  platform: str = '',
) -> nn.Module:
  """Builds a model by name.

  Args:
    name: a key of `MODELS`.
    num_classes: number of logits.
    width: channels of the first stage; 0 for the family's own.
    dtype: compute type, 'float32' or 'bfloat16'; params, batch statistics and
      logits are float32 always.
    options: settings that only this network has; None for the defaults.
    platform: of the devices that it runs on, for networks that compute the same
      in other ways on some; '' for one way everywhere.

  Raises:
    DataDietError: if the name or an option is unknown.
  """
  if name not in MODELS:
    raise DataDietError(
      f'unknown model {name!r}; known are {", ".join(MODELS)}'
      f'{closest(name, MODELS)}'
    )
  check_options(f'model {name!r}', options or {}, model_options(name))
  given = {'width': width} if width else {}
  model = MODELS[name](
    num_classes=num_classes, dtype=DTYPES[dtype], **given, **(options or {})
  )
  if platform and hasattr(model, 'platform'):
    return model.clone(platform=platform)
  return model


def model_options(name: str) -> dict[str, Any]:
  """What a model of `MODELS` takes as `model.options`, with the defaults.

  `inspect.Parameter.empty` stands for no default.
  """
  factory = MODELS[name]
  # Fields of all models, fields that flax adds, and what a partial sets.
  others = {'num_classes', 'width', 'dtype', 'parent', 'name'}
  others |= {'axis_name', 'platform'}
  others |= {*getattr(factory, 'keywords', {})}
  Parameter = inspect.Parameter
  return {
    parameter.name: parameter.default
    for parameter in inspect.signature(factory).parameters.values()
    if parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    and parameter.name not in others
  }


def over_data_axis(
  model: nn.Module, axis_name: str | None, has_batch_stats: bool
) -> nn.Module:
  """The model, its batch statistics computed over all devices of a run.

  Args:
    model: the module, of `make_model`.
    axis_name: the mesh axis over which the batch is split; None for one device.
    has_batch_stats: whether the model has batch norm.

  Raises:
    ConfigError: if it has, but no attribute `axis_name` to set.
  """
  if axis_name is None:
    return model
  if hasattr(model, 'axis_name'):
    return model.clone(axis_name=axis_name)
  if has_batch_stats:
    raise ConfigError(
      f'config.model.name: {type(model).__name__} keeps batch statistics and '
      'has no attribute axis_name, so that each device of a run would use '
      'those of its part of a batch; allowed: a model that hands axis_name to '
      'nn.BatchNorm, or as many of config.train.runs_at_once as devices'
    )
  return model
