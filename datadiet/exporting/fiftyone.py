"""For FiftyOne: images, and their labels with what was found out."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from datadiet.exporting.files import write_numbered
from datadiet.exporting.findings import attributes
from datadiet.exporting.subset import Subset

# Fields that FiftyOne's labels have already.
_TAKEN = ('confidence', 'id', 'label', 'logits', 'tags')


def write_fiftyone(
  subset: Subset, folder: Path, final: Path, *, link: bool = False
) -> None:
  """Writes data/ and labels.json, a FiftyOneImageClassificationDataset.

  Images are named by example_index; `confidence` is the probability that the
  label is right, where there is one; `attributes` has what was found out, by
  the names of the table of scores; its id is datadiet_id, and so are others
  named that FiftyOne has a meaning of its own for.

  Raises:
    DataDietError: if nothing was scored, or there are no files to link to.
  """
  del final
  found = attributes(subset)
  folder.mkdir()
  paths = write_numbered(subset, folder / 'data', link)
  labels = subset.dataset.train.labels[subset.example_index]
  entries = {}
  for path, label, facts in zip(paths, labels.tolist(), found, strict=True):
    renamed = {
      f'datadiet_{name}' if name in _TAKEN else name: value
      for name, value in facts.items()
    }
    entry: dict[str, Any] = {'label': label, 'attributes': renamed}
    if 'probability' in facts:
      entry['confidence'] = 1 - facts['probability']
    entries[path.stem] = entry
  content = {'classes': list(subset.dataset.class_names), 'labels': entries}
  (folder / 'labels.json').write_text(
    json.dumps(content, default=np.generic.item)
  )
