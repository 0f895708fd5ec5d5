"""Reads audit/label_issues.csv and sums it up for the page."""

import dataclasses
from typing import Any

import numpy as np

from datadiet.results import Results
from datadiet.workdir import artifacts


@dataclasses.dataclass(frozen=True)
class Audit:
  """The label audit, by example_index.

  Attributes:
    given_labels: int32[N].
    suggested_labels: int32[N]; -1 for examples not in the table and where the
      table suggests none.
    suspicion: float32[N]; NaN for examples not in the table.
    probability: float32[N], that the label is wrong; NaN where none was
      computed.
    is_issue: bool[N], those above the audit's threshold.
    manifest: the manifest of the audit; {} if there is none.
  """

  given_labels: np.ndarray
  suggested_labels: np.ndarray
  suspicion: np.ndarray
  probability: np.ndarray
  is_issue: np.ndarray
  manifest: dict[str, Any]


def read_audit(results: Results) -> Audit | None:
  """The label audit of a workdir, or None if there is none.

  Raises:
    DataDietError: if it is damaged or of other data.
  """
  table = results.label_issues
  if table.empty or not results.num_examples:
    return None
  manifest = artifacts.read_manifest(results.workdir.audit) or {}
  example_index = table.index.to_numpy()
  num_examples = results.num_examples
  given = results.scores['label'].to_numpy(np.int32).copy()
  if not len(given):
    given = np.zeros(num_examples, np.int32)
  suggested = np.full(num_examples, -1, np.int32)
  suspicion, probability = np.full((2, num_examples), np.nan, np.float32)
  is_issue = np.zeros(num_examples, bool)
  given[example_index] = table['given_label']
  # Empty cells where no predictions were kept to suggest labels by.
  suggested[example_index] = table['suggested_label'].fillna(-1).to_numpy()
  suspicion[example_index] = table['suspicion']
  probability[example_index] = table['probability']
  is_issue[example_index] = table['is_issue']
  return Audit(given, suggested, suspicion, probability, is_issue, manifest)


def method(audit: Audit) -> str:
  """The audit's method in a sentence; '' if the manifest does not state it."""
  manifest = audit.manifest
  if 'evidence' not in manifest:
    return ''
  suggestions = manifest.get('suggestions')
  kind = manifest['threshold']['kind']
  return (
    f'Ranked by {", ".join(manifest["evidence"])}. How many are wrong: '
    f'{"not counted" if kind is None else f"by {kind}"}. Suggested labels: '
    f'{f"{suggestions} predictions" if suggestions else "none"}.'
  )


def warning(audit: Audit) -> str:
  """Why the number of issues is unreliable; '' if it is reliable."""
  return (audit.manifest.get('threshold') or {}).get('warning', '')


def audit_summary(
  audit: Audit, original_labels: np.ndarray | None
) -> dict[str, Any]:
  """The audit in numbers.

  Args:
    audit: from `read_audit`.
    original_labels: int32[N], where labels were changed on purpose.

  Returns:
    num_issues; noise_rate in [0, 1], the audit's own estimate or else the
    share of issues, None where it did not count them; expected_precision, the
    share of the issues that is expected to be wrong, None where no probability
    was computed; where the original
    labels are known also num_changed, precision and recall of is_issue, and
    suggested_right, the share of the issues found whose suggested label is the
    original one, of those that have one (None for 0 / 0).
  """
  num_issues = int(audit.is_issue.sum())
  noise_rate = audit.manifest.get('noise_rate')
  if noise_rate is None and not warning(audit):
    noise_rate = num_issues / len(audit.is_issue)
  expected = audit.probability[audit.is_issue]
  is_known = num_issues and np.isfinite(expected).all()
  summary = {
    'num_issues': num_issues,
    'noise_rate': noise_rate,
    'expected_precision': float(expected.mean()) if is_known else None,
  }
  if original_labels is None:
    return summary
  changed = original_labels != audit.given_labels
  found = changed & audit.is_issue
  right = found & (audit.suggested_labels == original_labels)
  return summary | {
    'num_changed': int(changed.sum()),
    'precision': _ratio(found.sum(), num_issues),
    'recall': _ratio(found.sum(), changed.sum()),
    'suggested_right': _ratio(
      right.sum(), (found & (audit.suggested_labels >= 0)).sum()
    ),
  }


def cuts(
  audit: Audit, original_labels: np.ndarray | None
) -> list[dict[str, Any]]:
  """How many labels to look at, and how many are wrong, by probability.

  Args:
    audit: from `read_audit`.
    original_labels: int32[N], where labels were changed on purpose.

  Returns:
    The cuts of the audit's manifest, as `audit.expected_precision` gives them;
    where the original labels are known with precision, the true one.
  """
  stated = (audit.manifest.get('calibration') or {}).get('cuts', [])
  if original_labels is None:
    return stated
  changed = original_labels != audit.given_labels
  return [
    cut
    | {'precision': float(changed[audit.probability >= cut['at_least']].mean())}
    for cut in stated
  ]


def _ratio(part: int, whole: int) -> float | None:
  return float(part / whole) if whole else None


def confusion(audit: Audit, num_classes: int) -> np.ndarray:
  """int64[num_classes, num_classes]: issues by given and suggested label."""
  counts = np.zeros((num_classes, num_classes), np.int64)
  pairs = (audit.given_labels, audit.suggested_labels)
  counted = audit.is_issue & (audit.suggested_labels >= 0)
  np.add.at(counts, tuple(labels[counted] for labels in pairs), 1)
  return counts
