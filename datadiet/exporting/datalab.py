"""For cleanlab's Datalab: labels, predictions, and the code that opens them."""

import os
from pathlib import Path

import numpy as np

from datadiet.errors import DataDietError, counted
from datadiet.exporting import lists
from datadiet.exporting.subset import Subset
from datadiet.workdir import artifacts, tables, top_probs

_CODE = """\
import cleanlab
import numpy as np

folder = {folder!r}
labels = np.load(f'{{folder}}/labels.npy')
lab = cleanlab.Datalab({{'label': labels}}, label_name='label')
lab.find_issues(
{given}
)
# The examples in the order of ids.txt and indices.npy.
issues = lab.get_issues()
"""
# What predictions may take that are made whole from the most probable ones.
_MAX_BYTES = 2**31
_GIVEN = "  {name}=np.load(f'{{folder}}/{name}.npy'),"


def write_datalab(subset: Subset, folder: Path, final: Path) -> None:
  """Writes the lists of `write_lists`, what Datalab takes, and code for it.

  pred_probs.npy: float32[num_kept, num_present], by networks that did not train
  on the example, of the classes that are present among the kept examples, since
  Datalab knows no others. features.npy: float32[num_kept, d], the embeddings of
  the inspection. Whichever there is.

  Args:
    subset: the examples.
    folder: to write to; datalab.py beside the lists.
    final: the folder's name when it is complete.

  Raises:
    DataDietError: if the workdir has neither, or predictions would take too
      much memory.
  """
  results, kept = subset.results, subset.example_index
  workdir, num_examples = results.workdir, results.num_examples
  arrays, path = {}, workdir.inspection / tables.EMBEDDINGS
  if path.exists():
    arrays['features'] = artifacts.read_npy(path, num_examples)[kept]
  for step in results.steps[-1:] if subset.step is None else [subset.step]:
    if top_probs.are_in(workdir.scores(None, step)):
      arrays['pred_probs'] = _pred_probs(subset, step)
  if not arrays:
    raise DataDietError(
      f'{workdir.root} has neither predictions by networks that did not train '
      'on the example nor embeddings; train by folds (config.train.folds), or '
      'run the stage inspect'
    )
  lists.write_lists(subset, folder, final)
  for name, array in arrays.items():
    np.save(folder / f'{name}.npy', array)
  given = '\n'.join(_GIVEN.format(name=name) for name in arrays)
  code = _CODE.format(folder=os.fspath(final), given=given)
  (folder / 'datalab.py').write_text(code)


def _pred_probs(subset: Subset, step: int) -> np.ndarray:
  """float32[num_kept, num_present], as `write_datalab` writes them."""
  results, kept = subset.results, subset.example_index
  num_classes = subset.dataset.num_classes
  folder = results.workdir.scores(None, step)
  manifest = artifacts.read_manifest(folder)
  probs = top_probs.read(folder, results.num_examples, num_classes, manifest)
  num_bytes = 4 * len(kept) * num_classes
  if isinstance(probs, top_probs.TopProbs) and num_bytes > _MAX_BYTES:
    raise DataDietError(
      f'Datalab takes predictions of all classes, {num_bytes / 1e9:.2g} GB for '
      f'{counted(len(kept), "example")} of {num_classes} classes; allowed: up '
      f'to {_MAX_BYTES / 1e9:.2g} GB, so export a smaller selection'
    )
  present = np.unique(subset.dataset.train.labels[kept])
  # Of an example whose most probable classes are all absent nothing is known.
  rows = np.maximum(probs[kept][:, present], np.finfo(np.float32).tiny)
  return rows / rows.sum(1, keepdims=True)
