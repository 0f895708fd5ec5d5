"""The report stage: the table, the figures and the page."""

import hashlib

import datadiet
from datadiet import artifacts, distributed, storage
from datadiet.reporting import format_noise, format_table, write_report
from datadiet.stages.context import Context

# Where the manifests of everything a report is made of lie.
_SOURCES = (
  'train/*/manifest.json',
  'scores/*/*/manifest.json',
  'audit/manifest.json',
  'selections/*/manifest.json',
  'selections/*/*/manifest.json',
  'retrain/*/*/manifest.json',
)


def _made_from(context: Context) -> str:
  """A hash of what the report is made of: it is made again when that changes.

  Training that is not finished has no manifest yet, but is not looked at again
  by a workdir at rest either.
  """
  digest = hashlib.sha256(datadiet.__version__.encode())
  root = context.workdir.root
  for pattern in _SOURCES:
    for path in sorted(root.glob(pattern)):
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
  """What is to be done, in a line."""
  page = context.workdir.report / 'index.html'
  return f'{page}{" (done)" if _is_current(context) else ""}'


def run(context: Context) -> None:
  """Writes the report from what the workdir holds, and prints its table."""
  if not distributed.is_first():
    return
  if _is_current(context):
    summary = artifacts.read_json(context.workdir.report / 'summary.json')
  else:
    made_from = _made_from(context)
    summary = write_report(context.workdir, context.dataset)
    artifacts.write_manifest(
      context.workdir.report,
      {
        'kind': 'report',
        'fingerprint': context.dataset.fingerprint,
        'made_from': made_from,
      },
    )
  print(f'\n{format_table(summary)}\n', flush=True)
  if summary.get('changed_labels'):
    print(f'{format_noise(summary["changed_labels"])}\n', flush=True)
