"""Makes new labels and a list of examples to train on of decisions."""

import hashlib
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.results import Results, load_results
from datadiet.results.reading import trained_on
from datadiet.reviewing import decisions as decisions_lib
from datadiet.reviewing.decisions import DROP, RELABEL, Decisions, Reviewed
from datadiet.workdir import artifacts, storage, tables
from datadiet.workdir.atomic import atomic_folder

_LABELS_COLUMNS = ('id', 'label', 'label_name')
_DROPPED_COLUMNS = ('example_index', *_LABELS_COLUMNS)


def apply_decisions(
  workdir: str | os.PathLike,
  decisions: str | os.PathLike,
  folder: str | os.PathLike,
) -> dict[str, Any]:
  """Makes new labels and a list of examples to train on of decisions.

  Args:
    workdir: that was reviewed; may be remote.
    decisions: the CSV file of what was decided.
    folder: to make; must not exist yet. It gets labels.csv, of all examples,
      as dataset.labels_path takes it; kept.npy, int64[num_kept], as
      train.subset_path takes it; dropped.csv; summary.json.

  Returns:
    The content of summary.json: kind, fingerprint, labels_fingerprint (of the
    new labels), workdir, decisions (the file), num_examples, num_decided, by
    decision the number of examples, relabelled (from, to, number; the most
    frequent first), num_kept, and where noise was planted num_wrong before
    and after, among the examples that are trained on.

  Raises:
    ConfigError: if the folder exists.
    DataDietError: if there is no such workdir or a file cannot be used; names
      the line.
  """
  out = _check_folder(folder)
  results = load_results(workdir)
  reviewed = Reviewed.of(results)
  decided = decisions_lib.read_decisions(decisions, reviewed)
  if not decided:
    raise DataDietError(f'{decisions} holds no decisions')
  labels = reviewed.labels.copy()
  for index, decision in decided.items():
    if decision.kind == RELABEL:
      labels[index] = decision.label
  before = trained_on(results.config, len(labels))
  dropped = np.array([i for i, d in decided.items() if d.kind == DROP], int)
  kept = np.setdiff1d(before, dropped)
  if not len(kept):
    raise DataDietError(f'{decisions} drops all examples that are trained on')
  summary = {
    'kind': tables.REVIEW_KIND,
    'fingerprint': results.dataset.get('fingerprint'),
    # As that of a data set that is read with these labels.
    'labels_fingerprint': hashlib.sha256(labels.tobytes()).hexdigest()[:16],
    'workdir': _absolute(results.workdir.root),
    'decisions': _absolute(decisions),
    'num_examples': len(labels),
    'num_kept': len(kept),
    **_counts(decided, reviewed),
  }
  # Of other labels changed on purpose, the original ones need not be right.
  original = results.original_labels
  if original is not None and _is_noise_planted(results):
    is_wrong = reviewed.labels != original
    still = labels != original
    summary['num_wrong'] = {
      'before': int(is_wrong[before].sum()),
      'after': int(still[kept].sum()),
    }
  _write(out, labels, kept, np.sort(dropped), reviewed, summary)
  _tell(out, results, summary)
  return summary


def _check_folder(folder: str | os.PathLike) -> epath.Path:
  storage.check_scheme(folder, '--out')
  out = epath.Path(folder).expanduser()
  if out.exists():
    raise ConfigError(
      f'--out: {out} exists; allowed: a folder that does not exist yet'
    )
  return out


def _absolute(path: str | os.PathLike) -> str:
  is_remote = storage.is_remote(epath.Path(path))
  return str(path if is_remote else Path(path).expanduser().absolute())


def _is_noise_planted(results: Results) -> bool:
  noise = results.config.get('dataset', {}).get('label_noise', {})
  return noise.get('fraction', 0) > 0


def _counts(decided: Decisions, reviewed: Reviewed) -> dict[str, Any]:
  names = reviewed.class_names
  kinds = Counter(decision.kind for decision in decided.values())
  pairs = Counter(
    (names[reviewed.labels[index]], names[decision.label])
    for index, decision in decided.items()
    if decision.kind == RELABEL
  )
  return {
    'num_decided': len(decided),
    **{kind: kinds[kind] for kind in decisions_lib.KINDS},
    'relabelled': [
      {'from': given, 'to': label, 'number': number}
      for (given, label), number in pairs.most_common()
    ],
  }


def _write(
  out: epath.Path,
  labels: np.ndarray,
  kept: np.ndarray,
  dropped: np.ndarray,
  reviewed: Reviewed,
  summary: dict[str, Any],
) -> None:
  names = reviewed.class_names
  rows = [
    (name, label, names[label])
    for name, label in zip(reviewed.ids, labels.tolist(), strict=True)
  ]
  with atomic_folder(out) as temporary:
    labels_path = temporary / tables.REVIEWED_LABELS
    artifacts.write_csv(labels_path, _LABELS_COLUMNS, rows)
    artifacts.write_npy(temporary / tables.REVIEWED_KEPT, kept)
    artifacts.write_csv(
      temporary / tables.REVIEWED_DROPPED,
      _DROPPED_COLUMNS,
      [(index, *rows[index]) for index in dropped.tolist()],
    )
    artifacts.write_json(temporary / tables.REVIEW_SUMMARY, summary)
    # By this, kept.npy is refused for other data.
    stated = {key: summary[key] for key in ('kind', 'fingerprint')}
    artifacts.write_manifest(temporary, stated)


def _without_parts(results: Results) -> dict[str, str]:
  """The settings by which runs train on all that a list of examples names."""
  train = results.config.get('train', {})
  settings = {}
  if train.get('folds'):
    settings['train.folds'] = '0'
  if train.get('subset_fraction', 1.0) < 1:
    settings['train.subset_fraction'] = '1.0'
  if settings:
    logging.warning(
      'A list of examples cannot be trained on in parts (%s): the next audit '
      'has no networks that did not train on the example. Leave out '
      'train.subset_path and these settings to keep the parts and the dropped '
      'examples',
      ', '.join(settings),
    )
  return settings


def _tell(out: epath.Path, results: Results, summary: dict[str, Any]) -> None:
  """Logs what was made, and the command that trains on it."""
  logging.info(
    '%s: %s decided; %d labels changed, %d dropped, %d kept as they were, %d '
    'unsure',
    out,
    counted(summary['num_decided'], 'example'),
    *(summary[kind] for kind in (RELABEL, DROP, 'keep', 'unsure')),
  )
  path = _absolute(out)
  settings = {'dataset.labels_path': f'{path}/{tables.REVIEWED_LABELS}'}
  # The table has names of classes, whatever the labels before were read from.
  dataset = results.config.get('dataset', {})
  for name in ('labels_are', 'labels_order'):
    if dataset.get(name):
      settings[f'dataset.{name}'] = ''
  if _is_noise_planted(results):
    settings['dataset.label_noise.fraction'] = '0'
  if summary['num_kept'] < summary['num_examples']:
    settings['train.subset_path'] = f'{path}/{tables.REVIEWED_KEPT}'
    settings |= _without_parts(results)
  logging.info(
    'To train on it: datadiet %s',
    shlex.join(
      [
        f'--config={_absolute(results.workdir.config)}',
        '--workdir=NEW_WORKDIR',
        *(f'--config.{name}={value}' for name, value in settings.items()),
      ]
    ),
  )
