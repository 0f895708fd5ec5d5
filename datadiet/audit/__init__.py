"""Which labels are probably wrong, from scores and predictions; numpy only."""

from datadiet.audit.evidence import EVIDENCE, best_score, of_predictions
from datadiet.audit.guard import too_little_known
from datadiet.audit.suggestion import most_probable, most_voted
from datadiet.audit.suspicion import most_suspicious, suspicion
from datadiet.audit.threshold import confident_issues, mixture_issues
from datadiet.audit.threshold_samples import (
  NUM_DRAWS,
  draw_threshold_samples,
  margins_over_threshold,
)

__all__ = [
  'EVIDENCE',
  'NUM_DRAWS',
  'best_score',
  'confident_issues',
  'draw_threshold_samples',
  'margins_over_threshold',
  'mixture_issues',
  'most_probable',
  'most_suspicious',
  'most_voted',
  'of_predictions',
  'suspicion',
  'too_little_known',
]
