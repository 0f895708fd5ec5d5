"""Tests of the plan: its counts, and that docs/scaling.md has its tables."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from benchmarks import plan
from datadiet.models import make_model

DOCS = Path(__file__).parents[2] / 'docs'


@pytest.mark.parametrize('table', plan.TABLES, ids=lambda table: table.__name__)
def test_the_page_has_what_the_program_prints(table):
  assert table() in (DOCS / 'scaling.md').read_text()


def test_counts_are_those_of_the_network():
  model = make_model('resnet18_lowres', num_classes=10)
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  outputs = []

  def note(call, inputs, options, context):
    found = call(*inputs, **options)
    if isinstance(context.module, nn.Conv):
      outputs.append(found.size)
    return found

  def init(key, images):
    with nn.intercept_methods(note):
      return model.init(key, images)

  key = jax.eval_shape(lambda: jax.random.key(0))
  params = jax.eval_shape(init, key, images)['params']
  kernels = [leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
  assert plan.RESNET18.layers == len(outputs) == len(kernels)
  assert plan.RESNET18.outputs == sum(outputs)
  assert plan.RESNET18.params == sum(kernels)


def test_the_published_rate_comes_out():
  assert plan.images_per_second(plan.A100) == pytest.approx(23_000, rel=0.05)
