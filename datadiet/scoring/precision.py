"""What checkpoint scores compute in: the choices of `config.score.dtype`."""

import dataclasses

AUTO = 'auto'


@dataclasses.dataclass(frozen=True)
class Precision:
  """The types of a scoring pass.

  Attributes:
    dtype: of activations.
    products: of products, for `jax.default_matmul_precision`. Left alone, GPUs
      round those of float32 to TF32 and TPUs to bfloat16.
  """

  dtype: str
  products: str


PRECISIONS = {
  'float32': Precision('float32', 'highest'),
  # On TPUs, whose units multiply bfloat16, a number is split into two of these
  # and the product into three, of which float32 takes six. GPUs have no such
  # product and round as for tensorfloat32.
  'bfloat16_3x': Precision('float32', 'high'),
  'tensorfloat32': Precision('float32', 'tensorfloat32'),
  'bfloat16': Precision('bfloat16', 'bfloat16'),
}

# Of other platforms: float32.
_USUAL = {'tpu': 'bfloat16_3x'}


def usual_precision(platform: str) -> str:
  """What 'auto' stands for: the fastest that keeps scores and their order.

  Args:
    platform: of `platform_of`.

  Returns:
    A key of `PRECISIONS`.
  """
  return _USUAL.get(platform, 'float32')
