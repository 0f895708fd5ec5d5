"""What the sections of the page show, as plain values for its templates."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from datadiet.data.dataset import Dataset
from datadiet.reporting import analysis
from datadiet.reporting import audit as audit_lib
from datadiet.reporting.audit import Audit
from datadiet.reporting.figures import to_rgb
from datadiet.reporting.redundancy import NEAR_FRACTION, Duplicates
from datadiet.reporting.summary import SCORING_RUNS, TOLERANCE
from datadiet.results import Results

_MAX_PAIRS = 48
_MAX_SUSPECTS = 100


def summary_context(
  results: Results, summary: dict[str, Any]
) -> dict[str, Any]:
  """facts, protocol, the smallest equal subset, and the tolerance."""
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


def score_context(
  results: Results,
  payload: dict[str, Any] | None,
  primary: str,
  stability: pd.DataFrame,
) -> dict[str, Any]:
  """Stability by score, and where the primary and the suspicion are."""
  names = [score['name'] for score in payload['scores']] if payload else []
  position = names.index(primary) if primary else None
  higher_is = payload['scores'][position]['higher_is'] if primary else None
  has_suspicion = 'suspicion' in names
  leaves_out = results.config.get('train', {}).get('subset_fraction', 1.0) < 1
  return {
    'averaged_over': _averaged_over(len(results.score_runs()), leaves_out),
    'runs_leave_out': leaves_out,
    'stability': analysis.stability_by_score(stability),
    'top_fraction': analysis.TOP_FRACTION,
    'primary_score': position,
    'easy_order': 'descending' if higher_is == 'easier' else 'ascending',
    'suspicion_score': names.index('suspicion') if has_suspicion else None,
  }


def _averaged_over(num_runs: int, leaves_out: bool) -> str:
  """Which runs a mean score is of, in words."""
  if num_runs == 1:
    return 'of one run'
  if leaves_out:
    return f'means over those of {num_runs} runs that trained on the example'
  return f'means over {num_runs} runs, or over those of them that have a score'


def audit_context(results: Results, audit: Audit | None) -> dict[str, Any]:
  """The audit in numbers, and the most suspicious examples."""
  if audit is None:
    return {
      'audit': None,
      'suspects': [],
      'confused': [],
      'num_confused': 0,
      'audit_method': '',
      'audit_warning': '',
    }
  names = results.class_names
  suspicion = np.where(audit.is_issue, audit.suspicion, -np.inf)
  order = np.argsort(-suspicion, kind='stable')
  order = order[: min(_MAX_SUSPECTS, int(audit.is_issue.sum()))]
  ids = results.scores['id'] if results.steps else None
  suspects = [
    {
      'example_index': int(example_index),
      'id': ids[example_index] if ids is not None else '-',
      'given': names[audit.given_labels[example_index]],
      'suggested': _name(names, audit.suggested_labels[example_index]),
      'suspicion': float(audit.suspicion[example_index]),
    }
    for example_index in order
  ]
  numbers = audit_lib.audit_summary(audit, results.original_labels)
  confused = _confused(audit, names)
  return {
    'audit': numbers,
    'suspects': suspects,
    'confused': confused[:_MAX_SUSPECTS],
    'num_confused': len(confused),
    'audit_method': audit_lib.method(audit),
    'audit_warning': audit_lib.warning(audit),
  }


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


def class_context(results: Results) -> dict[str, Any]:
  """Counts and accuracies by class, as rows for tables."""
  context = {
    'class_columns': [],
    'class_rows': [],
    'accuracy_columns': [],
    'accuracy_rows': [],
  }
  names = results.class_names
  if results.selections and results.steps:
    counts = analysis.class_counts(results)
    context['class_columns'] = list(counts.columns)
    rows = counts.to_numpy(np.float64).tolist()
    context['class_rows'] = list(zip(names, rows, strict=True))
  accuracies = analysis.class_accuracies(results)
  if len(accuracies.columns):
    # What the diet is compared with comes first.
    columns = sorted(accuracies, key=lambda name: not name.startswith('full_'))
    accuracies = accuracies[sorted(columns, key=lambda name: name != 'train')]
    context['accuracy_columns'] = [
      SCORING_RUNS if name == 'train' else name for name in accuracies
    ]
    rows = accuracies.to_numpy(np.float64).tolist()
    context['accuracy_rows'] = list(zip(names, rows, strict=True))
  return context


def redundancy_context(
  dataset: Dataset | None, duplicates: Duplicates | None
) -> dict[str, Any]:
  """Numbers of duplicates, and the nearest pairs with their images."""
  context = {
    'duplicates': duplicates,
    'duplicate_counts': [],
    'pairs': [],
    'near_fraction': NEAR_FRACTION,
  }
  if dataset is None or duplicates is None:
    return context
  pairs = duplicates.pairs
  is_exact = pairs['exact'] == 1
  in_train = pairs['split_b'] == 'train'
  conflicting = pairs['label_a'] != pairs['label_b']
  counts = {'exact, in train': is_exact & in_train}
  counts['exact, train and test'] = is_exact & ~in_train
  if duplicates.threshold is not None:
    counts['near, in train'] = ~is_exact & in_train
    counts['near, train and test'] = ~is_exact & ~in_train
  counts['with different labels'] = conflicting
  context['duplicate_counts'] = [
    (name, int(chosen.sum())) for name, chosen in counts.items()
  ]
  context['pairs'] = [
    {
      'exact': bool(row.exact),
      'distance': row.distance,
      'ends': [
        _pair_end(dataset, row.split_a, row.index_a),
        _pair_end(dataset, row.split_b, row.index_b),
      ],
    }
    for row in pairs.head(_MAX_PAIRS).itertuples()
  ]
  return context


def _pair_end(dataset: Dataset, split: str, index: int) -> dict[str, Any]:
  examples = dataset.train if split == 'train' else dataset.test
  picture = Image.fromarray(to_rgb(np.asarray(examples.images[index])))
  picture.thumbnail((64, 64), Image.Resampling.BOX)
  buffer = io.BytesIO()
  picture.save(buffer, 'PNG')
  content = base64.b64encode(buffer.getvalue()).decode()
  return {
    'split': split,
    'index': int(index),
    'class_name': dataset.class_names[examples.labels[index]],
    'source': f'data:image/png;base64,{content}',
  }
