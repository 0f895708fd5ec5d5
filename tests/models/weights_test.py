"""Tests datadiet.models.weights on files named as others name their tensors."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from datadiet.errors import ConfigError, DataDietError
from datadiet.models import make_model
from datadiet.models.weights import load_weights

# name -> options that make it small.
SMALL = {
  'resnet18': {},
  'resnet34': {},
  'resnet50': {},
  'efficientnet_lite0': {},
  'vit_s16': {'depth': 2},
  'vit_b16': {'depth': 2},
}


def small(name, num_classes=5):
  return make_model(
    name, num_classes=num_classes, width=8, options=SMALL.get(name)
  )


def shapes_of(model, size=32, channels=3):
  images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
  shapes = jax.eval_shape(
    lambda key, x: model.init(key, x), jax.random.key(0), images
  )
  return {
    name: shapes[name] for name in ('params', 'batch_stats') if name in shapes
  }


def draw(shapes, seed=0):
  rng = np.random.default_rng(seed)
  return {
    name: rng.normal(size=leaf.shape).astype(np.float32)
    for name, leaf in traverse_util.flatten_dict(shapes, sep='/').items()
  }


def as_theirs(arrays, published):
  """What the library would save of a network."""
  tensors = {'module.bn1.num_batches_tracked': np.zeros((), np.int64)}
  for name, array in arrays.items():
    path = name.partition('/')[2]
    if path.endswith('kernel'):
      array = array.transpose((3, 2, 0, 1) if array.ndim == 4 else (1, 0))
    tensors[f'module.{published.name_of(path)}'] = np.ascontiguousarray(array)
  return tensors


def write(tmp_path, name='resnet18', arrays=None, library=0, **changes):
  model = small(name)
  arrays = draw(shapes_of(model)) if arrays is None else arrays
  tensors = as_theirs(arrays, model.published()[library]) | changes
  tensors = {name: one for name, one in tensors.items() if one is not None}
  path = str(tmp_path / 'weights.safetensors')
  safetensors.numpy.save_file(tensors, path)
  return path


def load(path, name='resnet18', *, num_classes=5, size=32, channels=3):
  model = small(name, num_classes)
  shapes = shapes_of(model, size, channels)
  return load_weights(path, model, shapes, (size, size, channels))


@pytest.mark.parametrize(
  'name, library',
  [
    (name, library)
    for name in SMALL
    for library in range(len(small(name).published()))
  ],
)
def test_every_leaf_is_found_by_its_name_elsewhere(tmp_path, name, library):
  arrays = draw(shapes_of(small(name)))
  read = load(write(tmp_path, name, arrays, library), name)
  assert read.source == small(name).published()[library].source
  assert not read.new_head and {*read.arrays} == {*arrays}
  for leaf, array in arrays.items():
    np.testing.assert_array_equal(read.arrays[leaf], array)


def test_checkpoints_are_read_too(tmp_path):
  arrays = draw(shapes_of(small('simple_cnn')))
  path = str(tmp_path / 'variables.safetensors')
  safetensors.numpy.save_file(arrays, path)
  read = load(path, 'simple_cnn')
  assert read.source == 'datadiet' and {*read.arrays} == {*arrays}


@pytest.mark.parametrize('has_head', [True, False])
def test_the_last_layer_is_new_where_classes_differ(tmp_path, has_head):
  changes = (
    {}
    if has_head
    else {
      'module.fc.weight': None,
      'module.fc.bias': None,
    }
  )
  read = load(write(tmp_path, **changes), num_classes=7)
  assert read.new_head
  assert not any('Dense_0' in name for name in read.arrays)
  assert len(read.arrays) == len(draw(shapes_of(small('resnet18')))) - 2


def test_position_embeddings_are_resized(tmp_path):
  path = write(tmp_path, 'vit_s16')
  before = load(path, 'vit_s16').arrays['params/positions']
  after = load(path, 'vit_s16', size=48).arrays['params/positions']
  assert before.shape == (1, 5, 8) and after.shape == (1, 10, 8)
  np.testing.assert_array_equal(after[0, 0], before[0, 0])
  # The middle of 3 x 3 is that of 2 x 2.
  np.testing.assert_allclose(after[0, 5], before[0, 1:].mean(0), atol=1e-5)


# What is wrong -> (how the file is written, how it is read, the message).
WRONG = {
  'another network': (
    {'name': 'resnet18'},
    {'name': 'resnet50'},
    'is not of the network of config.model.name: it lacks layer1.*more',
  ),
  'a larger network': (
    {'name': 'resnet34'},
    {'name': 'resnet18'},
    'it has, beyond it, layer.* and .* more',
  ),
  'another width': (
    {'module.conv1.weight': np.zeros((4, 3, 7, 7), np.float32)},
    {},
    r'conv1.weight of .* has \[7, 7, 3, 4\], where params/Conv_0/kernel has '
    r'\[7, 7, 3, 8\]; allowed',
  ),
  'grey images': (
    {},
    {'channels': 1},
    'images of 3 channels, and those of config.dataset have 1',
  ),
  'no names known': (
    {},
    {'name': 'simple_cnn'},
    'not allowed with SimpleCNN, whose names .* are not known; allowed',
  ),
  # Theirs has another padding too.
  'another stem': (
    {},
    {'name': 'resnet18_lowres'},
    'not allowed with ResNet, whose names .* are not known; allowed',
  ),
}


@pytest.mark.parametrize('what', WRONG)
def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path, what):
  writing, reading, message = WRONG[what]
  path = write(tmp_path, **writing)
  with pytest.raises(ConfigError, match=message) as error:
    load(path, **reading)
  assert '\n' not in str(error.value)
  assert str(error.value).startswith('config.model.weights: ')


@pytest.mark.parametrize('keep', [0, 7, 500, -100])
def test_half_a_download_is_refused(tmp_path, keep):
  path = write(tmp_path)
  with open(path, 'rb') as file:
    content = file.read()[:keep]
  with open(path, 'wb') as file:
    file.write(content)
  with pytest.raises(DataDietError, match='not downloaded to its end') as error:
    load(path)
  assert '\n' not in str(error.value)


def test_another_ending_is_refused(tmp_path):
  (tmp_path / 'weights.h5').write_bytes(b'')
  with pytest.raises(ConfigError, match=r'allowed: .*\.safetensors, \.pth'):
    load(str(tmp_path / 'weights.h5'))


def test_without_pytorch_its_files_say_what_to_do(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  (tmp_path / 'weights.pth').write_bytes(b'')
  with pytest.raises(DataDietError, match='no .safetensors, needs torch'):
    load(str(tmp_path / 'weights.pth'))
