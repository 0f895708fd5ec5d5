"""Packs the page's per-example arrays as text, with a description of them.

The page unpacks them with the browser's own DecompressionStream, so that 50,000
examples with their scores are a few megabytes that load in no time.
"""

import base64
import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np

from datadiet.reporting import analysis
from datadiet.reporting.actions import Action
from datadiet.reporting.audit import Audit
from datadiet.reporting.embeddings import embedding_arrays
from datadiet.reporting.thumbnails import Thumbnails
from datadiet.results import Results
from datadiet.results.inspection import Inspection
from datadiet.results.reading import review_fingerprint
from datadiet.workdir.visits import DATA_MAP

_SUSPICION = {
  'definition': 'mean percentile rank of what speaks against the label',
  'higher_is': 'more suspicious',
}


def pack(array: np.ndarray) -> str:
  """An array's bytes, little-endian, gzipped, in base64."""
  little = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
  return pack_bytes(little.tobytes())


def pack_bytes(content: bytes) -> str:
  """Bytes, gzipped, in base64; the same for the same content."""
  return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode('ascii')


def _subsets(results: Results, actions: Sequence[Action]) -> dict[str, str]:
  """A bit for each example: whether it is of a selection, or an action."""
  subsets = {
    'kept': [analysis.any_draw(one) for one in results.selections.values()],
    'action': [action.example_index for action in actions],
  }
  packed = {}
  for name, members in subsets.items():
    for position, example_index in enumerate(members):
      is_member = np.zeros(len(results.scores), bool)
      is_member[example_index] = True
      bits = np.packbits(is_member, bitorder='little')
      packed[f'{name}-{position}'] = pack(bits)
  return packed


def _described(name: str, statement: dict[str, Any]) -> dict[str, Any]:
  """The page's description of a score, from its manifest."""
  if not statement and name in DATA_MAP:
    statement = dict(DATA_MAP[name])
  return {
    'name': name,
    'definition': statement.get('definition', ''),
    'higher_is': statement.get('higher_is', 'neither'),
    'num_runs': len(statement.get('runs', ())) or '-',
  }


def _label_arrays(results: Results) -> dict[str, str]:
  """What most runs predict, and the labels before they were changed."""
  arrays = {
    'predictions': analysis.majority(results.predictions()),
    'original_labels': results.original_labels,
  }
  return {k: pack(one) for k, one in arrays.items() if one is not None}


def _flags(
  inspection: Inspection | None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
  """Names and numbers of flags, and for each example a bit of each."""
  flags = {} if inspection is None else inspection.flags
  if not flags:
    return [], {}
  bits = [one.astype(np.int32) << n for n, one in enumerate(flags.values())]
  described = [{'name': n, 'num': int(one.sum())} for n, one in flags.items()]
  return described, {'flags': pack(np.bitwise_or.reduce(np.stack(bits)))}


def build_payload(
  results: Results,
  audit: Audit | None,
  inspection: Inspection | None = None,
  thumbnails: Thumbnails | None = None,
  actions: Sequence[Action] = (),
) -> tuple[dict[str, Any], dict[str, str]]:
  """All data that the gallery and the charts of the page need.

  Args:
    results: of the workdir; something was scored.
    audit: the suspected label errors, if they were looked for.
    inspection: flags of the examples, if there are any.
    thumbnails: of the images, if they are available.
    actions: whose examples the gallery can be filtered by.

  Returns:
    A description that JSON can hold, and the packed arrays by name:
    'ids' (text, NUL between ids), 'labels' (int32), 'score-<i>' (float32),
    'kept-<i>' and 'action-<i>' (uint8, one bit an example, lowest bit first),
    and where known 'predictions', 'original_labels', 'suggested_labels'
    (int32), 'is_issue' (uint8), 'flags' (int32, a bit for each of the
    description), what `embedding_arrays` gives and 'thumbnail_slot' (int32).
  """
  scores = results.scores
  labels = scores['label'].to_numpy(np.int32)
  statements = results.score_info()
  arrays = {
    'ids': pack_bytes('\0'.join(scores['id'].astype(str)).encode()),
    'labels': pack(labels),
  }
  columns = {
    name: scores[name].to_numpy(np.float32)
    for name in analysis.score_columns(scores)
  }
  for name, column in analysis.data_map(results).items():
    columns.setdefault(name, column.to_numpy(np.float32))
  arrays |= _label_arrays(results)
  if audit is not None:
    columns['suspicion'] = audit.suspicion
    statements['suspicion'] = _SUSPICION
    if (audit.suggested_labels >= 0).any():
      arrays['suggested_labels'] = pack(audit.suggested_labels)
    arrays['is_issue'] = pack(audit.is_issue.astype(np.uint8))
  for position, column in enumerate(columns.values()):
    arrays[f'score-{position}'] = pack(column)
  arrays |= _subsets(results, actions)
  flags, flag_bits = _flags(inspection)
  by_embedding = embedding_arrays(results, audit)
  arrays |= flag_bits | {k: pack(one) for k, one in by_embedding.items()}
  if thumbnails is not None:
    arrays['thumbnail_slot'] = pack(thumbnails.slot)
  return {
    'fingerprint': review_fingerprint(results.dataset),
    'flags': flags,
    'name': results.dataset.get('name'),
    'num_examples': len(scores),
    'class_names': results.class_names,
    'scores': [_described(name, statements.get(name, {})) for name in columns],
    'selections': [
      {'name': name, 'num_draws': len(selection.example_index)}
      for name, selection in results.selections.items()
    ],
    'thumbnails': None if thumbnails is None else thumbnails.description(),
  }, arrays
