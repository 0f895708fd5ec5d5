"""Tests of the sharded engine: any data size, any number of devices."""

import re

import jax
import numpy as np
import pytest

from datadiet.data.dataset import Split
from datadiet.feeding.placement import Placements
from datadiet.models.resnet import BasicBlock, ResNet
from datadiet.runtime.mesh import flat_mesh
from datadiet.scoring.engine import Partial, ScoringEngine
from datadiet.scoring.passes import pass_groups

_MEAN, _STD = np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32)
_FORWARD = ('el2n', 'loss', 'entropy', 'input_norm')
_GRADIENT = ('grand',)


def _split(num_examples: int) -> Split:
  """The first so many of 101 examples."""
  rng = np.random.default_rng(0)
  images = rng.integers(256, size=(101, 8, 8, 3), dtype=np.uint8)
  labels = rng.integers(10, size=101).astype(np.int32)
  return Split(
    images[:num_examples],
    labels[:num_examples],
    np.array([f'train_{index}' for index in range(num_examples)]),
  )


@pytest.fixture(scope='module')
def network():
  model = ResNet((1, 1), BasicBlock, num_classes=10, width=4)
  images = np.zeros((1, 8, 8, 3), np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), images)
  rng = np.random.default_rng(1)
  # As after training: statistics that normalise, scales that are not 1.
  return model, jax.tree.map(
    lambda leaf: (
      np.abs(leaf + 0.1 * rng.standard_normal(leaf.shape)).astype(np.float32)
      if leaf.ndim == 1
      else np.asarray(leaf)
    ),
    {key: variables[key] for key in ('params', 'batch_stats')},
  )


@pytest.fixture(scope='module')
def make_engine(network):
  """Engines, each made once: compiling takes longer than scoring."""
  made = {}

  def make(names, num_examples, chunk_size, num_devices, placement='device'):
    key = (names, num_examples, chunk_size, num_devices, placement)
    if key not in made:
      made[key] = ScoringEngine(
        _split(num_examples),
        network[0],
        names,
        mean=_MEAN,
        std=_STD,
        chunk_size=chunk_size,
        mesh=flat_mesh(jax.devices()[:num_devices]),
        placements=Placements(placement),
      )
    return made[key]

  return make


@pytest.mark.parametrize('names', [_FORWARD, _GRADIENT])
def test_one_and_eight_devices_agree(make_engine, network, names):
  one = make_engine(names, 101, 40, 1).score(network[1])
  # 101 examples divide neither by 40 nor by 8.
  eight = make_engine(names, 101, 40, 8).score(network[1])
  assert set(one) == set(eight) >= set(names)
  for name in names:
    assert one[name].shape == (101,)
    assert one[name].dtype == np.float32
    assert np.ptp(one[name]) > 0
    np.testing.assert_allclose(eight[name], one[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('num_examples', 'chunk_size', 'num_devices'),
  [(101, 1024, 8), (3, 40, 8), (101, 13, 8), (40, 40, 8), (41, 40, 1)],
)
def test_any_size_gives_the_same_scores(
  make_engine, network, num_examples, chunk_size, num_devices
):
  expected = make_engine(_FORWARD, 101, 40, 1).score(network[1])
  engine = make_engine(_FORWARD, num_examples, chunk_size, num_devices)
  assert engine.chunk_size % num_devices == 0
  found = engine.score(network[1])
  assert {len(values) for values in found.values()} == {num_examples}
  for name in _FORWARD:
    np.testing.assert_allclose(
      found[name], expected[name][:num_examples], rtol=1e-5, atol=1e-6
    )


def test_images_on_the_host_score_the_same(make_engine, network):
  on_device = make_engine(_FORWARD, 101, 40, 8).score(network[1])
  on_host = make_engine(_FORWARD, 101, 40, 8, 'host').score(network[1])
  for name in _FORWARD:
    np.testing.assert_array_equal(on_host[name], on_device[name])


@pytest.mark.parametrize('in_flight', [0, 2])  # On CPU, on accelerators.
def test_going_on_gives_the_same_bits(
  make_engine, network, in_flight, monkeypatch
):
  monkeypatch.setattr(ScoringEngine, '_chunks_in_flight', in_flight)
  engine = make_engine(_FORWARD, 101, 40, 8)
  whole = engine.score(network[1])
  copies = []

  def on_chunk(partial):
    values = {name: value.copy() for name, value in partial.values.items()}
    copies.append(Partial(partial.num_done, values))

  engine.score(network[1], on_chunk=on_chunk)
  assert [partial.num_done for partial in copies] == [40, 80, 101]
  resumed = engine.score(network[1], done=copies[1])
  for name, values in whole.items():
    np.testing.assert_array_equal(resumed[name], values)


def test_done_examples_are_not_scored_again(make_engine, network):
  engine = make_engine(_FORWARD, 101, 40, 8)
  done = Partial(80, {name: np.full(101, 7.0, np.float32) for name in _FORWARD})
  found = engine.score(network[1], done=done)
  assert (found['el2n'][:80] == 7.0).all()
  assert (found['el2n'][80:] < 2.0).all()


def test_scores_share_passes():
  names = ('grand', 'el2n', 'aum', 'input_norm', 'loss')
  assert pass_groups(names) == [('el2n', 'input_norm', 'loss'), ('grand',)]
  assert pass_groups(('aum',)) == []


@pytest.mark.parametrize('names', [_FORWARD, _GRADIENT])
@pytest.mark.parametrize(
  ('platform', 'expected'), [('cpu', 'HIGHEST'), ('tpu', 'HIGH')]
)
def test_no_product_is_left_to_the_rounding_of_a_device(
  network, names, platform, expected, monkeypatch
):
  monkeypatch.setattr(ScoringEngine, 'platform', platform)
  engine = ScoringEngine(
    _split(16),
    network[0],
    names,
    mean=_MEAN,
    std=_STD,
    chunk_size=8,
    mesh=flat_mesh(jax.devices()[:1]),
  )
  feed = engine._feed(np.arange(8, dtype=np.int32))
  traced = engine._score.trace(network[1], feed, engine._placement.resident)
  found = re.findall(r'precision=\(?([\w.]+)', str(traced.jaxpr))
  assert set(found) == {f'Precision.{expected}'}
