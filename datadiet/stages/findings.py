"""What the inspection finds, as tables below inspection/."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import stats

from datadiet.data import Split
from datadiet.inspection import duplicates, groups, outliers, quality
from datadiet.inspection import shortcuts as shortcuts_lib
from datadiet.inspection.pixels import PixelFacts, read_facts, squeezed
from datadiet.stages import pred_probs
from datadiet.stages.context import Context
from datadiet.stages.label_evidence import all_runs_have, scored_step
from datadiet.workdir import artifacts, storage, tables

# Pixels a side of the grey copies by which splits are told apart.
_DRIFT_EDGE = 8


@dataclasses.dataclass(frozen=True)
class Material:
  """What findings are made from.

  Attributes:
    context: of the workdir.
    train: of the pixels of the train split.
    test: of those of the test split.
    embeddings: float32[N, d]; None for none.
    test_embeddings: float32[M, d]; None for none.
    agreement: float32[N], the share of neighbours with the label; or None.
    sizes: int[N, 2] of the files of the train split; None where not known.
  """

  context: Context
  train: PixelFacts
  test: PixelFacts
  embeddings: np.ndarray | None
  test_embeddings: np.ndarray | None
  agreement: np.ndarray | None
  sizes: np.ndarray | None


def write_findings(
  context: Context,
  embeddings: np.ndarray | None,
  test_embeddings: np.ndarray | None,
  neighbours: np.ndarray | None,
) -> Iterator[tuple[str, Any]]:
  """Writes all tables, one after the other.

  Args:
    context: of the workdir.
    embeddings: float32[N, d]; None to go by pixels alone.
    test_embeddings: float32[M, d]; likewise.
    neighbours: int[N, k] of each train example; likewise.

  Yields:
    After each, what the manifest says of it: a name, and thresholds, numbers
    or drift.
  """
  split = context.dataset.train
  material = Material(
    context,
    read_facts(split.images),
    read_facts(context.dataset.test.images),
    embeddings,
    test_embeddings,
    None
    if neighbours is None
    else outliers.class_agreement(neighbours, split.labels),
    _sizes(context, split),
  )
  yield 'sizes_of', 'files' if material.sizes is not None else None
  yield 'duplicates', _write_duplicates(material)
  yield 'flags', _write_examples(material)
  yield 'bad_groups', _write_groups(material)
  yield 'shortcuts', _write_shortcuts(material)
  yield 'drift', _drift(material)


def _sizes(context: Context, split: Split) -> np.ndarray | None:
  """Width and height of the files of an image folder, int[N, 2].

  None for other sources: what they read is decoded, and its size not kept.
  """
  settings = context.config.dataset
  if settings.name != 'image_folder' or storage.is_remote(settings.data_dir):
    return None
  folder = Path(settings.data_dir).expanduser()
  sizes = []
  for name in split.ids:
    path = folder / str(name)
    if not path.is_file():
      return None
    with Image.open(path) as image:
      sizes.append(image.size)
  return np.array(sizes)


def _write_duplicates(material: Material) -> dict[str, Any]:
  dataset = material.context.dataset
  num_train = dataset.train.num_examples
  facts = _joined(material.train, material.test)
  embeddings = material.embeddings
  if embeddings is not None and material.test_embeddings is not None:
    embeddings = np.concatenate([embeddings, material.test_embeddings])
  pairs = duplicates.find_pairs(facts, num_train, embeddings)
  group = duplicates.groups_of(pairs.first, pairs.second)
  splits = (dataset.train, dataset.test)
  ids, labels = (
    np.concatenate([getattr(split, name) for split in splits])
    for name in ('ids', 'labels')
  )

  def end(position: int) -> tuple:
    in_train = position < num_train
    index = position if in_train else position - num_train
    name = 'train' if in_train else 'test'
    return name, index, ids[position], labels[position]

  rows = zip(*dataclasses.astuple(pairs)[:4], group, strict=True)
  artifacts.write_csv(
    material.context.workdir.inspection / tables.NEAR_DUPLICATES,
    tables.NEAR_DUPLICATES_COLUMNS,
    [
      (*end(a), *end(b), f'{far:.6g}', int(by == duplicates.EXACT), by, one)
      for a, b, far, by, one in rows
    ],
  )
  members, first = np.unique(
    np.concatenate([pairs.first, pairs.second]), return_index=True
  )
  of_group = np.concatenate([group, group])[first]
  keep = duplicates.best_copies(
    members,
    of_group,
    num_train,
    facts.properties['sharpness'],
    material.agreement,
    _areas(material.sizes, len(ids)),
    material.context.is_used,
  )
  artifacts.write_csv(
    material.context.workdir.inspection / tables.DUPLICATE_GROUPS,
    tables.DUPLICATE_GROUPS_COLUMNS,
    [
      (end(one)[1], ids[one], end(one)[0], number, int(kept))
      for number, one, kept in sorted(zip(of_group, members, keep, strict=True))
    ],
  )
  return {
    'threshold': pairs.threshold,
    'num_pairs': len(pairs.first),
    'num_leaks': int((pairs.second >= num_train).sum()),
    'num_groups': len(np.unique(group)),
  }


def _areas(sizes: np.ndarray | None, num_images: int) -> np.ndarray | None:
  """Pixels of the files, 0 for those of the test split: float[num_images]."""
  if sizes is None:
    return None
  areas = np.zeros(num_images)
  areas[: len(sizes)] = sizes.prod(1)
  return areas


def _joined(first: PixelFacts, second: PixelFacts) -> PixelFacts:
  return PixelFacts(
    np.concatenate([first.digests, second.digests]),
    np.concatenate([first.grey, second.grey]),
    {
      name: np.concatenate([values, second.properties[name]])
      for name, values in first.properties.items()
    },
  )


def _write_examples(material: Material) -> dict[str, int]:
  """The measures of each train example; returns how many each flags."""
  split = material.context.dataset.train
  properties = material.train.properties
  columns = {
    'outlier': outliers.outlier_scores(properties, material.embeddings)
  }
  if material.agreement is not None:
    columns['class_agreement'] = 1 - material.agreement
  columns |= quality.measures(properties, material.sizes)
  if split.images.shape[-1] != 3:
    del columns['grey']
  # Neighbours that disagree are evidence on the label, which the audit weighs.
  flagged = {
    name: values > quality.FLAGGED
    for name, values in columns.items()
    if name != 'class_agreement'
  }
  flags = [
    ';'.join(name for name, one in flagged.items() if one[i])
    for i in range(split.num_examples)
  ]
  artifacts.write_csv(
    material.context.workdir.inspection / tables.INSPECTED_EXAMPLES,
    ('example_index', 'id', *columns, 'flags'),
    zip(
      range(split.num_examples),
      split.ids,
      *([f'{value:.4g}' for value in column] for column in columns.values()),
      flags,
      strict=True,
    ),
  )
  return {name: int(one.sum()) for name, one in flagged.items()}


def _write_groups(material: Material) -> int | None:
  """Groups that networks are bad at; None where that cannot be told."""
  context = material.context
  is_right = _is_right(context)
  if is_right is None or material.embeddings is None:
    return None
  labels, names = context.dataset.train.labels, context.dataset.class_names
  rows = []
  found = groups.bad_groups(material.embeddings, is_right)
  for number, group in enumerate(found):
    counts = np.bincount(labels[group.members])
    rows.append(
      (
        number,
        len(group.members),
        f'{group.accuracy:.4f}',
        names[counts.argmax()],
        f'{counts.max() / counts.sum():.4f}',
        ';'.join(map(str, group.examples)),
      )
    )
  path = context.workdir.inspection / tables.BAD_GROUPS
  artifacts.write_csv(path, tables.BAD_GROUPS_COLUMNS, rows)
  return len(rows)


def _is_right(context: Context) -> np.ndarray | None:
  """Whether most runs predict the label, bool[N]; None without predictions.

  By networks that did not train on the example where there are such.
  """
  step, labels = scored_step(context), context.dataset.train.labels
  if pred_probs.are_there(context, None, step):
    return pred_probs.read(context, None, step).argmax(1) == labels
  if not all_runs_have(context, 'prediction'):
    return None
  right = [
    context.run_array(run, step, 'prediction') == labels for run in context.runs
  ]
  return np.mean(right, axis=0) > 0.5


def _write_shortcuts(material: Material) -> list[str]:
  """All properties; returns those that predict the label."""
  dataset = material.context.dataset
  properties = dict(material.train.properties)
  of_classes = {*dataset.class_names}
  if material.context.config.dataset.name == 'imagenet':
    # Folders there have the numbers of synsets: train/n01440764/....
    of_classes |= {str(one).split('/')[1] for one in dataset.train.ids}
  properties |= shortcuts_lib.name_properties(
    dataset.train.ids, sorted(of_classes)
  )
  if material.sizes is not None:
    width, height = material.sizes.astype(np.float64).T
    properties |= {'size': width * height, 'aspect ratio': width / height}
  found = shortcuts_lib.shortcuts(properties, dataset.train.labels)
  artifacts.write_csv(
    material.context.workdir.inspection / tables.SHORTCUTS,
    tables.SHORTCUTS_COLUMNS,
    [(name, f'{value:.4f}') for name, value in found.items()],
  )
  return [
    name
    for name, value in found.items()
    if value > shortcuts_lib.SHORTCUT_ABOVE
  ]


def _drift(material: Material) -> dict[str, Any]:
  """How well pixels tell train from test, and which property does best."""
  train, test = material.train, material.test
  accuracy, p_value = shortcuts_lib.drift(*map(_columns, (train, test)))
  apart = {
    name: float(stats.ks_2samp(values, test.properties[name]).statistic)
    for name, values in train.properties.items()
  }
  return {
    'accuracy': accuracy,
    'p_value': p_value,
    'found': accuracy > shortcuts_lib.DRIFT_ABOVE
    and p_value < shortcuts_lib.DRIFT_BELOW,
    'property': max(apart, key=apart.__getitem__),
  }


def _columns(facts: PixelFacts) -> np.ndarray:
  """Properties and a few grey pixels, [N, d]."""
  small = squeezed(facts.grey.astype(np.float32), _DRIFT_EDGE)
  return np.concatenate(
    [np.stack([*facts.properties.values()], 1), small.reshape(len(small), -1)],
    axis=1,
  )
