"""What to do with the data: one list, at the top of the report.

Each action is a sentence, the examples that it is about, and the file that has
them. Nothing is listed where nothing is wrong.
"""

import dataclasses
from typing import Any

import numpy as np
from absl import logging

from datadiet.errors import DataDietError, counted
from datadiet.reporting import analysis
from datadiet.reporting.audit import Audit
from datadiet.reporting.faults import fault
from datadiet.results import Results
from datadiet.results.inspection import DUPLICATE, Inspection
from datadiet.results.reading import trained_on

# A longer list is not read.
MAX_ACTIONS = 8
# Kinds of faulty images that get a line of their own, the most frequent ones.
_MAX_FLAGS = 3
# Shortcuts that are named, the best first.
_MAX_SHORTCUTS = 3
# A class needs more examples if it has fewer than this part of the usual number
# and is right less often than the mean by this much.
_FEW, _WORSE = 0.5, 0.05
_NONE = np.zeros(0, np.int64)


@dataclasses.dataclass(frozen=True)
class Action:
  """Something to do with some training examples, or with all of the data.

  Attributes:
    name: of the file, report/actions/<name>.csv.
    sentence: what to do, for the user.
    example_index: int64[num_examples], in the order to look at them; empty
      where it is about all of the data.
    section: anchor of what the page says on it; '' for none.
  """

  name: str
  sentence: str
  example_index: np.ndarray
  section: str = ''

  @property
  def file(self) -> str:
    """The file that lists the examples, below report/; '' without any."""
    return f'actions/{self.name}.csv' if len(self.example_index) else ''


def find_actions(
  results: Results,
  audit: Audit | None,
  inspection: Inspection | None,
  subset: np.ndarray | None = None,
) -> list[Action]:
  """What to do, the most urgent first; at most `MAX_ACTIONS`.

  Nothing is to be done with examples that `train.subset_path` left out.

  Args:
    results: of the workdir.
    audit: of its labels, if there is one.
    inspection: of its images, if there was one.
    subset: the examples of `train.subset_path`, if they were read before.
  """
  num_examples = results.num_examples or len(results.scores)
  is_used = _is_used(results, num_examples, subset)
  actions = [
    *_copies(inspection, is_used),
    *_wrong_labels(audit, is_used),
    *_bad_groups(inspection, is_used),
    *_shortcuts(inspection, results),
    *_drift(inspection),
    *_faulty(inspection, is_used),
    *_small_classes(results, is_used),
  ]
  # Findings on all of the data have a section and no examples.
  found = [one for one in actions if len(one.example_index) or one.section]
  return found[:MAX_ACTIONS]


def _is_used(
  results: Results, num_examples: int, subset: np.ndarray | None
) -> np.ndarray:
  """Whether `train.subset_path` has an example, bool[N]; all without one."""
  try:
    if subset is None:
      subset = trained_on(results.config, num_examples)
  except DataDietError as error:
    logging.warning('Left-out examples are listed among what to do: %s', error)
    return np.ones(num_examples, bool)
  return np.isin(np.arange(num_examples), subset)


def nothing_to_do(audit: Audit | None, inspection: Inspection | None) -> str:
  """The sentence that stands where there are no actions."""
  looked_for = []
  if inspection is not None:
    looked_for += ['copies', 'faulty images', 'shortcuts', 'drift']
    if inspection.manifest['bad_groups'] is not None:
      looked_for.append('groups that networks are bad at')
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
  is_copy = inspection.flags.get(DUPLICATE, np.zeros_like(is_used))
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


def _bad_groups(
  inspection: Inspection | None, is_used: np.ndarray
) -> list[Action]:
  """Groups that networks are bad at; their examples are those on record."""
  if inspection is None:
    return []
  sizes, shown = [], []
  for group in inspection.bad_groups.itertuples():
    examples = np.array([int(one) for one in group.examples.split(';')])
    if is_used[examples].any():
      sizes.append(int(group.num_examples))
      shown.extend(examples[is_used[examples]])
  if not sizes:
    return []
  sentence = (
    f'Look at {counted(len(sizes), "group")} of images that networks are bad '
    f'at, {counted(sum(sizes), "image")}'
  )
  if len(shown) < sum(sizes):
    verb = 'is' if len(shown) == 1 else 'are'
    sentence += f' ({len(shown):,} of them {verb} listed)'
  return [
    Action('bad_groups', f'{sentence}.', np.array(shown), 'groups-caption')
  ]


def _shortcuts(inspection: Inspection | None, results: Results) -> list[Action]:
  """What the inspection calls shortcuts, as accuracies by class."""
  if inspection is None or not inspection.manifest['shortcuts']:
    return []
  names = inspection.manifest['shortcuts']
  told = [name.replace('_', ' ') for name in names[:_MAX_SHORTCUTS]]
  if rest := names[_MAX_SHORTCUTS:]:
    told.append(
      '1 more property' if len(rest) == 1 else f'{len(rest)} more properties'
    )
  # The best comes first. What it predicts goes from 0, chance, to 1.
  table = inspection.shortcuts.set_index('property')['predicts']
  chance = 1 / _num_classes(results)
  accuracy = chance + float(table[names[0]]) * (1 - chance)
  measured = f'(accuracy {accuracy:.2f} where {chance:.2f} is chance)'
  *first, last = told
  sentence = (
    f'The {last} of an image tells its class {measured}: networks may learn it '
    'in place of what is shown.'
  )
  if first:
    sentence = (
      f'The {", ".join(first)} and {last} of an image each tell its class, '
      f'best of all the {told[0]} {measured}: networks may learn them in place '
      'of what is shown.'
    )
  return [Action('shortcuts', sentence, _NONE, 'shortcuts-caption')]


def _num_classes(results: Results) -> int:
  """Classes that have examples; all classes where nothing was scored."""
  if len(results.scores):
    return results.scores['label'].nunique()
  return len(results.class_names)


def _drift(inspection: Inspection | None) -> list[Action]:
  if inspection is None or not inspection.manifest['drift']['found']:
    return []
  drift = inspection.manifest['drift']
  sentence = (
    'Train and test images differ: a classifier of pixels tells them apart '
    f'with an accuracy of {drift["accuracy"]:.2f}, where chance is 0.50, most '
    f'of all by their {drift["property"].replace("_", " ")}.'
  )
  return [Action('drift', sentence, _NONE, 'drift-caption')]


def _faulty(inspection: Inspection | None, is_used: np.ndarray) -> list[Action]:
  """Images with flags: the most frequent flags apart, the others together."""
  if inspection is None:
    return []
  found = {k: v & is_used for k, v in inspection.flags.items()}
  flags = {k: v for k, v in found.items() if v.any() and k != DUPLICATE}
  names = sorted(flags, key=lambda name: -flags[name].sum())
  words = [fault(name).adjective for name in names]
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
