"""Packs the page's per-example arrays as text, with a description of them.

The page unpacks them with the browser's own DecompressionStream, so that 50,000
examples with their scores are a few megabytes that load in no time.
"""

import base64
import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
  """An array's bytes, gzipped, in base64.

  The lowest bytes of all elements come first, then the next ones: those that
  are much alike stand together, which takes a tenth less for scores.
  """
  little = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
  planes = little.reshape(-1).view(np.uint8).reshape(-1, array.itemsize).T
  return pack_bytes(planes.tobytes())


def unpack(text: str, dtype: npt.DTypeLike) -> np.ndarray:
  """The array that `pack` made a text of, flat."""
  planes = np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8)
  little = np.dtype(dtype).newbyteorder('<')
  elements = planes.reshape(little.itemsize, -1).T
  return np.ascontiguousarray(elements).reshape(-1).view(little)


def pack_bytes(content: bytes) -> str:
  """Bytes, gzipped, in base64; the same for the same content."""
  return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode('ascii')


def _id_arrays(ids: Sequence[str]) -> dict[str, str]:
  """Ids, without the characters that each shares with the one before it."""
  shared, rests = np.zeros(len(ids), np.uint8), []
  before, num = '', 0
  for position, one in enumerate(ids):
    # Mostly as many as of the one before, or nearly.
    while not one.startswith(before[:num]):
      num -= 1
    most = min(len(before), len(one), np.iinfo(np.uint8).max)
    while num < most and before[num] == one[num]:
      num += 1
    # Beyond ASCII, browsers count characters otherwise.
    num = num if before[:num].isascii() else 0
    shared[position] = num
    rests.append(one[num:])
    before = one
  ids_text = '\0'.join(rests).encode()
  return {'ids': pack_bytes(ids_text), 'ids_shared': pack(shared)}


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
  actions: Sequence[Action] = (),
) -> tuple[dict[str, Any], dict[str, str]]:
  """All data that the gallery and the charts of the page need.

  Args:
    results: of the workdir; something was scored.
    audit: the suspected label errors, if they were looked for.
    inspection: flags of the examples, if there are any.
    actions: whose examples the gallery can be filtered by.

  Returns:
    A description that JSON can hold, and the packed arrays by name:
    'ids' (text, NUL between ids) without the 'ids_shared' (uint8) characters
    that each shares with the one before it, 'labels' (int32), 'score-<i>'
    (float32), 'kept-<i>' and 'action-<i>' (uint8, one bit an example, lowest
    bit first), and where known 'predictions', 'original_labels',
    'suggested_labels' (int32), 'is_issue' (uint8), 'flags' (int32, a bit for
    each of the description) and what `embedding_arrays` gives.
  """
  scores = results.scores
  labels = scores['label'].to_numpy(np.int32)
  statements = results.score_info()
  arrays = _id_arrays(list(scores['id'].astype(str)))
  arrays['labels'] = pack(labels)
  columns = {
    name: scores[name].to_numpy(np.float32)
    for name in analysis.score_columns(scores)
  }
  data_map = analysis.data_map(results)
  if not data_map.empty:
    for name, column in data_map.items():
      columns.setdefault(str(name), column.to_numpy(np.float32))
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
    'thumbnails': None,
    'rounding': None,
  }, arrays


def add_thumbnails(
  payload: dict[str, Any], arrays: dict[str, str], thumbnails: Thumbnails
) -> tuple[dict[str, Any], dict[str, str]]:
  """Both with thumbnails: 'thumbnail_slot' (int32) among the arrays."""
  return (
    payload | {'thumbnails': thumbnails.description()},
    arrays | {'thumbnail_slot': pack(thumbnails.slot)},
  )
