"""The report stage: the table, the figures and the page."""

import hashlib
from pathlib import Path

from absl import logging

import datadiet
from datadiet.runtime import processes
from datadiet.settings import plugins
from datadiet.stages.context import Context
from datadiet.workdir import artifacts, storage

# The manifests of everything a report is made from, and the histories of runs
# without a manifest.
_SOURCES = (
  'train/*/history.csv',
  'train/*/manifest.json',
  'scores/*/*/manifest.json',
  'inspection/manifest.json',
  'audit/manifest.json',
  'selections/*/manifest.json',
  'selections/*/*/manifest.json',
  'retrain/*/*/history.csv',
  'retrain/*/*/manifest.json',
)
# The code of this package that makes the report.
_PROGRAM = ('.py', '.html', '.css', '.js')


def _made_from(context: Context) -> str:
  """A hash of a report's inputs; when it changes, the report is made again."""
  digest = hashlib.sha256(datadiet.__version__.encode())
  # Code too: a changed page, or a section added to it, is seen at the next
  # start.
  own = (Path(datadiet.__file__).parent / 'reporting').rglob('*.*')
  for path in [*sorted(own), *plugins.files(context.config.plugins)]:
    if path.suffix in _PROGRAM:
      digest.update(path.read_bytes())
  for path in storage.matching(context.workdir.root, _SOURCES):
    digest.update(storage.read_bytes(path))
  return digest.hexdigest()[:16]


def _is_current(context: Context) -> bool:
  report = context.workdir.report
  return (report / 'index.html').exists() and artifacts.is_complete(
    report,
    fingerprint=context.dataset.fingerprint,
    made_from=_made_from(context),
  )


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  page = context.workdir.report / 'index.html'
  return f'{page}{" (done)" if _is_current(context) else ""}'


def run(context: Context) -> None:
  """Writes the report from what the workdir holds, and prints its table."""
  if not processes.is_lead():
    return
  if _is_current(context):
    summary = artifacts.read_json(context.workdir.report / 'summary.json')
  else:
    made_from = _made_from(context)
    summary = _reporting().write_report(
      context.workdir, context.dataset, context.subset
    )
    artifacts.write_manifest(
      context.workdir.report,
      {
        'kind': 'report',
        'fingerprint': context.dataset.fingerprint,
        'made_from': made_from,
      },
    )
  _show(summary)


def run_without_images(workdir: artifacts.Workdir, reason: Exception) -> None:
  """Writes the report of a workdir whose data cannot be read; prints its table.

  Args:
    workdir: one that holds scores or other artifacts.
    reason: why the images are not available.

  Raises:
    DataDietError: if an artifact is damaged, or the report cannot be written.
  """
  if not processes.is_lead():
    return
  logging.warning('The report is made without images: %s', reason)
  # Without a manifest, so that it is made again once images are available.
  storage.remove(workdir.report / artifacts.MANIFEST)
  _show(_reporting().write_report(workdir, None))


def _reporting():
  # Imported late: the libraries of tables and charts take seconds, and nothing
  # else needs them.
  from datadiet import reporting

  return reporting


def _show(summary: dict) -> None:
  print(f'\n{_reporting().format_table(summary)}\n', flush=True)
  if changed := summary.get('changed_labels'):
    print(f'{_reporting().format_noise(changed)}\n', flush=True)
