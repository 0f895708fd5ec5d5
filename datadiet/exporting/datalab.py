"""For cleanlab's Datalab: labels, predictions, and the code that opens them."""

import os
from pathlib import Path

import numpy as np

from datadiet.errors import DataDietError
from datadiet.exporting import lists
from datadiet.exporting.subset import Subset
from datadiet.workdir import artifacts, tables

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
    DataDietError: if the workdir has neither.
  """
  results, kept = subset.results, subset.example_index
  workdir, num_examples = results.workdir, results.num_examples
  sources = {'features': workdir.inspection / tables.EMBEDDINGS}
  for step in results.steps[-1:] if subset.step is None else [subset.step]:
    sources['pred_probs'] = workdir.scores(None, step) / 'pred_probs.npy'
  arrays = {
    name: artifacts.read_npy(path, num_examples)[kept]
    for name, path in sources.items()
    if path.exists()
  }
  if not arrays:
    raise DataDietError(
      f'{workdir.root} has neither predictions by networks that did not train '
      'on the example nor embeddings; train by folds (config.train.folds), or '
      'run the stage inspect'
    )
  if 'pred_probs' in arrays:
    present = np.unique(subset.dataset.train.labels[kept])
    probs = arrays['pred_probs'][:, present]
    arrays['pred_probs'] = probs / probs.sum(1, keepdims=True)
  lists.write_lists(subset, folder, final)
  for name, array in arrays.items():
    np.save(folder / f'{name}.npy', array)
  given = '\n'.join(_GIVEN.format(name=name) for name in arrays)
  code = _CODE.format(folder=os.fspath(final), given=given)
  (folder / 'datalab.py').write_text(code)
