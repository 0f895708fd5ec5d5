"""What to do with the data: one list, at the top of the report.

Each action is a sentence, the examples that it is about, and the file that has
them. Nothing is listed where nothing is wrong.
"""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from datadiet.data.dataset import Dataset
from datadiet.errors import DataDietError, counted
from datadiet.reporting import analysis
from datadiet.reporting.audit import Audit
from datadiet.results import Results
from datadiet.results.inspection import DUPLICATE, Inspection
from datadiet.workdir import artifacts, storage
from datadiet.workdir.example_lists import read_example_index

# A longer list is not read.
MAX_ACTIONS = 8
# Kinds of faulty images that get a line of their own, the most frequent ones.
_MAX_FLAGS = 3
# Flags of the inspection, as they stand before "images".
FAULTS = {
  'outlier': 'unusual',
  'class_agreement': 'untypical',
  'dark': 'dark',
  'bright': 'too bright',
  'blurry': 'blurred',
  'low_information': 'nearly empty',
  'odd_size': 'oddly sized',
  'odd_aspect_ratio': 'oddly shaped',
  'grey': 'grey',
  'border': 'framed',
}
# A class needs more examples if it has fewer than this part of the usual number
# and is right less often than the mean by this much.
_FEW, _WORSE = 0.5, 0.05


@dataclasses.dataclass(frozen=True)
class Action:
  """Something to do with some training examples.

  Attributes:
    name: of the file, report/actions/<name>.csv.
    sentence: what to do, for the user.
    example_index: int64[num_examples], in the order to look at them.
  """

  name: str
  sentence: str
  example_index: np.ndarray

  @property
  def file(self) -> str:
    """The file that lists the examples, below report/."""
    return f'actions/{self.name}.csv'


def find_actions(
  results: Results, audit: Audit | None, inspection: Inspection | None
) -> list[Action]:
  """What to do, the most urgent first; at most `MAX_ACTIONS`.

  Nothing is to be done with examples that `train.subset_path` left out.

  Args:
    results: of the workdir.
    audit: of its labels, if there is one.
    inspection: of its images, if there was one.
  """
  num_examples = results.num_examples or len(results.scores)
  is_used = _is_used(results, num_examples)
  actions = [
    *_copies(inspection, is_used),
    *_wrong_labels(audit, is_used),
    *_faulty(inspection, is_used),
    *_small_classes(results, is_used),
  ]
  return [action for action in actions if len(action.example_index)][
    :MAX_ACTIONS
  ]


def _is_used(results: Results, num_examples: int) -> np.ndarray:
  """Whether `train.subset_path` has an example, bool[N]; all without one."""
  path = results.config.get('train', {}).get('subset_path')
  if not path:
    return np.ones(num_examples, bool)
  try:
    subset = read_example_index(path, num_examples)
  except DataDietError as error:
    logging.warning('Left-out examples are listed among what to do: %s', error)
    return np.ones(num_examples, bool)
  return np.isin(np.arange(num_examples), subset)


def nothing_to_do(audit: Audit | None, inspection: Inspection | None) -> str:
  """The sentence that stands where there are no actions."""
  looked_for = []
  if inspection is not None:
    looked_for += ['copies', 'faulty images']
  if audit is not None and audit.manifest.get('noise_rate') is not None:
    looked_for.append('wrong labels')
  if not looked_for:
    return (
      'Nothing was looked for yet: run the stages score, inspect and audit.'
    )
  *first, last = looked_for
  found = f'{", ".join(first)} or {last}' if first else last
  return f'Nothing to do: no {found} were found.'


def _copies(inspection: Inspection | None, is_used: np.ndarray) -> list[Action]:
  """Leaks into the test split, copies to drop, and labels that contradict."""
  if inspection is None:
    return []
  pairs = inspection.pairs
  is_left_out = np.zeros(len(pairs), bool)
  for end in 'ab':
    in_train = pairs[f'split_{end}'].to_numpy() == 'train'
    index = np.where(in_train, pairs[f'index_{end}'], 0).astype(np.int64)
    is_left_out |= in_train & ~is_used[index]
  pairs = pairs[~is_left_out]
  in_test = pairs['split_b'] == 'test'
  contradict = ~in_test & (pairs['label_a'] != pairs['label_b'])
  leaks = _indices(pairs.loc[in_test, 'index_a'])
  is_copy = inspection.flags().get(DUPLICATE, np.zeros_like(is_used))
  copies = np.setdiff1d(np.flatnonzero(is_copy & is_used), leaks)
  exact = pairs.loc[pairs['exact'] == 1, ['index_a', 'index_b']]
  word = 'exact cop' if np.isin(copies, _indices(exact)).all() else 'cop'
  settled = _indices(pairs.loc[contradict, ['index_a', 'index_b']])
  return [
    Action(
      'test_copies',
      f'Drop {counted(len(leaks), "image")} that the test split has, too.',
      leaks,
    ),
    Action(
      'copies',
      f'Drop {len(copies):,} {word}{"y" if len(copies) == 1 else "ies"}.',
      copies,
    ),
    Action(
      'contradictions',
      f'Settle the labels of {counted(len(settled), "image")} that have copies '
      'with another label.',
      settled,
    ),
  ]


def _indices(values: Any) -> np.ndarray:
  return np.unique(np.asarray(values, np.int64))


def _wrong_labels(audit: Audit | None, is_used: np.ndarray) -> list[Action]:
  if audit is None:
    return []
  suspects = np.flatnonzero(audit.is_issue & is_used)
  suspects = suspects[np.argsort(-audit.suspicion[suspects], kind='stable')]
  expected = audit.probability[suspects]
  found = counted(len(suspects), 'likely wrong label')
  if not len(suspects) or not np.isfinite(expected).all():
    return [Action('wrong_labels', f'Look at {found}.', suspects)]
  wrong = round(float(expected.sum()))
  sentence = (
    f'Look at {found}, wrong with a probability of {expected.mean():.2f}.'
  )
  if len(suspects) > 1:
    sentence = (
      f'Look at {found}: about {wrong:,} {"is" if wrong == 1 else "are"} wrong '
      f'(precision {expected.mean():.2f}).'
    )
  return [Action('wrong_labels', sentence, suspects)]


def _faulty(inspection: Inspection | None, is_used: np.ndarray) -> list[Action]:
  """Images with flags: the most frequent flags apart, the others together."""
  if inspection is None:
    return []
  found = {k: v & is_used for k, v in inspection.flags().items()}
  flags = {k: v for k, v in found.items() if v.any() and k != DUPLICATE}
  names = sorted(flags, key=lambda name: -flags[name].sum())
  words = [FAULTS.get(name, name.replace('_', ' ')) for name in names]
  actions = []
  for name, word in zip(names[:_MAX_FLAGS], words, strict=False):
    chosen = np.flatnonzero(flags[name])
    actions.append(
      Action(name, f'Look at {counted(len(chosen), f"{word} image")}.', chosen)
    )
  if others := names[_MAX_FLAGS:]:
    chosen = np.flatnonzero(np.any([flags[name] for name in others], 0))
    actions.append(
      Action(
        'other_faults',
        f'Look at {counted(len(chosen), "image")} with other faults '
        f'({", ".join(words[_MAX_FLAGS:])}).',
        chosen,
      )
    )
  return actions


def _small_classes(results: Results, is_used: np.ndarray) -> list[Action]:
  """The class that is short of examples and least known, if there is one."""
  accuracies = analysis.class_accuracies(results)
  if 'train' not in accuracies or not len(results.scores):
    return []
  labels = results.scores['label'].to_numpy()
  counts = np.bincount(labels[is_used], minlength=len(results.class_names))
  accuracy = accuracies['train'].to_numpy()
  usual = float(np.median(counts))
  mean = float(np.nanmean(accuracy))
  short = (counts < _FEW * usual) & (accuracy < mean - _WORSE)
  if not short.any():
    return []
  label = int(np.where(short, accuracy, np.inf).argmin())
  others = int(short.sum()) - 1
  also = f' (and {counted(others, "other class")} too)' if others else ''
  return [
    Action(
      'small_class',
      f'Find more images of {results.class_names[label]}{also}: it has '
      f'{counts[label]:,} where {usual:,.0f} are usual, and '
      f'{100 * accuracy[label]:.0f} % of its test images are right, '
      f'{100 * mean:.0f} % of all classes on average.',
      np.flatnonzero((labels == label) & is_used),
    )
  ]


def as_rows(actions: list[Action]) -> list[dict[str, Any]]:
  """Actions as summary.json has them: name, sentence, num_examples, file."""
  return [
    {
      'name': action.name,
      'sentence': action.sentence,
      'num_examples': len(action.example_index),
      'file': action.file,
    }
    for action in actions
  ]


def write_actions(
  results: Results,
  actions: list[Action],
  audit: Audit | None,
  dataset: Dataset | None,
) -> None:
  """Writes report/actions/<name>.csv, the examples of each action.

  Columns: example_index, id, label, label_name; with an audit suggested_label,
  suggested_label_name and probability, empty where there is none.

  Args:
    results: of the workdir.
    actions: from `find_actions`.
    audit: of its labels, if there is one.
    dataset: gives ids and labels where nothing was scored.
  """
  table = results.scores[['id', 'label']] if len(results.scores) else None
  if table is None and dataset is not None:
    train = dataset.train
    table = pd.DataFrame({'id': train.ids, 'label': train.labels})
  if table is None:
    return
  kept = {f'{action.name}.csv' for action in actions}
  folder = results.workdir.report / 'actions'
  for path in folder.iterdir() if folder.exists() else ():
    if path.name not in kept:
      storage.remove(path)  # Of what has been done since.
  names = results.class_names
  columns = ['example_index', 'id', 'label', 'label_name']
  if audit is not None:
    columns += ['suggested_label', 'suggested_label_name', 'probability']
  for action in actions:
    rows = []
    for i in action.example_index.tolist():
      label = int(table['label'][i])
      row = [i, table['id'][i], label, names[label]]
      if audit is not None:
        suggested = int(audit.suggested_labels[i])
        probability = audit.probability[i]
        row += [suggested, names[suggested]] if suggested >= 0 else ['', '']
        row.append(f'{probability:.6g}' if np.isfinite(probability) else '')
      rows.append(row)
    path = results.workdir.report / action.file
    artifacts.write_csv(path, columns, rows)
