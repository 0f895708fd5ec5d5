"""ResNet-18 in PyTorch, of the same shapes, and what is timed of it.

The network of `datadiet.models` (3x3 stem, no max-pool, projection shortcuts),
float32 or under autocast to bfloat16; images arrive normalised. Per-example
gradients are of the network in eval mode by `torch.func`, and by Opacus of the
same network with group norm, which it puts in the place of batch norm.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

NUM_CLASSES = 10


class _Block(nn.Module):
  def __init__(self, num_in: int, num_out: int, stride: int):
    super().__init__()
    self.conv1 = nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False)
    self.norm1 = nn.BatchNorm2d(num_out)
    self.conv2 = nn.Conv2d(num_out, num_out, 3, 1, 1, bias=False)
    self.norm2 = nn.BatchNorm2d(num_out)
    self.shortcut = nn.Sequential()
    if stride != 1 or num_in != num_out:
      self.shortcut = nn.Sequential(
        nn.Conv2d(num_in, num_out, 1, stride, bias=False),
        nn.BatchNorm2d(num_out),
      )

  def forward(self, x):
    y = F.relu(self.norm1(self.conv1(x)))
    return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def make_resnet18(width: int) -> nn.Module:
  """ResNet-18 for 32x32 images; maps float32[batch, 3, 32, 32] to logits."""
  layers = [
    nn.Conv2d(3, width, 3, 1, 1, bias=False),
    nn.BatchNorm2d(width),
    nn.ReLU(),
  ]
  num_in = width
  for stage in range(4):
    for block in range(2):
      num_out = width * 2**stage
      stride = 2 if stage and not block else 1
      layers.append(_Block(num_in, num_out, stride))
      num_in = num_out
  layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_in, 10)]
  return nn.Sequential(*layers)


class TorchSubject:
  """The network on the best device, and functions that do one call each."""

  def __init__(self, width: int, dtype: str, batch_size: int, chunk: int):
    """Makes the network and random batches.

    Args:
      width: channels of the first stage.
      dtype: 'float32' or 'bfloat16'.
      batch_size: of all but per-example gradients by `torch.func`.
      chunk: of those, which need a gradient's memory an example.
    """
    self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    # Shapes never change: let it try all algorithms for them.
    torch.backends.cudnn.benchmark = True
    print(f'PyTorch {torch.__version__}, {torch.get_num_threads()} threads')
    self._bfloat16 = dtype == 'bfloat16'
    self._width = width
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size, 3, 32, 32)).astype(np.float32)
    labels = rng.integers(0, NUM_CLASSES, batch_size)
    self.images = torch.tensor(images, device=self.device)
    self.labels = torch.tensor(labels, device=self.device)
    self.chunk = chunk

  def _make(self, channels_last: bool = False) -> nn.Module:
    torch.manual_seed(0)
    network = make_resnet18(self._width).to(self.device)
    if channels_last:
      network = network.to(memory_format=torch.channels_last)
    return network

  def _autocast(self):
    return torch.autocast(self.device, torch.bfloat16, enabled=self._bfloat16)

  def wait(self) -> None:
    """Waits for all that was dispatched."""
    if self.device == 'cuda':
      torch.cuda.synchronize()

  def train_step(
    self,
    channels_last: bool = False,
    compiled: bool = False,
    wait: bool = True,
  ) -> Callable[[], None]:
    """SGD with Nesterov momentum and weight decay, batch norm in train mode.

    Args:
      channels_last: the layout in memory of images and kernels.
      compiled: whether forward and backward pass are compiled.
      wait: whether a call waits for its end.
    """
    network = self._make(channels_last).train()
    optimizer = torch.optim.SGD(
      network.parameters(), 0.1, 0.9, nesterov=True, weight_decay=5e-4
    )
    images = self.images
    if channels_last:
      images = images.to(memory_format=torch.channels_last)

    def loss_of(images, labels):
      with self._autocast():
        return F.cross_entropy(network(images).float(), labels)

    if compiled:
      loss_of = torch.compile(loss_of)

    def step() -> None:
      optimizer.zero_grad(set_to_none=True)
      loss_of(images, self.labels).backward()
      optimizer.step()
      if wait:
        self.wait()

    return step

  def el2n(self, compiled: bool = False) -> Callable[[], None]:
    """The forward pass in eval mode and the norm of the softmax's error."""
    network = self._make(channels_last=True).eval()
    images = self.images.to(memory_format=torch.channels_last)

    def score():
      with self._autocast():
        probs = network(images).float().softmax(1)
      return (probs - F.one_hot(self.labels, NUM_CLASSES)).norm(dim=1)

    if compiled:
      score = torch.compile(score)

    def call() -> None:
      with torch.no_grad():
        score()
      self.wait()

    return call

  def func_grand(self) -> Callable[[], None]:
    """Norms of per-example gradients by `torch.func`, one chunk."""
    dtype = torch.bfloat16 if self._bfloat16 else torch.float32
    network = self._make().eval()
    params = {k: v.detach() for k, v in network.named_parameters()}
    buffers = {k: v.to(dtype) for k, v in network.named_buffers()}

    def loss(params, image, label):
      # Autocast does not reach into vmap: cast by hand.
      cast = {k: v.to(dtype) for k, v in params.items()}
      logits = torch.func.functional_call(
        network, (cast, buffers), (image[None].to(dtype),)
      )
      return F.cross_entropy(logits.float(), label[None])

    per_example = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))

    def call() -> None:
      gradients = per_example(
        params, self.images[: self.chunk], self.labels[: self.chunk]
      )
      squares = [g.flatten(1).square().sum(1) for g in gradients.values()]
      torch.stack(squares).sum(0).sqrt()
      self.wait()

    return call

  def opacus_grand(self) -> Callable[[], None]:
    """Norms of per-example gradients by Opacus's hooks, one chunk."""
    import opacus
    from opacus.validators import ModuleValidator

    network = opacus.GradSampleModule(ModuleValidator.fix(self._make()))

    def call() -> None:
      network.zero_grad(set_to_none=True)
      with self._autocast():
        logits = network(self.images[: self.chunk])
      F.cross_entropy(
        logits.float(), self.labels[: self.chunk], reduction='sum'
      ).backward()
      squares = [
        p.grad_sample.flatten(1).square().sum(1) for p in network.parameters()
      ]
      torch.stack(squares).sum(0).sqrt()
      for parameter in network.parameters():
        parameter.grad_sample = None
      self.wait()

    return call
