"""All formats by name, and how one is written: whole or not at all."""

import dataclasses
import difflib
import os
from collections.abc import Callable
from pathlib import Path

from absl import logging

from datadiet.errors import ConfigError
from datadiet.exporting.files import (
  write_file_list,
  write_image_folder,
  write_linked_folder,
)
from datadiet.exporting.hugging_face import write_hugging_face
from datadiet.exporting.kept import Kept, open_kept
from datadiet.exporting.table import write_parquet
from datadiet.exporting.tensorboard import write_tensorboard
from datadiet.exporting.tfds_filter import write_tfds
from datadiet.exporting.torch_subset import write_indices, write_torch
from datadiet.workdir.atomic import atomic_path


@dataclasses.dataclass(frozen=True)
class Format:
  """One way to write a selection.

  Attributes:
    write: (kept, path to write to, its name when it is complete) -> what to do
      with it where that depends on what was written, or None.
    summary: what comes out, in a line.
    use: what to do with it otherwise, with {output} for the path.
  """

  write: Callable[[Kept, Path, Path], str | None]
  summary: str
  use: str = ''


EXPORTS: dict[str, Format] = {
  'indices': Format(
    write_indices,
    "a .npy file of indices, in torchvision's order for CIFAR",
    'np.load({output!r})',
  ),
  'torch': Format(
    write_torch,
    'a folder with indices and the code of a torch.utils.data.Subset',
    'see {output}/subset.py',
  ),
  'tfds': Format(
    write_tfds,
    'a folder with ids and the code of a TensorFlow Datasets filter',
    'see {output}/filter.py',
  ),
  'file_list': Format(
    write_file_list,
    'a text file with the path of each image, one a line',
    'rsync --files-from={output} DATA_DIR TARGET',
  ),
  'image_folder': Format(
    write_image_folder,
    'a folder of image files, one folder a class',
  ),
  'linked_folder': Format(
    write_linked_folder,
    'the same with links to the originals',
  ),
  'hugging_face': Format(
    write_hugging_face,
    'a folder of the library datasets',
    "datasets.load_from_disk({output!r}).push_to_hub('YOU/NAME')",
  ),
  'parquet': Format(
    write_parquet,
    'a table of all examples with all scores, and whether they are kept',
    'pandas.read_parquet({output!r})',
  ),
  'tensorboard': Format(
    write_tensorboard,
    'event files with the first kept images of each class',
    'tensorboard --logdir {output}',
  ),
}


def export_selection(
  workdir: str | os.PathLike,
  selection: str,
  format_name: str,
  output: str | os.PathLike,
  *,
  run: int = 0,
  step: int | None = None,
) -> Path:
  """Writes a selection in a format that other tools read.

  Args:
    workdir: where the selection is; may be remote.
    selection: its name, as the folders of selections/ have it.
    format_name: a key of `EXPORTS`.
    output: the local file or folder to make; must not exist yet.
    run: which draw, where each retraining has one of its own.
    step: the scored step that a table is of; None for the last.

  Returns:
    The output, absolute. It is there only when it is complete.

  Raises:
    ConfigError: for an unknown format, or an output that exists or is remote.
    DataDietError: if there is no such selection, the format does not fit the
      data, a library is missing, or the output cannot be written.
  """
  if format_name not in EXPORTS:
    close = difflib.get_close_matches(format_name, EXPORTS, 1, 0.5)
    hint = f'; did you mean {close[0]}?' if close else ''
    raise ConfigError(
      f'--format: {format_name!r} is not allowed; allowed: '
      f'{", ".join(EXPORTS)}{hint}'
    )
  final = _check_output(output)
  kept = open_kept(workdir, selection, run=run, step=step)
  with atomic_path(final) as temporary:
    use = EXPORTS[format_name].write(kept, Path(temporary), final)
    _check_output(final)  # Somebody may have made it meanwhile.
  if use is None:
    use = EXPORTS[format_name].use.format(output=os.fspath(final))
  logging.info('%d examples in %s', len(kept.example_index), final)
  logging.info('To use it: %s', use)
  return final


def _check_output(output: str | os.PathLike) -> Path:
  text = os.fspath(output)
  if not text or '://' in text:
    raise ConfigError(
      f'--output: {text!r} is not allowed; allowed: a local path'
    )
  final = Path(text).expanduser().absolute()
  if os.path.lexists(final):
    raise ConfigError(
      f'--output: {final} exists; allowed: a path that does not exist yet'
    )
  return final
