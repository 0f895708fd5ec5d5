"""The report stage: the table, the figures and the page."""

import jax

from datadiet.reporting import write_report
from datadiet.stages.context import Context


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  return f'{context.workdir.report / "index.html"}'


def run(context: Context) -> None:
  """Writes the report from what the workdir holds."""
  if jax.process_index() == 0:
    write_report(context.workdir, context.dataset)
