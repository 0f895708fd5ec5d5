"""Networks: one file a family, one entry each in `MODELS`.

A model is a flax linen module with `__call__(images, train) -> logits`, images
float32[batch, height, width, channels], logits float32[batch, num_classes].
"""

import difflib
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from datadiet.errors import DataDietError
from datadiet.models.resnet import resnet18_lowres, resnet50_lowres
from datadiet.models.simple_cnn import SimpleCNN

# name -> factory(num_classes, width, dtype); width 0 is the family's own.
MODELS: dict[str, Callable[..., nn.Module]] = {
  'simple_cnn': SimpleCNN,
  'resnet18_lowres': resnet18_lowres,
  'resnet50_lowres': resnet50_lowres,
}

# The names of the paper's first code.
ALIASES = {'simple_cnn_0': 'simple_cnn'}

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def make_model(
  name: str, *, num_classes: int, width: int = 0, dtype: str = 'float32'
) -> nn.Module:
  """Builds a model by name.

  Args:
    name: a key of `MODELS`.
    num_classes: number of logits.
    width: channels of the first stage; 0 for the family's own.
    dtype: compute type, 'float32' or 'bfloat16'; params, batch statistics and
      logits are float32 always.

  Raises:
    DataDietError: if the name is unknown.
  """
  if name not in MODELS:
    close = difflib.get_close_matches(name, MODELS, 1)
    hint = f'; did you mean {close[0]!r}?' if close else ''
    raise DataDietError(
      f'unknown model {name!r}; known are {", ".join(MODELS)}{hint}'
    )
  options = {'width': width} if width else {}
  return MODELS[name](num_classes=num_classes, dtype=DTYPES[dtype], **options)
