"""Train steps, EL2N and GraNd of ResNet-18, beside PyTorch and other ways."""

import time
import warnings
from argparse import Namespace
from collections.abc import Callable

import jax

from benchmarks import timing
from benchmarks.grand import Subject, Timed
from datadiet import compilation

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
_ASKED = {
  'datadiet el2n': 'at least 0.97',
  'datadiet all forward scores': 'at least 0.97',
  'datadiet grand': 'at least 0.9 on CPU, 1.2 on a GPU',
  'chunked vmap(grad)': 'at most 0.40',
  'jacrev of the losses (the predecessor)': 'at most 0.10',
}


def _call_ours(timed: Timed) -> Callable[[], float]:
  def call() -> float:
    timed.run()
    return timed.batch_size / timed.seconds[-1]

  return call


def _call(function: Callable[[], None], num_images: int) -> Callable:
  def call() -> float:
    start = time.perf_counter()
    function()
    return num_images / (time.perf_counter() - start)

  return call


def _torch_contenders(width, dtype, batch_size, chunk) -> dict[str, Callable]:
  try:
    from benchmarks.torch_network import TorchSubject
  except ImportError as error:
    print(f'PyTorch is left out: {error}')
    return {}
  subject = TorchSubject(width, dtype, batch_size, chunk)
  contenders = {
    'PyTorch train step, eager': subject.train_step(),
    'PyTorch train step, channels_last': subject.train_step(True),
    'PyTorch train step, channels_last, compiled': subject.train_step(
      True, True
    ),
    'PyTorch el2n, channels_last': subject.el2n(),
    'PyTorch el2n, channels_last, compiled': subject.el2n(True),
    'torch.func per-example gradients': subject.func_grand(),
  }
  try:
    contenders['Opacus per-example gradients'] = subject.opacus_grand()
  except ImportError as error:
    print(f'Opacus is left out: {error}')
  return {
    name: _call(function, chunk if 'per-example' in name else batch_size)
    for name, function in contenders.items()
  }


def rows(options: Namespace) -> list[timing.Row]:
  """Images per second, in turns, for each dtype that the machine computes in.

  bfloat16 is only timed on accelerators; CPUs convert it.
  """
  # Opacus registers hooks on inputs without gradients, and says so each time.
  warnings.filterwarnings('ignore', 'Full backward hook')
  on_cpu = jax.default_backend() == 'cpu'
  width = 16 if options.quick else 64
  if on_cpu:
    batch_size, chunk = (32, 8) if options.quick else (64, 16)
  else:
    batch_size, chunk = 512, 64
  found = []
  for dtype in ('float32',) if on_cpu else ('float32', 'bfloat16'):
    subject = Subject('resnet18_lowres', width, dtype)
    compiler_options = compilation.compiler_options()
    contenders = {
      name: _call_ours(
        subject.compile(
          function,
          chunk if function in ('vmap_grad', 'jacrev') else batch_size,
          compiler_options,
        )
      )
      for name, function in _OURS.items()
    }
    contenders |= _torch_contenders(width, dtype, batch_size, chunk)
    measured = timing.take_turns(contenders, options.repeats)
    part = f'ResNet-18, width {width}, batch {batch_size}, {dtype}'
    found += timing.rows_of(part, measured, 'images/s', _AGAINST, _ASKED)
  return found
