"""Which parameters are trained: `config.train.trainable`."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from datadiet.models.published import HEAD

ALL = 'all'


def is_trained(trainable: str) -> Callable[[str], bool]:
  """Says of a parameter's path, such as 'Conv_0/kernel', if it is trained.

  Args:
    trainable: 'all'; 'head', the last layer; or a regular expression that is
      searched for in the path.
  """
  if trainable == ALL:
    return lambda path: True
  if trainable == 'head':
    return lambda path: path.startswith(f'{HEAD}/')
  return lambda path: bool(re.search(trainable, path))


def trained_part(params: Any, trainable: str) -> Any:
  """Params with None, for JAX nothing, in the place of what is not trained."""
  trained = is_trained(trainable)
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: leaf if trained(path_of(path)) else None, params
  )


def with_part(params: Any, part: Any) -> Any:
  """Params in which a `trained_part` is put back."""
  return jax.tree.map(
    lambda own, leaf: leaf if own is None else own,
    part,
    params,
    is_leaf=lambda own: own is None,
  )


def path_of(path: tuple[Any, ...]) -> str:
  """The path of a leaf as `is_trained` takes it."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def resting_norms(trainable: str) -> contextlib.AbstractContextManager:
  """A context in which batch norm outside the trained part does not move.

  It uses its running statistics and keeps them, in training too: else what the
  trained part gets, and what the network computes afterwards, would change with
  each batch.
  """
  if trainable == ALL:
    return contextlib.nullcontext()
  trained = is_trained(trainable)

  def rest(call, inputs, options, context):
    module = context.module
    if (
      not isinstance(module, nn.BatchNorm)
      or module.use_running_average
      or trained('/'.join((*module.path, 'scale')))
    ):
      return call(*inputs, **options)
    resting = module.clone(parent=module.scope, use_running_average=True)
    return resting(*inputs, **options)

  return nn.intercept_methods(rest)
