"""The sections of the page: one table of titles, templates and contents.

A new section is a function here (or in a module of its own) that takes the
`Material` and returns the values its template shows, the template, and an entry
in `SECTIONS`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from datadiet.reporting import analysis, charts, inspection, run_charts
from datadiet.reporting import audit as audit_lib
from datadiet.reporting.audit import Audit
from datadiet.reporting.material import Material, Values
from datadiet.reporting.summary import SCORING_RUNS, TOLERANCE, extra_tests
from datadiet.results.reading import runs_leave_out

_MAX_SUSPECTS = 100


@dataclasses.dataclass(frozen=True)
class Section:
  """One section of the page.

  Attributes:
    title: its heading.
    template: a file of templates/, or the text of one.
    context: what the template is filled with, beside what all templates know:
      the fields of `Material`, `arrays` and `specs`.
  """

  title: str
  template: str
  context: Callable[[Material], Values]


def action_context(material: Material) -> Values:
  """The place of the score by which the gallery shows an action's examples."""
  return {'suspicion_score': _score_number(material, 'suspicion')}


def summary_context(material: Material) -> Values:
  """facts, protocol, the smallest equal subset, and the tolerance."""
  results, summary = material.results, material.summary
  settings = dict(_flatten(results.config))
  rows = {row['selection']: row for row in summary['accuracy']}
  environment = results.environment
  seconds = [
    entry['seconds']
    for entry in results.timing.values()
    if isinstance(entry, dict) and entry.get('seconds') is not None
  ]
  facts = {
    'model': settings.get('model.name'),
    'scoring runs': len(results.train_runs) or None,
    'scored steps': ', '.join(map(str, results.steps)) or None,
    'retraining runs': len(results.retrain) or None,
    'devices': _short(environment.get('devices')),
    'JAX': (environment.get('versions') or {}).get('jax'),
    'commit': _short(environment.get('commit'))[:12] or None,
    'total time': f'{sum(seconds) / 60:.1f} min' if seconds else None,
  }
  return {
    'facts': [(name, value) for name, value in facts.items() if value],
    'protocol': sorted(settings.items()),
    'smallest': rows.get(summary['smallest_equal']),
    'tolerance': TOLERANCE,
    'extra_tests': extra_tests(summary),
    'charts': {'accuracy': run_charts.accuracy_chart(summary['accuracy'])},
  }


def _short(value: Any) -> str:
  """One line for a value, or a list that may repeat values."""
  if isinstance(value, list):
    unique = list(dict.fromkeys(map(str, value)))
    return ', '.join(f'{value.count(v)} × {v}' for v in unique) or ''
  return '' if value is None else str(value)


def _flatten(config: dict, prefix: str = '') -> Iterator[tuple[str, Any]]:
  for name, value in config.items():
    if isinstance(value, dict):
      yield from _flatten(value, f'{prefix}{name}.')
    else:
      yield prefix + name, value


def score_context(material: Material) -> Values:
  """Stability by score, correlations, the data map, and training curves."""
  results = material.results
  folds = results.config.get('train', {}).get('folds', 0)
  leaves_out = runs_leave_out(results.config)
  stability = analysis.run_stability(results)
  correlations = analysis.rank_correlations(results)
  data_map = analysis.data_map(results)
  drawn = {'curves': run_charts.curves_chart(results.history, results.steps)}
  if results.steps:
    drawn['histogram'] = charts.histogram_chart()
    drawn['density'] = charts.density_chart()
    drawn['correlation'] = charts.correlation_chart(correlations)
    if not data_map.empty:
      drawn['data-map'] = charts.density_chart()
    if len(stability):
      drawn['stability'] = charts.stability_chart(stability)
  return {
    'averaged_over': _averaged_over(
      len(results.score_runs()), leaves_out, folds
    ),
    'runs_leave_out': leaves_out,
    'stability': analysis.stability_by_score(stability),
    'top_fraction': analysis.TOP_FRACTION,
    'correlations': correlations,
    'data_map_step': data_map.attrs.get('step'),
    'curves': run_charts.curve_names(results.history),
    'charts': drawn,
  }


def no_context(material: Material) -> Values:
  """No values: what is shown is filled in the browser."""
  del material
  return {}


def review_context(material: Material) -> Values:
  """What an earlier review changed; the next one happens in the browser."""
  return {
    'changed': material.summary.get('review'),
    'class_keys': class_keys(material.results.class_names),
  }


def class_keys(names: Sequence[str]) -> list[str]:
  """A digit for each class, '' where there are more than ten.

  Whoever sees a class called 3 presses 3 for it, whatever its number is.
  """
  digits = '0123456789'
  if len(names) > len(digits):
    return [''] * len(names)
  own = {name for name in names if name in {*digits}}
  free = iter([digit for digit in digits if digit not in own])
  return [name if name in own else next(free) for name in names]


def _averaged_over(num_runs: int, leaves_out: bool, folds: int) -> str:
  """Which runs a mean score is of, in words."""
  if num_runs == 1:
    return 'of one run'
  if folds:
    return (
      f'means over {num_runs} runs of {folds} folds: scores of a forward pass '
      'over those that did not train on the example, others over those that did'
    )
  if leaves_out:
    return f'means over those of {num_runs} runs that trained on the example'
  return f'means over {num_runs} runs, or over those of them that have a score'


def audit_context(material: Material) -> Values:
  """The audit in numbers, and the most suspicious examples."""
  results, audit = material.results, material.audit
  if audit is None:
    return {'numbers': None}
  names = results.class_names
  suspicion = np.where(audit.is_issue, audit.suspicion, -np.inf)
  order = np.argsort(-suspicion, kind='stable')
  order = order[: min(_MAX_SUSPECTS, int(audit.is_issue.sum()))]
  ids = results.scores['id'] if results.steps else None
  suspects = [
    {
      'example_index': int(example_index),
      'id': ids[example_index] if ids is not None else '-',
      'original': inspection.original(
        material.originals, ids[example_index] if ids is not None else ''
      ),
      'given': names[audit.given_labels[example_index]],
      'suggested': _name(names, audit.suggested_labels[example_index]),
      'suspicion': float(audit.suspicion[example_index]),
    }
    for example_index in order
  ]
  # A review changes labels to what is right.
  reviewed = 'review' in material.summary
  original_labels = None if reviewed else results.original_labels
  confused = _confused(audit, names)
  counts = audit_lib.confusion(audit, len(names))
  return {
    'numbers': audit_lib.audit_summary(audit, original_labels),
    'cuts': audit_lib.cuts(audit, original_labels),
    'suspects': suspects,
    'confused': confused[:_MAX_SUSPECTS],
    'num_confused': len(confused),
    'method': audit_lib.method(audit),
    'warning': audit_lib.warning(audit),
    'suspicion_score': _score_number(material, 'suspicion'),
    'charts': {
      'confusion': charts.confusion_chart(counts, names)
      if counts.any()
      else None
    },
  }


def _score_number(material: Material, name: str) -> int | None:
  """The place of a score among those of the payload."""
  names = [s['name'] for s in (material.payload or {}).get('scores', ())]
  return names.index(name) if name in names else None


def _name(names: list[str], label: int) -> str:
  return names[label] if label >= 0 else '-'


def _confused(audit: Audit, names: list[str]) -> list[tuple[str, str, int]]:
  """(given, suggested, number of suspects), the most frequent pairs first."""
  counts = audit_lib.confusion(audit, len(names))
  pairs = np.argwhere(counts)
  pairs = pairs[np.argsort(-counts[tuple(pairs.T)], kind='stable')]
  return [
    (names[given], names[suggested], int(counts[given, suggested]))
    for given, suggested in pairs
  ]


def class_context(material: Material) -> Values:
  """Counts and accuracies by class, as rows for tables."""
  results = material.results
  context: Values = {
    'class_columns': [],
    'class_rows': [],
    'accuracy_columns': [],
    'accuracy_rows': [],
    'charts': {},
  }
  names = results.class_names
  if results.selections and results.steps:
    counts = analysis.class_counts(results)
    context['class_columns'] = list(counts.columns)
    rows = counts.to_numpy(np.float64).tolist()
    context['class_rows'] = list(zip(names, rows, strict=True))
    chart = charts.class_chart(
      analysis.class_shares(results),
      names,
      'kept',
      'Share of each class that is kept.',
    )
    context['charts']['class-share'] = chart
  accuracies = analysis.class_accuracies(results)
  if len(accuracies.columns):
    # What the diet is compared with comes first.
    seen = {'train': None, **results.retrained_on}
    columns = sorted(
      accuracies, key=lambda name: (name != 'train', seen.get(name) is not None)
    )
    accuracies = accuracies[columns]
    context['accuracy_columns'] = [
      SCORING_RUNS if name == 'train' else name for name in accuracies
    ]
    rows = accuracies.to_numpy(np.float64).tolist()
    context['accuracy_rows'] = list(zip(names, rows, strict=True))
  return context


def cost_context(material: Material) -> Values:
  """What the diet cost and what it saves."""
  return {'cost': analysis.cost(material.results, material.summary)}


# In the order of the page; the key is the anchor of the section.
SECTIONS: dict[str, Section] = {
  'actions': Section('What to do', 'actions.html', action_context),
  'summary': Section('Summary', 'summary.html', summary_context),
  'scores': Section('Scores', 'scores.html', score_context),
  'map': Section('Map', 'map.html', no_context),
  'examples': Section('Examples', 'examples.html', no_context),
  'audit': Section('Label audit', 'audit.html', audit_context),
  'review': Section('Review', 'review.html', review_context),
  'classes': Section('Classes', 'classes.html', class_context),
  'cost': Section('Cost', 'cost.html', cost_context),
  'duplicates': Section(
    'Duplicates', 'duplicates.html', inspection.duplicates_context
  ),
  'images': Section('Images', 'images.html', inspection.images_context),
}
# Those of this package, which plugins may not replace.
SHIPPED = dict(SECTIONS)
