"""How others name the layers of a network, and what their weights expect.

A network that weights of others can be read into has a method `published`,
which gives a tuple of `Published`, one for each library.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

# Our name of a leaf -> theirs.
_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# The module of the last layer, in all networks of `MODELS`.
HEAD = 'Dense_0'


@dataclasses.dataclass(frozen=True)
class Published:
  """The names that one library gives to a network's tensors.

  Attributes:
    source: the library.
    modules: our path of a module -> the beginning of its tensors' names.
    leaves: our path of a parameter outside these -> the tensor's name.
    normalisation: what its weights were trained with, a value of
      `config.dataset.normalise`.
    adapt: our path of a parameter -> (array, image_shape) -> the array for
      images of that shape.
  """

  source: str
  modules: Mapping[str, str]
  leaves: Mapping[str, str] = dataclasses.field(default_factory=dict)
  normalisation: str = 'imagenet'
  adapt: Mapping[str, Callable[[np.ndarray, tuple[int, ...]], np.ndarray]] = (
    dataclasses.field(default_factory=dict)
  )

  def name_of(self, path: str) -> str:
    """Their name of our parameter or statistic, such as 'Conv_0/kernel'."""
    if path in self.leaves:
      return self.leaves[path]
    module, _, leaf = path.rpartition('/')
    return f'{self.modules[module]}{_LEAVES[leaf]}'


def as_ours(path: str, tensor: np.ndarray) -> np.ndarray:
  """A tensor of PyTorch in the layout of flax, float32.

  Args:
    path: our name; only kernels are laid out differently.
    tensor: [out, in, height, width] or [out, in] for a kernel.
  """
  tensor = tensor.astype(np.float32)
  if not path.endswith('kernel'):
    return tensor
  return np.ascontiguousarray(
    tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
  )
