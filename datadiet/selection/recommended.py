"""What `select.policies=auto` stands for: what docs/which_method.md advises."""

from typing import Any

AUTO = 'auto'
# A subset that stays, and one that changes while training. Each with its score,
# or None where it reads none.
METHODS: tuple[tuple[str, str | None], ...] = (('ccs', 'aum'), ('rs2', None))
# What is cut of the hardest where a tenth is kept, by the authors of CCS for
# CIFAR-10 (their command at 90 % pruned), up to this fraction.
_SMALL_FRACTION = 0.1
_SMALL_CUTOFF = 0.3


def recommended_options(policy: str, fraction: float) -> dict[str, Any]:
  """Options of a policy of `METHODS` that differ from its defaults.

  Args:
    policy: its name.
    fraction: of the examples that is to be kept.
  """
  if policy == 'ccs' and fraction <= _SMALL_FRACTION:
    return {'cutoff_fraction': _SMALL_CUTOFF}
  return {}
