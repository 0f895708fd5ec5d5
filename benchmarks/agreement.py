"""How well the same scores in two folders agree.

    python -m benchmarks.agreement FOLDER OTHER

For every .npy that both have: Spearman's correlation, the largest difference
by the mean score, and the share of the hardest half and tenth that is in both.
Scores are taken to be higher for harder examples.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import stats


def shared_top(first: np.ndarray, second: np.ndarray, share: float) -> float:
  """Share of the top `share` of the first scores that the second has too."""
  num_top = max(1, round(share * len(first)))
  tops = [set(np.argsort(-s, kind='stable')[:num_top]) for s in (first, second)]
  return len(tops[0] & tops[1]) / num_top


def compare(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
  """The figures of two score arrays, float32[N] each."""
  return {
    'spearman': float(stats.spearmanr(first, second).statistic),
    'difference': float(np.abs(first - second).max() / np.abs(first).mean()),
    'shared_half': shared_top(first, second, 0.5),
    'shared_tenth': shared_top(first, second, 0.1),
  }


def main() -> None:
  """Prints a row a score."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('folder', type=Path)
  parser.add_argument('other', type=Path)
  options = parser.parse_args()
  names = sorted(
    path.name
    for path in options.folder.glob('*.npy')
    if (options.other / path.name).exists()
  )
  if not names:
    raise SystemExit(f'{options.folder} and {options.other} share no .npy file')
  print('| score | Spearman | largest difference | same half | same tenth |')
  print('| --- | ---: | ---: | ---: | ---: |')
  for name in names:
    found = compare(
      np.load(options.folder / name), np.load(options.other / name)
    )
    print(
      f'| {name.removesuffix(".npy")} | {found["spearman"]:.5f} | '
      f'{found["difference"]:.1e} | {found["shared_half"]:.4f} | '
      f'{found["shared_tenth"]:.4f} |'
    )


if __name__ == '__main__':
  main()
