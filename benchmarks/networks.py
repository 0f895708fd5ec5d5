"""Train steps, EL2N and GraNd of ResNet-18, beside PyTorch and other ways."""

import functools
import time
import warnings
from argparse import Namespace
from collections.abc import Callable

from benchmarks import timing
from benchmarks.subject import JACREV_BATCH, Subject
from datadiet.runtime import compilation
from datadiet.runtime.platform import platform_of

# name: what is compiled, of Subject
_OURS = {
  'datadiet train step': 'train_step',
  'bare forward pass': 'forward',
  'datadiet el2n': 'el2n',
  'datadiet all forward scores': 'all_forward',
  'datadiet grand': 'grand',
  'chunked vmap(grad)': 'vmap_grad',
  'jacrev of the losses (the predecessor)': 'jacrev',
}
_AGAINST = {
  'PyTorch train step, eager': 'datadiet train step',
  'PyTorch train step, channels_last': 'datadiet train step',
  'PyTorch train step, channels_last, compiled': 'datadiet train step',
  'datadiet el2n': 'bare forward pass',
  'datadiet all forward scores': 'bare forward pass',
  'PyTorch el2n, channels_last': 'datadiet el2n',
  'PyTorch el2n, channels_last, compiled': 'datadiet el2n',
  'datadiet grand': 'datadiet train step',
  'chunked vmap(grad)': 'datadiet grand',
  'jacrev of the losses (the predecessor)': 'datadiet grand',
  'torch.func per-example gradients': 'datadiet grand',
  'Opacus per-example gradients': 'datadiet grand',
}
_TARGETS = {
  'datadiet el2n': 'at least 0.97',
  'datadiet all forward scores': 'at least 0.97',
  'datadiet grand': 'at least 0.9 on CPU, 1.2 on a GPU',
  'chunked vmap(grad)': 'at most 0.40',
  'jacrev of the losses (the predecessor)': 'at most 0.10',
}


def _call(function: Callable[[], None], num_images: int) -> Callable:
  def call() -> float:
    start = time.perf_counter()
    function()
    return num_images / (time.perf_counter() - start)

  return call


def _our_contenders(width, dtype, batch_size, chunk) -> dict[str, Callable]:
  subject = functools.cache(lambda: Subject('resnet18_lowres', width, dtype))
  sizes = {'vmap_grad': chunk, 'jacrev': min(chunk, JACREV_BATCH)}

  def build(function):
    size = sizes.get(function, batch_size)
    return subject().compile(function, size, compilation.compiler_options())

  return {
    name: timing.built_late(functools.partial(build, function))
    for name, function in _OURS.items()
  }


def _torch_contenders(width, dtype, batch_size, chunk) -> dict[str, Callable]:
  @functools.cache
  def subject():
    # Late: without PyTorch its rows say so.
    from benchmarks.torch_network import TorchSubject

    return TorchSubject(width, dtype, batch_size, chunk)

  builders = {
    'PyTorch train step, eager': lambda: subject().train_step(),
    'PyTorch train step, channels_last': lambda: subject().train_step(True),
    'PyTorch train step, channels_last, compiled': (
      lambda: subject().train_step(True, True)
    ),
    'PyTorch el2n, channels_last': lambda: subject().el2n(),
    'PyTorch el2n, channels_last, compiled': lambda: subject().el2n(True),
    'torch.func per-example gradients': lambda: subject().func_grand(),
    'Opacus per-example gradients': lambda: subject().opacus_grand(),
  }

  def build(name):
    size = chunk if 'per-example' in name else batch_size
    return _call(builders[name](), size)

  return {
    name: timing.built_late(functools.partial(build, name)) for name in builders
  }


def rows(options: Namespace) -> list[timing.Row]:
  """Images per second, in turns, for each dtype that the machine computes in.

  bfloat16 is only timed on accelerators unless asked for; CPUs convert it.
  """
  # Opacus registers hooks on inputs without gradients, and says so each time.
  warnings.filterwarnings('ignore', 'Full backward hook')
  on_cpu = platform_of() == 'cpu'
  width = 16 if options.quick else 64
  if on_cpu:
    batch_size, chunk = (32, 8) if options.quick else (64, 16)
  else:
    batch_size, chunk = 512, 64
  found = []
  usual = ('float32',) if on_cpu else ('float32', 'bfloat16')
  dtypes = options.dtypes or usual
  for dtype in dtypes:
    contenders = _our_contenders(width, dtype, batch_size, chunk)
    contenders |= _torch_contenders(width, dtype, batch_size, chunk)
    measured = timing.take_turns(
      contenders, options.repeats, options.seconds / len(dtypes)
    )
    part = f'ResNet-18, width {width}, batch {batch_size}, {dtype}'
    found += timing.rows_of(part, measured, 'images/s', _AGAINST, _TARGETS)
  return found
