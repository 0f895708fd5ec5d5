"""Lets each process write arrays of its own with Orbax.

Orbax takes host arrays to be the same everywhere and has process 0 write them.
Here each process saves other runs, so each has to write.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint._src.serialization import tensorstore_utils


class OwnNumpyHandler(ocp.type_handlers.NumpyHandler):
  """Orbax's handler of host arrays, for arrays that one process holds."""

  async def _background_serialize(
    self,
    values: Sequence[np.ndarray],
    infos: Sequence[Any],
    args: Sequence[ocp.SaveArgs] | None = None,
  ) -> None:
    writes = []
    for value, info, arg in zip(values, infos, args, strict=True):
      await info.await_path_creation()
      spec = tensorstore_utils.build_array_write_spec(
        info=info,
        arg=arg,
        global_shape=value.shape,
        local_shape=value.shape,
        dtype=value.dtype,
        use_ocdbt=info.is_ocdbt_checkpoint,
        process_index=jax.process_index(),
        metadata_key=self._metadata_key,
      )
      writes.append(self._open_and_write(value, spec.json, info.ts_context))
    # All, also where one fails: what is still written would miss its loop.
    for done in await asyncio.gather(*writes, return_exceptions=True):
      if isinstance(done, BaseException):
        raise done


def arrays_handler(
  options: ocp.options.MultiprocessingOptions,
) -> ocp.PyTreeCheckpointHandler:
  """A handler of trees of host arrays that this process writes."""
  return ocp.PyTreeCheckpointHandler(
    multiprocessing_options=options,
    type_handler_registry=ocp.type_handlers.create_type_handler_registry(
      (np.ndarray, OwnNumpyHandler()),
      # Not used; Orbax warns of every registry without one.
      (jax.Array, ocp.type_handlers.ArrayHandler()),
    ),
  )
