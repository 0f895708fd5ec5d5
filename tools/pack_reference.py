"""Packs the mean scores of a workdir as reference scores of the package.

    python -m tools.pack_reference WORKDIR NAME [--step=N] [--scores el2n ...]

writes datadiet/results/reference_scores/NAME.npz, which
`datadiet.load_reference_scores(NAME)` reads.
"""

import argparse
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import datadiet
from datadiet.workdir import artifacts

FOLDER = Path(datadiet.__file__).parent / 'results' / 'reference_scores'


def pack(workdir: Path, step: int | None, names: list[str]) -> bytes:
  """The file's content.

  Args:
    workdir: with scores of a finished score stage.
    step: scored; None for the last.
    names: of scores.

  Raises:
    DataDietError: if there is no such workdir or step, or it is damaged.
    KeyError: for a score that it lacks.
  """
  results = datadiet.load_results(workdir)
  table, statements = results.scores_at(step), results.score_info(step)
  step = results.steps[-1] if step is None else step
  stated = {
    'dataset': results.dataset['name'],
    'fingerprint': results.dataset['fingerprint'],
    'step': step,
    'test_accuracy': results.train_runs['test_accuracy'].tolist(),
    'scores': {name: statements[name] for name in names},
    'config': without_paths(results.config),
    'versions': results.environment['versions'],
  }
  scores = {name: table[name].to_numpy(np.float32) for name in names}
  return content(table['id'].to_numpy(np.bytes_), stated, scores)


def content(
  ids: np.ndarray, stated: dict, scores: Mapping[str, np.ndarray]
) -> bytes:
  """A file of reference scores.

  Args:
    ids: bytes[N], of the examples.
    stated: what is said of the scores; see `load_reference_scores`.
    scores: name -> float32[N].
  """
  buffer = io.BytesIO()
  manifest = np.array(json.dumps(stated))
  np.savez_compressed(buffer, ids=ids, manifest=manifest, **scores)
  return buffer.getvalue()


def without_paths(config: dict) -> dict:
  """A config without places on somebody's machine."""
  return {
    name: without_paths(value) if isinstance(value, dict) else value
    for name, value in config.items()
    if not name.endswith(('_dir', '_path'))
  }


def main() -> None:
  """The command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('workdir', type=Path)
  parser.add_argument('name')
  parser.add_argument('--step', type=int, default=None)
  parser.add_argument('--scores', nargs='+', default=['el2n', 'grand'])
  options = parser.parse_args()
  path = FOLDER / f'{options.name}.npz'
  packed = pack(options.workdir, options.step, options.scores)
  artifacts.write_bytes(path, packed)
  print(f'{path}: {len(packed):,} bytes')


if __name__ == '__main__':
  main()
