"""Which labels are probably wrong, from scores and predictions."""

from datadiet.audit.blocks import PredProbs, blocks
from datadiet.audit.calibration import (
  ENOUGH_SEPARATION,
  Calibration,
  calibrate,
  expected_precision,
)
from datadiet.audit.evidence import (
  EVIDENCE,
  OF_ONE_NETWORK,
  best_score,
  of_predictions,
)
from datadiet.audit.guard import ENOUGH_ACCURACY, too_little_known
from datadiet.audit.noise import odds_against_labels
from datadiet.audit.suggestion import most_probable, most_voted
from datadiet.audit.suspicion import (
  most_suspicious,
  percentile_ranks,
  suspicion,
)
from datadiet.audit.threshold import confident_issues, mixture_issues
from datadiet.audit.threshold_samples import (
  NUM_DRAWS,
  draw_threshold_samples,
  margins_over_threshold,
)

__all__ = [
  'ENOUGH_ACCURACY',
  'ENOUGH_SEPARATION',
  'EVIDENCE',
  'NUM_DRAWS',
  'OF_ONE_NETWORK',
  'Calibration',
  'PredProbs',
  'best_score',
  'blocks',
  'calibrate',
  'confident_issues',
  'draw_threshold_samples',
  'expected_precision',
  'margins_over_threshold',
  'mixture_issues',
  'most_probable',
  'most_suspicious',
  'most_voted',
  'odds_against_labels',
  'of_predictions',
  'percentile_ranks',
  'suspicion',
  'too_little_known',
]
