"""All formats by name, and how one is written: whole or not at all."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from absl import logging

from datadiet.errors import ConfigError, counted
from datadiet.exporting import lists
from datadiet.exporting.coco import write_coco
from datadiet.exporting.datalab import write_datalab
from datadiet.exporting.fiftyone import write_fiftyone
from datadiet.exporting.files import write_image_folder
from datadiet.exporting.hugging_face import write_hugging_face
from datadiet.exporting.subset import open_subset
from datadiet.exporting.table import write_parquet
from datadiet.exporting.tensorboard import write_tensorboard
from datadiet.exporting.tfds_filter import write_tfds
from datadiet.exporting.torch_subset import write_torch
from datadiet.settings import closest
from datadiet.workdir.atomic import atomic_path
from datadiet.workdir.tables import TEST_IDS


@dataclasses.dataclass(frozen=True)
class Format:
  """One way to write a selection.

  Attributes:
    write: (subset, path to write to, its name when it is complete) -> what to
      do with it where that depends on what was written, or None. Every folder
      gets test_ids.txt, too.
    summary: what comes out, in a line.
    use: what to do with it otherwise, with {output} for the path.
    links: whether `write` takes link, for links to the originals.
  """

  write: Callable[..., str | None]
  summary: str
  use: str = ''
  links: bool = False


EXPORTS: dict[str, Format] = {
  'lists': Format(
    lists.write_lists,
    'a folder with the ids (paths, for images in files), labels and indices',
    'rsync --files-from={output}/ids.txt DATA_DIR TARGET, or '
    "np.load('{output}/indices.npy')",
  ),
  'torch': Format(
    write_torch,
    'the same and the code of a torch.utils.data.Dataset',
    'see {output}/subset.py',
  ),
  'tfds': Format(
    write_tfds,
    'the same and the code of a TensorFlow Datasets filter',
    'see {output}/filter.py',
  ),
  'image_folder': Format(
    write_image_folder,
    'a folder of image files, one folder a class; --link for links to the '
    'originals',
    links=True,
  ),
  'coco': Format(
    write_coco,
    'images, and COCO-style JSON with a category, scores and suspicions of '
    'each; --link likewise',
    "pycocotools.coco.COCO('{output}/annotations.json')",
    links=True,
  ),
  'fiftyone': Format(
    write_fiftyone,
    'the same for FiftyOne; --link likewise',
    'fiftyone.Dataset.from_dir({output!r}, '
    'fiftyone.types.FiftyOneImageClassificationDataset)',
    links=True,
  ),
  'datalab': Format(
    write_datalab,
    "the lists, what cleanlab's Datalab takes, and the code that opens it",
    'see {output}/datalab.py',
  ),
  'hugging_face': Format(
    write_hugging_face,
    'a folder of the library datasets',
    'datasets.load_from_disk({output!r})',
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
  link: bool = False,
) -> Path:
  """Writes a selection in a format that other tools read.

  Args:
    workdir: where the selection is; may be remote.
    selection: its name, as the folders of selections/ have it, or 'all'.
    format_name: a key of `EXPORTS`.
    output: the local file or folder to make; must not exist yet.
    run: which draw, where each retraining has one of its own.
    step: the scored step that a table is of; None for the last.
    link: to make links to the originals, where the format `links`.

  Returns:
    The absolute path of the output, which exists only when it is complete.

  Raises:
    ConfigError: for an unknown format, or an output that exists or is remote.
    DataDietError: if there is no such selection, the format does not fit the
      data, a library is missing, or the output cannot be written.
  """
  _check_format(format_name, link)
  final = _check_output(output)
  subset = open_subset(workdir, selection, run=run, step=step)
  with atomic_path(final) as temporary:
    temporary = Path(temporary)
    options = {'link': True} if link else {}
    use = EXPORTS[format_name].write(subset, temporary, final, **options)
    if temporary.is_dir():
      lists.write_ids(temporary / TEST_IDS, subset.test_ids)
    _check_output(final)  # Somebody may have made it meanwhile.
  if use is None:
    use = EXPORTS[format_name].use.format(output=os.fspath(final))
  num_kept = len(subset.example_index)
  logging.info('%s in %s', counted(num_kept, 'example'), final)
  logging.info('To use it: %s', use)
  return final


def _check_format(name: str, link: bool) -> None:
  if name not in EXPORTS:
    raise ConfigError(
      f'--format: {name!r} is not allowed; allowed: {", ".join(EXPORTS)}'
      f'{closest(name, EXPORTS)}'
    )
  if link and not EXPORTS[name].links:
    taking = ', '.join(key for key, form in EXPORTS.items() if form.links)
    raise ConfigError(f'--link is for --format={taking}; not for {name}')


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
