"""Which labels are probably wrong, from scores and predictions; numpy only."""

from datadiet.audit.suggestion import most_probable, most_voted
from datadiet.audit.suspicion import (
  EVIDENCE,
  label_margin,
  percentile_ranks,
  suspicion,
)
from datadiet.audit.threshold import (
  confident_issues,
  mixture_issues,
  most_suspicious,
)
from datadiet.audit.threshold_samples import (
  NUM_DRAWS,
  draw_threshold_samples,
  margins_over_threshold,
)

__all__ = [
  'EVIDENCE',
  'NUM_DRAWS',
  'confident_issues',
  'draw_threshold_samples',
  'label_margin',
  'margins_over_threshold',
  'mixture_issues',
  'most_probable',
  'most_suspicious',
  'most_voted',
  'percentile_ranks',
  'suspicion',
]
