"""A network with random weights, and functions of it that are timed.

train_step   the project's own, batch norm in train mode, SGD with momentum
forward      logits in eval mode
el2n         the same and the score
all_forward  the same and all scores of a forward pass
grand        vmap(grad_norm(loss))
vmap_grad    norms of vmap(grad(loss)), called on chunks that fit in memory
jacrev       norms of jacrev of the per-example losses, the predecessor's way
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from datadiet.feeding.augmentation import Augmentation
from datadiet.gradient_norms import grad_norm
from datadiet.models import make_model
from datadiet.runtime import compilation
from datadiet.runtime.randomness import run_key
from datadiet.scoring import forward, passes, registry
from datadiet.training.optimizer import OptimizerSettings, make_optimizer
from datadiet.training.state import TrainState, init_state
from datadiet.training.steps import (
  make_train_step,
  per_example_loss,
  step_keys,
)

IMAGE_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
# Examples of one Jacobian, which holds a gradient an example more than once.
JACREV_BATCH = 16


@dataclasses.dataclass
class Timed:
  """A compiled function and what it is called with."""

  compiled: Any
  inputs: tuple
  batch_size: int

  def __call__(self) -> float:
    """Calls it once; returns its images per second."""
    start = time.perf_counter()
    jax.block_until_ready(self.compiled(*self.inputs))
    return self.batch_size / (time.perf_counter() - start)

  @property
  def peak_bytes(self) -> int:
    """Temporaries, inputs and outputs, as the compiler counts them."""
    memory = self.compiled.memory_analysis()
    return (
      memory.temp_size_in_bytes
      + memory.argument_size_in_bytes
      + memory.output_size_in_bytes
      - memory.alias_size_in_bytes
    )


class Subject:
  """The network, its train state, and the functions."""

  def __init__(self, model_name: str, width: int, dtype: str):
    self.model = make_model(
      model_name, num_classes=NUM_CLASSES, width=width, dtype=dtype
    )
    self.tx = make_optimizer(OptimizerSettings(), horizon=78_000)
    init = functools.partial(
      init_state,
      model=self.model,
      tx=self.tx,
      image_shape=IMAGE_SHAPE,
      num_examples=50_000,
    )
    key = run_key(0, 0, 0)
    self.state: TrainState = compilation.jit(init, run_once=True)(key)

  @property
  def variables(self) -> dict[str, Any]:
    """{'params': ..., 'batch_stats': ...}."""
    return {
      name: getattr(self.state, name) for name in ('params', 'batch_stats')
    }

  def batch(self, batch_size: int) -> dict[str, jax.Array]:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch_size, *IMAGE_SHAPE), np.uint8)
    return {
      'image': jnp.asarray(pixels),
      'label': jnp.asarray(rng.integers(0, NUM_CLASSES, batch_size), jnp.int32),
      'example_index': jnp.arange(batch_size, dtype=jnp.int32),
    }

  def train_step(self) -> Callable:
    """The project's train step without augmentation."""
    return make_train_step(
      self.model,
      self.tx,
      mean=np.full(3, 0.5, np.float32),
      std=np.full(3, 0.25, np.float32),
      augmentation=Augmentation('none'),
    )

  def forward(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch, num_classes] in eval mode."""
    variables = {**self.variables, 'params': params}
    images = (batch['image'] / 255.0 - 0.5) / 0.25
    return passes.forward_pass(self.model, variables, images, False)[0]

  def losses(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch]."""
    return per_example_loss(self.forward(params, batch), batch['label'])

  def loss(self, params: Any, example: dict[str, jax.Array]) -> jax.Array:
    """float32[], of one example."""
    return self.losses(params, jax.tree.map(lambda x: x[None], example))[0]

  def grand(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], by the transformation."""
    return jax.vmap(grad_norm(self.loss), (None, 0))(params, batch)

  def vmap_grad(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], from per-example gradients."""

    def norm(example):
      return optax.global_norm(jax.grad(self.loss)(params, example))

    return jax.vmap(norm)(batch)

  def jacrev(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], from the Jacobian of the losses."""
    jacobian = jax.jacrev(self.losses)(params, batch)
    return jax.vmap(optax.global_norm)(jacobian)

  def el2n(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], the project's own score."""
    outputs = forward.make_outputs(self.forward(params, batch), batch['label'])
    return registry.SCORES['el2n'].function(outputs)

  def all_forward(self, params: Any, batch: dict[str, jax.Array]) -> dict:
    """Every score of one forward pass, float32[batch] each."""
    images = (batch['image'] / 255.0 - 0.5) / 0.25
    variables = {**self.variables, 'params': params}
    # With the input of the last layer, which grand_last needs.
    logits, features = passes.forward_pass(self.model, variables, images, True)
    outputs = forward.make_outputs(logits, batch['label'], features)
    return {
      name: registry.SCORES[name].function(outputs)
      for name in registry.of_kind(registry.SCORES, registry.FORWARD)
    }

  def compile(
    self, name: str, batch_size: int, options: dict[str, Any]
  ) -> Timed:
    """Compiles one function for one batch size, with options of XLA."""
    batch = self.batch(batch_size)
    if name == 'train_step':
      function, inputs = self.train_step(), (self.state, batch, step_keys(0, 0))
    else:
      # The rest of the state is not an input of the scores.
      function, inputs = getattr(self, name), (self.state.params, batch)
    lowered = jax.jit(function).lower(*inputs)
    compiled = lowered.compile(compiler_options=options)
    return Timed(compiled, inputs, batch_size)
