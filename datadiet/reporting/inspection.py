"""The sections on what the inspection found: copies, and images."""

import base64
import urllib.parse
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from datadiet.data.dataset import Dataset
from datadiet.reporting.faults import fault
from datadiet.reporting.figures import encode_png, to_rgb
from datadiet.reporting.material import Material, Values
from datadiet.results.inspection import DUPLICATE

_MAX_PAIRS, _MAX_GROUPS = 48, 12
# Images of a group that are shown.
_PER_GROUP = 6


def duplicates_context(material: Material) -> Values:
  """Numbers of copies, and pairs: leaks, different labels, then the nearest."""
  inspection, dataset = material.inspection, material.dataset
  context: Values = {'duplicate_counts': [], 'pairs': [], 'num_pairs': 0}
  if inspection is None:
    return context
  pairs = inspection.pairs
  is_exact, in_train = pairs['exact'] == 1, pairs['split_b'] == 'train'
  conflicting = pairs['label_a'] != pairs['label_b']
  context['duplicate_counts'] = [
    (name, int(chosen.sum()))
    for name, chosen in {
      'exact, train and test': is_exact & ~in_train,
      'near, train and test': ~is_exact & ~in_train,
      'exact, in train': is_exact & in_train,
      'near, in train': ~is_exact & in_train,
      'with different labels': conflicting,
    }.items()
  ]
  context['num_pairs'] = len(pairs)
  if dataset is None:
    return context
  order = np.lexsort((np.arange(len(pairs)), ~conflicting, in_train))
  context['pairs'] = [
    {
      'exact': bool(row.exact),
      'distance': row.distance,
      'conflicting': row.label_a != row.label_b,
      'ends': [
        _end(dataset, material.originals, row.split_a, row.index_a),
        _end(dataset, material.originals, row.split_b, row.index_b),
      ],
    }
    for row in pairs.iloc[order].head(_MAX_PAIRS).itertuples()
  ]
  return context


def _end(
  dataset: Dataset, originals: str, split: str, index: int
) -> dict[str, Any]:
  examples = dataset.train if split == 'train' else dataset.test
  picture = Image.fromarray(to_rgb(np.asarray(examples.images[index])))
  picture.thumbnail((64, 64), Image.Resampling.BOX)
  content = base64.b64encode(encode_png(picture)).decode()
  return {
    'split': split,
    'index': int(index),
    'original': original(originals, str(examples.ids[index])),
    'class_name': dataset.class_names[examples.labels[index]],
    'source': f'data:image/png;base64,{content}',
  }


def original(originals: str, name: str) -> str:
  """The URI of an example's own file; '' where it has none."""
  return originals + urllib.parse.quote(name) if originals else ''


def images_context(material: Material) -> Values:
  """Flags and their numbers, groups, shortcuts and drift."""
  inspection = material.inspection
  if inspection is None:
    return {'flags': []}
  flags = inspection.flags
  groups = inspection.bad_groups
  return {
    'flags': [
      (name, fault(name).text, int(one.sum()))
      for name, one in flags.items()
      if name != DUPLICATE
    ],
    'groups': [_group(row) for row in groups.head(_MAX_GROUPS).itertuples()],
    'num_groups': len(groups),
    'found_shortcuts': inspection.manifest['shortcuts'],
    'best_property': _best(inspection.shortcuts),
    'drift': inspection.manifest['drift'],
    'compared_by': inspection.manifest['embeddings'],
    'sizes_known': inspection.manifest['sizes_of'] is not None,
  }


def _group(row: Any) -> dict[str, Any]:
  return {
    'num_examples': row.num_examples,
    'accuracy': row.accuracy,
    'class_name': row.class_name,
    'class_share': row.class_share,
    'examples': [int(one) for one in row.examples.split(';')][:_PER_GROUP],
  }


def _best(shortcuts: pd.DataFrame) -> tuple[str, float] | None:
  if not len(shortcuts):
    return None
  row = shortcuts.iloc[0]
  return str(row['property']), float(row['predicts'])
