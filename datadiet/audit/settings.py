"""The settings of the audit: `config.audit`."""

import dataclasses

from datadiet.settings import checks, setting


@dataclasses.dataclass(frozen=True)
class AuditSettings:
  """How labels are judged."""

  threshold_samples: bool = setting(
    False,
    checks.boolean,
    'Train twice more, each time with an extra class of examples mislabelled '
    'on purpose, to know how low the margins of wrong labels are.',
  )
