"""Tests datadiet.gradient_norms against one jax.grad an example."""

import logging as python_logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from datadiet.errors import DataDietError
from datadiet.gradient_norms import cost, explain, grad_norm
from datadiet.runtime import compilation
from tests.gradient_norms import zoo
from tests.gradient_norms.fallbacks import FALLBACKS

TOLERANCE = 1e-5


def example_of(batch, i):
  return tuple(part[i] for part in batch)


def jit(function):
  return compilation.jit(function, run_once=True)


def batched(norm, batch):
  return jit(jax.vmap(norm, in_axes=(None, *[0] * len(batch))))


def reference_norms(case):
  """Per leaf, from the plain gradient of one example after the other."""
  differentiable = [
    jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    for leaf in jax.tree.leaves(case.params)
  ]
  gradient = jit(jax.grad(case.loss_fn, allow_int=True))
  norms = []
  for i in range(len(case.batch[0])):
    leaves = jax.tree.leaves(gradient(case.params, *example_of(case.batch, i)))
    norms.append(
      [
        np.linalg.norm(np.asarray(leaf, np.complex128)) if real else 0.0
        for leaf, real in zip(leaves, differentiable)
      ]
    )
  return np.array(norms)


def assert_all_norms_match(case, tolerance=TOLERANCE):
  """The norm over all leaves and each leaf's own."""
  expected = reference_norms(case)
  total = batched(grad_norm(case.loss_fn), case.batch)(case.params, *case.batch)
  assert total.dtype == jnp.float32 and total.shape == (len(expected),)
  expected_total = np.sqrt((expected**2).sum(1))
  assert np.all(expected_total > 0)
  np.testing.assert_allclose(total, expected_total, rtol=tolerance)
  if len(expected[0]) > 40:
    return  # Each leaf of a large network costs too much compilation.
  per_leaf = batched(grad_norm(case.loss_fn, per_leaf=True), case.batch)
  norms = per_leaf(case.params, *case.batch)
  assert jax.tree.structure(norms) == jax.tree.structure(case.params)
  np.testing.assert_allclose(
    np.stack(jax.tree.leaves(norms), 1),
    expected,
    rtol=10 * tolerance,
    atol=tolerance * expected_total.max(),
  )


def forms_of(case):
  plans = explain(case.loss_fn)(case.params, *example_of(case.batch, 0))
  return {plan.form for plan in plans}


@pytest.mark.parametrize('name', zoo.ZOO)
def test_matches_the_plain_gradient_on_the_fast_path(name):
  make_case, expected_forms = zoo.ZOO[name]
  case = make_case()
  forms = forms_of(case)
  assert 'fallback' not in forms
  if name.endswith('_conv'):
    assert forms <= expected_forms
  else:
    assert forms >= expected_forms
  assert_all_norms_match(case)


@pytest.mark.parametrize('name', zoo.WHOLE)
def test_whole_networks_match_the_plain_gradient(name):
  case = zoo.WHOLE[name]()
  assert 'fallback' not in forms_of(case)
  assert_all_norms_match(case)


@pytest.mark.parametrize('form', ['direct', 'gram', 'shifted_gram'])
@pytest.mark.parametrize('name', zoo.CONVOLUTIONS)
def test_every_form_is_exact_for_every_convolution(name, form, monkeypatch):
  monkeypatch.setattr(cost, 'cheapest_form', lambda *unused: form)
  case = zoo.CONVOLUTIONS[name]()
  assert forms_of(case) == {form}
  norms = batched(grad_norm(case.loss_fn), case.batch)
  np.testing.assert_allclose(
    norms(case.params, *case.batch),
    np.sqrt((reference_norms(case) ** 2).sum(1)),
    rtol=TOLERANCE,
  )


@pytest.mark.parametrize('name', zoo.CONVOLUTIONS)
def test_flat_positions_are_exact_where_they_apply(name, monkeypatch):
  def flat_if_it_applies(shape, platform, has_flat):
    return 'flat' if has_flat else 'direct'

  monkeypatch.setattr(cost, 'cheapest_form', flat_if_it_applies)
  case = zoo.CONVOLUTIONS[name]()
  assert forms_of(case) == {'flat' if name in zoo.FLAT else 'direct'}
  if name not in zoo.FLAT:
    return
  norms = batched(grad_norm(case.loss_fn), case.batch)
  np.testing.assert_allclose(
    norms(case.params, *case.batch),
    np.sqrt((reference_norms(case) ** 2).sum(1)),
    rtol=TOLERANCE,
  )


@pytest.mark.parametrize('form', ['direct', 'gram'])
@pytest.mark.parametrize('name', ['bare', 'position_weights'])
def test_every_form_is_exact_for_matrix_products(name, form, monkeypatch):
  monkeypatch.setattr(cost, 'cheapest_form', lambda *unused: form)
  case = zoo.ZOO[name][0]()
  assert form in forms_of(case)
  assert_all_norms_match(case)


@pytest.mark.parametrize('name', FALLBACKS)
def test_falls_back_as_a_whole_with_one_log_line(name, caplog):
  make_case, leaf, operation = FALLBACKS[name]
  case = make_case()
  assert forms_of(case) == {'fallback'}
  norm = grad_norm(case.loss_fn)
  with caplog.at_level(python_logging.WARNING):
    norms = batched(norm, case.batch)(case.params, *case.batch)
    norm(case.params, *example_of(case.batch, 0))
  (record,) = caplog.records
  pattern = f"parameter '{leaf}' cannot be followed through '({operation})'"
  assert re.search(pattern, record.getMessage())
  expected = np.sqrt((reference_norms(case) ** 2).sum(1))
  np.testing.assert_allclose(norms, expected, rtol=TOLERANCE)


def test_the_fast_path_logs_nothing(caplog):
  case = zoo.bare_case()
  with caplog.at_level(python_logging.INFO):
    grad_norm(case.loss_fn)(case.params, *example_of(case.batch, 0))
  assert not caplog.records


def test_no_weight_gradient_is_formed():
  """A dense layer on a vector: nothing of the kernel's shape is computed."""
  kernel = jnp.ones((50, 70))

  def loss_fn(params, x):
    return jnp.sum(jnp.tanh(jnp.sin(x) @ params))

  jaxpr = jax.make_jaxpr(grad_norm(loss_fn))(kernel, jnp.ones(50))
  made = [v.aval.shape for e in jaxpr.jaxpr.eqns for v in e.outvars]
  assert (50, 70) not in made and (70, 50) not in made
  plain = jax.make_jaxpr(jax.grad(loss_fn))(kernel, jnp.ones(50))
  made = [v.aval.shape for e in plain.jaxpr.eqns for v in e.outvars]
  assert (50, 70) in made or (70, 50) in made


@pytest.mark.parametrize('name', ['simple_cnn', 'scan'])
def test_chosen_leaves_only(name):
  make_case = {**zoo.ZOO, **FALLBACKS}[name][0]
  case = make_case()
  paths = [
    jax.tree_util.keystr(path, simple=True, separator='/')
    for path, _ in jax.tree_util.tree_leaves_with_path(case.params)
  ]
  part = {'simple_cnn': 'kernel', 'scan': 'recurrent'}[name]
  chosen = np.array([part in path for path in paths])
  assert 0 < chosen.sum() < len(chosen)
  expected = reference_norms(case)
  options = {'trainable': lambda path: part in path}
  norms = batched(grad_norm(case.loss_fn, **options), case.batch)
  np.testing.assert_allclose(
    norms(case.params, *case.batch),
    np.sqrt((expected[:, chosen] ** 2).sum(1)),
    rtol=TOLERANCE,
  )
  per_leaf = batched(
    grad_norm(case.loss_fn, per_leaf=True, **options), case.batch
  )
  leaves = per_leaf(case.params, *case.batch)
  np.testing.assert_allclose(
    np.stack(jax.tree.leaves(leaves), axis=1),
    np.where(chosen, expected, 0),
    rtol=1e-4,
    atol=1e-5,
  )


def test_paths_are_joined_by_slashes():
  case = zoo.nnx_case()
  plans = explain(case.loss_fn)(case.params, *example_of(case.batch, 0))
  assert 'conv/kernel' in [plan.leaf for plan in plans]


def test_squared():
  case = zoo.bare_case()
  example = example_of(case.batch, 0)
  norm = grad_norm(case.loss_fn)(case.params, *example)
  square = grad_norm(case.loss_fn, squared=True)(case.params, *example)
  np.testing.assert_allclose(norm**2, square, rtol=1e-6)


def test_zero_gradients_have_norm_zero():
  case = zoo.bare_case()

  def loss_fn(params, x, label):
    return 0.0 * case.loss_fn(params, x, label)

  norms = grad_norm(loss_fn, per_leaf=True)(
    case.params, *example_of(case.batch, 0)
  )
  assert all(norm == 0.0 for norm in jax.tree.leaves(norms))


def test_not_a_number_is_not_hidden():
  case = zoo.ZOO['same_conv'][0]()
  image, label = example_of(case.batch, 0)
  image = image.copy()
  image[0, 0, 0, 0] = np.nan
  assert np.isnan(grad_norm(case.loss_fn)(case.params, image, label))


@pytest.mark.parametrize('name', ['simple_cnn', 'resnet18_lowres'])
def test_bfloat16_compute(name):
  """Near to the plain bfloat16 gradient."""
  half = zoo.product_model(name, 'bfloat16')
  assert 'fallback' not in forms_of(half)
  plain = np.sqrt((reference_norms(half) ** 2).sum(1))
  norms = batched(grad_norm(half.loss_fn), half.batch)(half.params, *half.batch)
  assert norms.dtype == jnp.float32
  np.testing.assert_allclose(norms, plain, rtol=0.02)


def test_bfloat16_params():
  case = zoo.bare_case()
  params = jax.tree.map(
    lambda leaf: (
      leaf.astype(jnp.bfloat16)
      if jnp.issubdtype(leaf.dtype, jnp.floating)
      else leaf
    ),
    case.params,
  )
  norms = batched(grad_norm(case.loss_fn), case.batch)
  exact = norms(case.params, *case.batch)
  half = norms(params, *case.batch)
  assert half.dtype == jnp.float32
  np.testing.assert_allclose(half, exact, rtol=0.05)


@pytest.mark.parametrize('spread', [1.0, 0.1, 0.01])
@pytest.mark.parametrize('form', ['direct', 'gram', 'shifted_gram'])
def test_digits_lost_where_positions_cancel(form, spread, monkeypatch):
  """Nearly equal rows, cotangents of mean zero: within the bound stated."""
  monkeypatch.setattr(cost, 'cheapest_form', lambda *unused: form)
  rng = np.random.default_rng(0)
  rows = rng.normal(size=64) + spread * rng.normal(size=(4, 64))
  slopes = rng.normal(size=(4, 64))
  rows, slopes = np.float32(rows), np.float32(slopes - slopes.mean(0))

  def loss_fn(kernel, rows):
    layout = ('NWC', 'WIO', 'NWC')
    output = jax.lax.conv_general_dilated(
      rows[None], kernel, (1,), 'VALID', dimension_numbers=layout
    )
    return jnp.sum(output * slopes)

  (plan,) = explain(loss_fn)(jnp.ones((1, 64, 64)), rows)
  assert plan.form == form
  gradient = np.linalg.norm(np.float64(rows).T @ np.float64(slopes))
  terms = np.linalg.norm(np.float64(rows)) * np.linalg.norm(np.float64(slopes))
  ratio = terms / gradient
  bound = 6e-8 * (ratio if form == 'direct' else ratio**2)
  assert ratio > 1.5 / spread
  found = grad_norm(loss_fn)(jnp.ones((1, 64, 64)), rows)
  np.testing.assert_allclose(found, gradient, rtol=bound)


@pytest.mark.parametrize('factor', [1e-4, 300.0])
@pytest.mark.parametrize('divides', [False, True])
def test_the_square_of_a_half_precision_factor_is_in_range(factor, divides):
  factor, slope = jnp.float16(factor), jnp.arange(1.0, 5.0)

  def loss_fn(weight, x):
    scaled = weight / factor if divides else weight * factor
    return jnp.sum((x @ scaled).astype(jnp.float32) * slope)

  weight, x = jnp.ones((6, 4), jnp.float16), jnp.arange(6, dtype=jnp.float16)
  (plan,) = explain(loss_fn)(weight, x)
  assert plan.form == 'gram'
  scale = 1 / float(factor) if divides else float(factor)
  expected = scale * float(np.linalg.norm(x)) * np.linalg.norm(slope)
  np.testing.assert_allclose(grad_norm(loss_fn)(weight, x), expected, rtol=1e-3)


@pytest.mark.parametrize('check_vma', [True, False])
@pytest.mark.parametrize('name', ['remat', 'shared_dense', 'scan'])
def test_sharded_over_devices(name, check_vma):
  """The norm of an example's gradient is not summed over the mesh."""
  case = {**zoo.ZOO, **FALLBACKS}[name][0]()
  norms = jax.vmap(grad_norm(case.loss_fn), in_axes=(None, 0, 0))
  expected = jax.jit(norms)(case.params, *case.batch)
  mesh = jax.make_mesh((zoo.BATCH,), ('data',), axis_types=(AxisType.Auto,))
  sharded = jax.shard_map(
    norms,
    mesh=mesh,
    in_specs=(P(), P('data'), P('data')),
    out_specs=P('data'),
    check_vma=check_vma,
  )
  actual = jax.jit(sharded)(case.params, *case.batch)
  np.testing.assert_allclose(actual, expected, rtol=TOLERANCE)


def test_params_may_be_batched_too():
  """vmap over stacked params, as over runs."""
  case = zoo.bare_case()
  x, label = example_of(case.batch, 0)
  stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), case.params)
  norm = grad_norm(case.loss_fn)
  norms = jax.vmap(norm, in_axes=(0, None, None))(stacked, x, label)
  for i in range(2):
    params = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
    np.testing.assert_allclose(norms[i], norm(params, x, label), rtol=1e-5)


def test_is_differentiable_itself():
  """The derivative of the norm in the params, against finite differences."""
  case = zoo.position_weights_case()
  example = example_of(case.batch, 0)
  norm = grad_norm(case.loss_fn)
  kernel = case.params['kernel']
  direction = jnp.cos(jnp.arange(kernel.size)).reshape(kernel.shape)

  def along(step):
    return norm({'kernel': kernel + step * direction}, *example)

  expected = (along(1e-2) - along(-1e-2)) / 2e-2
  np.testing.assert_allclose(jax.grad(along)(0.0), expected, rtol=1e-2)


def test_a_loss_that_is_no_scalar_is_refused():
  with pytest.raises(DataDietError, match='real scalar'):
    grad_norm(lambda params, x: params * x)(jnp.ones(3), jnp.ones(3))


def test_a_network_for_tpus_has_the_same_norms():
  """By the forms of the table, in another order of the backward pass."""
  make_case, _ = zoo.ZOO['resnet18_lowres']
  case = make_case()
  example = example_of(case.batch, 0)
  plans = explain(case.loss_fn, platform='tpu')(case.params, *example)
  assert 'flat' in {plan.form for plan in plans}
  assert 'flat' not in forms_of(case)
  found, expected = (
    batched(grad_norm(case.loss_fn, platform=platform), case.batch)(
      case.params, *case.batch
    )
    for platform in ('tpu', 'cpu')
  )
  np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


@pytest.mark.parametrize(
  ('shape', 'has_flat', 'form'),
  [
    (cost.SiteShape(1, 1024, 576, 64, 9, 1156), True, 'flat'),
    (cost.SiteShape(1, 900, 576, 64, 9, 1024), True, 'flat'),
    (cost.SiteShape(1, 16, 4608, 512, 9, 36), True, 'shifted_gram'),
    (cost.SiteShape(1, 1, 512, 1000), False, 'gram'),
  ],
)
def test_tpus_take_the_form_of_the_nearest_site(shape, has_flat, form):
  assert cost.cheapest_form(shape, 'tpu', has_flat) == form


def test_the_cost_model_prefers_the_smaller_form():
  vector = cost.SiteShape(1, 1, 512, 1000)
  assert cost.cheapest_form(vector) == 'gram'
  early_conv = cost.SiteShape(1, 1024, 576, 64, 9, 1156)
  assert cost.cheapest_form(early_conv) == 'direct'
  late_conv = cost.SiteShape(1, 16, 4608, 512, 9, 36)
  assert cost.cheapest_form(late_conv) == 'shifted_gram'
