"""How functions are compiled: `jit` with the platform's options; the cache."""

import functools
import os
from collections.abc import Callable

import jax
from absl import logging

from datadiet.runtime.platform import platform_of

DEFAULT_COMPILATION_CACHE = '~/.cache/datadiet/xla'

# jaxlib 0.10 hands CPU convolutions to YNNPACK, where their gradients are
# slow; keeping it for reductions only makes a ResNet-18 train step about twice
# as fast. The option is experimental: a jaxlib that does not know it refuses
# it, and then it is left out.
_CPU_OPTIONS = {
  'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_REDUCE'
}
# For functions that run once: drawing a network's parameters takes 9 to 14 s to
# compile at the full level and 1 to 2 s at this one, with the same numbers.
_CPU_RUN_ONCE_OPTIONS = {'xla_backend_optimization_level': 1}


def compiler_options(
  run_once: bool = False, *, platform: str | None = None
) -> dict[str, str | int]:
  """Compiler options for a platform; each is tried once and dropped if refused.

  Args:
    run_once: whether compiling fast matters more than running fast.
    platform: of `platform_of`; None for that of this process.
  """
  if (platform or platform_of()) != 'cpu':
    return {}
  return _cpu_options(run_once)


@functools.cache
def _cpu_options(run_once: bool) -> dict[str, str | int]:
  options: dict[str, str | int] = {
    **(_CPU_RUN_ONCE_OPTIONS if run_once else _CPU_OPTIONS)
  }
  try:
    probe = jax.jit(lambda value: value + 1, compiler_options=options)
    with jax.default_device(jax.devices('cpu')[0]):
      probe.lower(0).compile()
  except Exception as error:  # jaxlib has no specific exception for this.
    logging.info('This jaxlib knows no %s: %s', list(options), error)
    return {}
  return options


def jit(
  function: Callable,
  *,
  run_once: bool = False,
  platform: str | None = None,
  **options,
) -> jax.stages.Wrapped:
  """`jax.jit` with the compiler options of a platform.

  Args:
    function: what to compile.
    run_once: whether it runs so rarely that compiling fast matters more.
    platform: what it is to run on, of `platform_of`; None for this process's.
    **options: of `jax.jit`.
  """
  found = compiler_options(run_once, platform=platform)
  return jax.jit(function, compiler_options=found, **options)


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
