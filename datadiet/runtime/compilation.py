"""How functions are compiled: `jit` with the backend's options; the cache."""

import functools
import os
from collections.abc import Callable

import jax
from absl import logging

DEFAULT_COMPILATION_CACHE = '~/.cache/datadiet/xla'

# jaxlib 0.10 hands CPU convolutions to YNNPACK, where their gradients are
# slow; keeping it for reductions only makes a ResNet-18 train step about twice
# as fast. The option is experimental: a jaxlib that does not know it refuses
# it, and then it is left out.
_CPU_OPTIONS = {
  'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_REDUCE'
}
# For what runs once: drawing a network's parameters takes 9 to 14 s to compile
# at the full level and 1 to 2 s at this one, with the same numbers.
_CPU_RUN_ONCE_OPTIONS = {'xla_backend_optimization_level': 1}


@functools.cache
def compiler_options(run_once: bool = False) -> dict[str, str | int]:
  """Compiler options for the default backend, tried once."""
  if jax.default_backend() != 'cpu':
    return {}
  options: dict[str, str | int] = {
    **(_CPU_RUN_ONCE_OPTIONS if run_once else _CPU_OPTIONS)
  }
  try:
    probe = jax.jit(lambda value: value + 1, compiler_options=options)
    probe.lower(0).compile()
  except Exception as error:  # jaxlib has no exception of its own for this.
    logging.info('This jaxlib knows no %s: %s', list(options), error)
    return {}
  return options


def jit(function: Callable, *, run_once: bool = False, **options) -> Callable:
  """`jax.jit` with the compiler options of the default backend.

  Args:
    function: what to compile.
    run_once: whether it runs so rarely that compiling fast matters more.
    **options: of `jax.jit`.
  """
  return jax.jit(
    function, compiler_options=compiler_options(run_once), **options
  )


def enable_compilation_cache(folder: str = '') -> None:
  """Turns on JAX's persistent compilation cache.

  Args:
    folder: '' for the default, 'none' to leave it off.
  """
  if folder == 'none':
    return
  folder = os.path.expanduser(folder or DEFAULT_COMPILATION_CACHE)
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
