"""The data that the sections of the page are made from."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from datadiet.data.dataset import Dataset
from datadiet.reporting.actions import Action
from datadiet.reporting.audit import Audit
from datadiet.results import Results
from datadiet.results.inspection import Inspection


@dataclasses.dataclass(frozen=True)
class Material:
  """The data that sections are made from.

  Attributes:
    results: of the workdir.
    summary: from `build_summary`.
    audit: of the labels, if there is one.
    dataset: provides the images; None if they are not available.
    inspection: what it found, if there was one.
    actions: what to do, the most urgent first.
    payload: what the page's gallery is told of the examples; None if nothing
      was scored.
    primary: the score that examples are ordered by at first; '' if none is.
    secondary: one to be seen beside it; likewise.
    originals: the URI that ids are paths below, where images are local files;
      '' where they are not.
  """

  results: Results
  summary: dict[str, Any]
  audit: Audit | None = None
  dataset: Dataset | None = None
  inspection: Inspection | None = None
  actions: Sequence[Action] = ()
  payload: dict[str, Any] | None = None
  primary: str = ''
  secondary: str = ''
  originals: str = ''


# What a template shows. `charts`: name -> Vega-Lite specification or None, for
# `ui.chart(name, caption)`; all else is for the section's template alone.
Values = dict[str, Any]
