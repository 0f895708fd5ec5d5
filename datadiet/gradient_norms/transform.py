"""The public transformation `grad_norm`, and `explain`, which describes it."""

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jax import lax

from datadiet.errors import DataDietError
from datadiet.gradient_norms import sites, walk
from datadiet.gradient_norms.products import squared_sum, sum_dtype
from datadiet.gradient_norms.run import run_steps


@dataclasses.dataclass(frozen=True)
class LeafPlan:
  """How one parameter leaf's squared gradient norm is computed.

  Attributes:
    leaf: path of the leaf, such as 'Conv_0/kernel'.
    operations: where it meets data, such as ('conv_general_dilated',).
    form: 'direct', 'flat', 'gram', 'shifted_gram' or 'index_gram', which keep
      no gradient; 'explicit', the leaf's gradient is formed for each example;
      'unused', its gradient is zero; 'excluded', not asked for; 'fallback',
      the whole function is the plain gradient.
    reason: of a fallback, on the leaf that caused it.
  """

  leaf: str
  operations: tuple[str, ...]
  form: str
  reason: str = ''


def grad_norm(
  loss_fn: Callable[..., jax.Array],
  *,
  per_leaf: bool = False,
  trainable: Callable[[str], bool] | None = None,
  squared: bool = False,
  platform: str | None = None,
) -> Callable[..., Any]:
  """Transforms the loss of one example into the norm of its gradient.

  GraNd (Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075) for any model, with
  one forward and one backward pass and no per-example weight gradient:

    scores = jax.jit(jax.vmap(grad_norm(loss_fn), in_axes=(None, 0, 0)))
    scores(params, images, labels)  # float32[batch]

  The loss is traced, every leaf of `params` is followed to the operation where
  it meets the example, and there its gradient's squared norm is computed from
  that operation's input and cotangent. If a leaf cannot be followed, the whole
  function is the norm of jax.grad, and one log line says which leaf and why.

  Args:
    loss_fn: (params, *example) -> scalar loss of ONE example. Params and the
      example's parts are any pytrees; constants may be closed over.
    per_leaf: return every leaf's own norm instead of the norm over all.
    trainable: which leaves count, by path ('Conv_0/kernel'); all by default.
    squared: return squared norms.
    platform: what it is to run on, 'cpu', 'gpu' or 'tpu', which decides by
      which form a norm is computed; that of JAX's devices if None.

  Returns:
    A function (params, *example) -> float32[]; with per_leaf, a pytree of
    float32[] in the structure of params. Leaves that are excluded, unused or
    integers have norm zero; where numbers are complex, the norm is that of
    jax.grad, formed explicitly.

  Raises:
    DataDietError: when called, if the loss is not a real scalar.
  """
  warn_once = _WarnOnce()

  @functools.wraps(loss_fn)
  def norm(params, *example):
    traced = _TracedLoss(loss_fn, params, example, trainable, platform)
    if traced.plan.obstacle is None:
      squares = traced.squared_norms()
    else:
      warn_once(traced.obstacle_text())
      squares = traced.plain_squared_norms()
    if not per_leaf:
      total = sum(squares, jnp.zeros((), jnp.float32))
      return total if squared else jnp.sqrt(total)
    values = squares if squared else [jnp.sqrt(square) for square in squares]
    return jax.tree.unflatten(traced.treedef, values)

  return norm


def explain(
  loss_fn: Callable[..., jax.Array],
  *,
  trainable: Callable[[str], bool] | None = None,
  platform: str | None = None,
) -> Callable[..., list[LeafPlan]]:
  """Describes how grad_norm treats each leaf, without computing anything.

  Args:
    loss_fn: as in grad_norm.
    trainable: as in grad_norm.
    platform: as in grad_norm.

  Returns:
    A function (params, *example) -> one LeafPlan a leaf, in the order of
    jax.tree.leaves(params). Arrays may be jax.ShapeDtypeStruct.
  """

  def leaf_plans(params, *example):
    traced = _TracedLoss(loss_fn, params, example, trainable, platform)
    return traced.leaf_plans()

  return leaf_plans


def leaf_path(path: Sequence[Any]) -> str:
  """'Conv_0/kernel' for a key path, without the '.value' of NNX variables."""
  if len(path) > 1 and path[-1] == jax.tree_util.GetAttrKey('value'):
    path = path[:-1]
  return jax.tree_util.keystr(tuple(path), simple=True, separator='/')


class _WarnOnce:
  """Logs a warning the first time it is called, from whichever thread."""

  def __init__(self):
    self._lock = threading.Lock()
    self._warned = False

  def __call__(self, text: str) -> None:
    with self._lock:
      warned, self._warned = self._warned, True
    if not warned:
      logging.warning('%s', text)


class _TracedLoss:
  """A loss traced for given arguments, and the walk's plan for it."""

  def __init__(self, loss_fn, params, example, trainable, platform):
    self.loss_fn = loss_fn
    paths_and_leaves, self.treedef = jax.tree_util.tree_flatten_with_path(
      params
    )
    self.paths = [leaf_path(path) for path, _ in paths_and_leaves]
    self.example, self.example_treedef = jax.tree.flatten(example)
    self.leaves = _vary_like(
      [leaf for _, leaf in paths_and_leaves], self.example
    )
    self.wanted = [trainable is None or trainable(path) for path in self.paths]
    self.followed = [
      wanted and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
      for wanted, leaf in zip(self.wanted, self.leaves)
    ]
    closed_jaxpr, shape = jax.make_jaxpr(self._flat_loss, return_shape=True)(
      *self.leaves, *self.example
    )
    shapes = jax.tree.leaves(shape)
    if len(shapes) != 1 or shapes[0].shape != () or not jnp.issubdtype(
      shapes[0].dtype, jnp.floating
    ):  # fmt: skip
      raise DataDietError(
        'grad_norm: loss_fn(params, *example) must return the loss of one '
        f'example, a real scalar, but it returned {shape}.'
      )
    platform = platform or jax.devices()[0].platform
    self.plan = walk.make_plan(closed_jaxpr, self.followed, platform)

  def _flat_loss(self, *flat):
    num_leaves = len(self.leaves)
    params = jax.tree.unflatten(self.treedef, flat[:num_leaves])
    example = jax.tree.unflatten(self.example_treedef, flat[num_leaves:])
    return self.loss_fn(params, *example)

  def squared_norms(self) -> list[jax.Array]:
    """Squared norms of all leaves, by one forward and one backward pass."""
    plan, leaves = self.plan, self.leaves

    def loss(accumulators):
      gated = [
        sites.gate(leaf, accumulators[i]) if i in plan.gated else leaf
        for i, leaf in enumerate(leaves)
      ]
      values = dict(plan.constants)
      values.update(zip(plan.inputs, [*gated, *self.example]))
      run_steps(plan.steps, values, accumulators)
      return values[plan.output]

    zeros = [jnp.zeros((), _norm_dtype(leaf)) for leaf in leaves]
    return jax.grad(loss)(_vary_like(zeros, self.example))

  def plain_squared_norms(self) -> list[jax.Array]:
    """The same from the plain gradient of the followed leaves."""

    def loss(followed_leaves):
      remaining = iter(followed_leaves)
      leaves = [
        next(remaining) if followed else leaf
        for followed, leaf in zip(self.followed, self.leaves)
      ]
      return self._flat_loss(*leaves, *self.example)

    gradients = iter(
      jax.grad(loss)(
        [leaf for leaf, followed in zip(self.leaves, self.followed) if followed]
      )
    )
    return [
      squared_sum(next(gradients))
      if followed
      else jnp.zeros((), _norm_dtype(leaf))
      for followed, leaf in zip(self.followed, self.leaves)
    ]

  def obstacle_text(self) -> str:
    """The log line of a fallback: leaf, operation and reason."""
    obstacle = self.plan.obstacle
    return (
      f'grad_norm falls back to the plain gradient: parameter '
      f'{self.paths[obstacle.leaf]!r} cannot be followed through '
      f'{obstacle.operation!r} ({obstacle.reason}).'
    )

  def leaf_plans(self) -> list[LeafPlan]:
    """A `LeafPlan` of each leaf, from the plan of the loss."""
    obstacle = self.plan.obstacle
    sites_by_leaf = {
      uses[0].leaf: uses[0].step.site for uses in self.plan.uses.values()
    }
    plans = []
    for i, path in enumerate(self.paths):
      uses = self.plan.uses.get(i, [])
      operations, reason = tuple(use.operation for use in uses), ''
      if not self.followed[i]:
        form = 'excluded'
      elif obstacle is not None:
        form = 'fallback'
        if i == obstacle.leaf:
          operations, reason = (obstacle.operation,), obstacle.reason
      elif not uses:
        form = 'unused'
      elif i in self.plan.gated:
        form = 'explicit'
      else:
        form = sites_by_leaf[i].rule.form
      plans.append(LeafPlan(path, operations, form, reason))
    return plans


def _norm_dtype(leaf):
  return sum_dtype(jnp.result_type(leaf))


def _vary_like(arrays, example):
  """Marks arrays as varying over the manual mesh axes the example varies over.

  Inside jax.shard_map, a value that does not vary has its cotangents summed
  over the mesh; a norm of one example's gradient must not be.
  """
  axes = frozenset().union(*map(_varying_axes, example)) if example else ()
  varied = []
  for array in arrays:
    missing = tuple(sorted(set(axes) - _varying_axes(array)))
    varied.append(lax.pcast(array, missing, to='varying') if missing else array)
  return varied


def _varying_axes(array):
  array_type = getattr(jax.typeof(array), 'manual_axis_type', None)
  return frozenset(getattr(array_type, 'varying', ()))
