"""What `select.policies=auto` stands for: what docs/which_method.md advises."""

import math
from typing import Any

import numpy as np

from datadiet.selection.policies import POLICIES

AUTO = 'auto'
# A subset that stays, and one that changes while training. Each with its score,
# or None where it reads none.
METHODS: tuple[tuple[str, str | None], ...] = (('ccs', 'aum'), ('rs2', None))
# What is cut of the hardest where a tenth is kept, by the authors of CCS for
# CIFAR-10 (their command at 90 % pruned), up to this fraction.
_SMALL_FRACTION = 0.1
_SMALL_CUTOFF = 0.3


def recommended_options(
  policy: str, fraction: float, quotas: np.ndarray, sizes: np.ndarray
) -> dict[str, Any]:
  """Options of a policy of `METHODS` that differ from its defaults.

  Args:
    policy: its name.
    fraction: of the examples that is to be kept.
    quotas: int[groups], how many it is to keep of each group of examples that
      it chooses from by itself: of all, or of each class.
    sizes: int[groups], how many these are.
  """
  if policy != 'ccs':
    return {}
  default = POLICIES[policy].options['cutoff_fraction'].default
  cutoff = _SMALL_CUTOFF if fraction <= _SMALL_FRACTION else default
  # No more than is not kept, in whole thousandths: it is part of a name.
  spare = (sizes - quotas)[sizes > 0] / sizes[sizes > 0]
  cutoff = min(cutoff, math.floor(1000 * float(spare.min())) / 1000)
  return {} if cutoff == default else {'cutoff_fraction': cutoff}
