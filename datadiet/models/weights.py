"""Reads weights that others have trained into a network.

Files are .safetensors, or .pth of PyTorch, which it alone can read.
"""

import dataclasses
import hashlib
import io
import pickle
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np
import safetensors
import safetensors.numpy
from absl import logging
from etils import epath
from flax import traverse_util

from datadiet.errors import ConfigError, DataDietError
from datadiet.models.published import HEAD, Published, as_ours
from datadiet.runtime.extras import missing_library
from datadiet.workdir import storage

_WHERE = 'config.model.weights'
_TORCH_ENDINGS = ('.pth', '.pt', '.bin')
# What training scripts put the tensors under, beside other things.
_WRAPPERS = ('state_dict', 'model_state_dict', 'model')
_COLLECTIONS = ('params', 'batch_stats')


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A network's weights, to start from.

  Attributes:
    arrays: 'params/Conv_0/kernel' -> float32 array; without the last layer's
      where this is new.
    source: whose names the file has; 'datadiet' for those of a checkpoint.
    normalisation: of the images that it was trained on, a value of
      `config.dataset.normalise`; 'data' if nothing says it.
    new_head: whether the last layer is a new one.
    sha256: of the file.
  """

  arrays: Mapping[str, np.ndarray]
  source: str
  normalisation: str
  new_head: bool
  sha256: str

  def statement(self) -> dict[str, Any]:
    """The entries about it in a manifest."""
    return {
      'source': self.source,
      'sha256': self.sha256,
      'new_head': self.new_head,
    }


def load_weights(
  path: str,
  model: nn.Module,
  shapes: Mapping[str, Any],
  image_shape: tuple[int, ...],
) -> Pretrained:
  """Reads a file of weights for a network.

  Args:
    path: local or remote.
    model: the network.
    shapes: of its {'params': ..., 'batch_stats': ...}.
    image_shape: (height, width, channels) of the images it will get.

  Raises:
    ConfigError: if the network is not one that weights of others are known of,
      or they are of another network; names the tensor and both shapes.
    DataDietError: if the file is damaged, holds code, or needs a library.
  """
  content = storage.read_bytes(epath.Path(path).expanduser())
  tensors = _tensors(path, content)
  wanted = {
    name: leaf.shape
    for name, leaf in traverse_util.flatten_dict(dict(shapes), sep='/').items()
  }
  published = _whose(path, tensors, model, wanted)
  found = {}
  for name in wanted:
    theirs = _name_of(name, published)
    if theirs in tensors:
      found[name] = (theirs, _converted(name, tensors, published, image_shape))
  _check_complete(path, tensors, wanted, found, published)
  head = {name for name in wanted if name.split('/')[1] == HEAD}
  new_head = any(
    name not in found or found[name][1].shape[-1:] != wanted[name][-1:]
    for name in head
  )
  arrays = {}
  for name, (theirs, array) in found.items():
    if new_head and name in head:
      continue
    if array.shape != wanted[name]:
      raise ConfigError(
        f'{_WHERE}: {theirs} of {path} does not fit: it has '
        f'{list(array.shape)}, where {name} has {list(wanted[name])}'
        f'{_hint(array.shape, wanted[name])}'
      )
    arrays[name] = array
  return Pretrained(
    arrays,
    published.source if published else 'datadiet',
    published.normalisation if published else 'data',
    new_head,
    hashlib.sha256(content).hexdigest(),
  )


def tell(pretrained: Pretrained, path: str, num_classes: int) -> None:
  """Logs what was read from where."""
  head = f'the last layer is new, of {num_classes} classes'
  logging.info(
    'Starting from %s, named as %s names it%s',
    path,
    pretrained.source,
    f'; {head}' if pretrained.new_head else '',
  )


def _name_of(name: str, published: Published | None) -> str:
  """The tensor for 'params/Conv_0/kernel'."""
  return published.name_of(name.partition('/')[2]) if published else name


def _converted(name, tensors, published, image_shape) -> np.ndarray:
  if published is None:
    return tensors[name].astype(np.float32)
  path = name.partition('/')[2]
  array = as_ours(path, tensors[published.name_of(path)])
  if path in published.adapt:
    array = published.adapt[path](array, image_shape)
  return array


def _whose(path, tensors, model, wanted) -> Published | None:
  """The library whose names the tensors have; None for our own."""
  if all(name.split('/')[0] in _COLLECTIONS for name in tensors):
    return None
  known = model.published() if hasattr(model, 'published') else ()
  if not known:
    raise ConfigError(
      f'{_WHERE}: {path} is not allowed with {type(model).__name__}, whose '
      'names in other libraries are not known; allowed: the '
      'variables.safetensors of a checkpoint, or another config.model.name'
    )
  names = {*tensors}
  return max(
    known,
    key=lambda one: len(names & {_name_of(name, one) for name in wanted}),
  )


def _check_complete(path, tensors, wanted, found, published) -> None:
  """Refuses a file with other tensors than the network has.

  A part of a larger network's would fit by name and shape.
  """
  lacking = [
    _name_of(name, published)
    for name in wanted
    if name not in found and name.split('/')[1] != HEAD
  ]
  used = {theirs for theirs, _ in found.values()}
  unused = [name for name in tensors if name not in used]
  for fault, names in (('lacks', lacking), ('has, beyond it,', unused)):
    if names:
      more = f' and {len(names) - 1} more' if len(names) > 1 else ''
      raise ConfigError(
        f'{_WHERE}: {path} is not of the network of config.model.name: it '
        f'{fault} {names[0]}{more}'
      )


def _hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
  """What is wrong, where that is plain."""
  if len(found) == len(wanted) == 4 and found[2] != wanted[2]:
    return (
      f'; it is for images of {found[2]} channels, and those of config.dataset '
      f'have {wanted[2]}'
    )
  return '; allowed: weights of the network of config.model'


def _tensors(path: str, content: bytes) -> dict[str, np.ndarray]:
  """The tensors of a file by name, without counters of batch norm."""
  if path.endswith('.safetensors'):
    tensors = _read_safetensors(path, content)
  elif path.endswith(_TORCH_ENDINGS):
    tensors = _read_torch(path, content)
  else:
    raise ConfigError(
      f'{_WHERE}: {path!r} is not allowed; allowed: a file that ends with '
      f'.safetensors, {", ".join(_TORCH_ENDINGS)}'
    )
  # Of networks that were trained on several devices.
  tensors = {
    name.removeprefix('module.'): tensor for name, tensor in tensors.items()
  }
  return {
    name: tensor
    for name, tensor in tensors.items()
    if not name.endswith('num_batches_tracked')
  }


def _read_safetensors(path: str, content: bytes) -> dict[str, np.ndarray]:
  try:
    return safetensors.numpy.load(content)
  except safetensors.SafetensorError as error:
    raise _damaged(path, error) from error


def _read_torch(path: str, content: bytes) -> dict[str, np.ndarray]:
  try:
    import torch
  except ImportError as error:
    raise missing_library(f'{_WHERE}: {path}, no .safetensors,', 'torch') from (
      error
    )
  try:
    # Tensors alone: unpickling anything else could run code.
    found = torch.load(io.BytesIO(content), 'cpu', weights_only=True)
  except pickle.UnpicklingError as error:
    if 'truncated' in str(error):
      raise _damaged(path, error) from error
    raise DataDietError(
      f'{_WHERE}: {path} is refused: it holds more than tensors, and reading '
      'it could run code; allowed: a state_dict'
    ) from error
  except (RuntimeError, EOFError, ValueError, KeyError) as error:
    raise _damaged(path, error) from error
  for wrapper in _WRAPPERS:
    if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
      found = found[wrapper]
  tensors = found if isinstance(found, dict) else {}
  tensors = {
    name: tensor.float().numpy()
    for name, tensor in tensors.items()
    if isinstance(tensor, torch.Tensor)
  }
  if not tensors:
    raise DataDietError(
      f'{_WHERE}: {path} holds no tensors by name; allowed: a state_dict'
    )
  return tensors


def _damaged(path: str, error: Exception) -> DataDietError:
  reason = str(error).splitlines()[0][:100] if str(error) else 'it is empty'
  return DataDietError(
    f'{_WHERE}: {path} is damaged or not downloaded to its end ({reason})'
  )
