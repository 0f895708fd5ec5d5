"""The files of benchmarks/gpu_fidelity.sh: scores by run, means, accuracies.

    python -m benchmarks.fidelity collect WORKDIR OUTPUT.npz
    python -m benchmarks.fidelity means FOLDER
    python -m benchmarks.fidelity subset FOLDER DATA.npz NAME SEED OUTPUT.npy
    python -m benchmarks.fidelity result WORKDIR OUTPUT.json
    python -m benchmarks.fidelity status FOLDER

A checkpoint has 89 MB, what is handed on here well under one: scores of one
network with ids and manifest in FOLDER/scores/run_<number>.npz, means of all in
FOLDER/mean_scores.npz, as `datadiet.load_reference_scores` reads them, and
accuracies in FOLDER/retrain/<subset>_<seed>.json.
"""

import argparse
import csv
import io
import json
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import reference
from datadiet.errors import DataDietError
from datadiet.scoring import aggregate, registry
from datadiet.selection import SelectionInputs, select_examples
from datadiet.training.history import read_history
from datadiet.workdir import artifacts

NUM_RUNS = 10
NUM_SEEDS = 4
SCORES = ('el2n', 'grand')
SUBSETS = ('full', 'el2n', 'random')
# Best test accuracy in a public re-run of the paper, with what was kept there.
EXPECTED = {
  'full': '95.0 % (45,000 at random)',
  'el2n': '95.3 %',
  'random': '93.7 %',
}
MEAN = 'mean_scores.npz'


def collect(workdir: Path, output: Path) -> None:
  """Packs the scores of a workdir with one network into a file.

  Raises:
    DataDietError: if they are missing or damaged.
  """
  (folder,) = (workdir / 'scores' / 'run_00').glob('step_*')
  manifest = artifacts.read_manifest(folder)
  rows = csv.DictReader(
    io.StringIO((workdir / 'scores' / 'scores.csv').read_text())
  )
  ids = [row['id'] for row in rows]
  scores = {
    name: artifacts.read_npy(
      folder / f'{name}.npy', len(ids), manifest['checksums'][name]
    )
    for name in SCORES
  }
  stated = {
    'scores': manifest,
    'made_by': _made_by(workdir),
    'seconds': artifacts.read_json(workdir / 'timing.json'),
    'test_accuracy': _accuracies(workdir)[-1],
  }
  artifacts.write_npz(
    output,
    {
      'ids': np.array(ids, np.bytes_),
      'manifest': np.array(json.dumps(stated)),
      **scores,
    },
  )


def _made_by(workdir: Path) -> dict:
  """Config, versions, devices and commit."""
  content = artifacts.read_json(workdir / 'config.json')
  return {**content, 'config': reference.without_paths(content['config'])}


def _accuracies(workdir: Path) -> list[float]:
  """Of the test split, at every evaluation."""
  history = read_history(workdir / 'train' / 'run_00')
  return [
    float(row['test_accuracy']) for row in history if row['test_accuracy']
  ]


def _run_path(folder: Path, run: int) -> Path:
  return folder / 'scores' / f'{artifacts.run_name(run)}.npz'


def _missing_runs(folder: Path) -> list[int]:
  return [run for run in range(NUM_RUNS) if not _run_path(folder, run).exists()]


def means(folder: Path) -> dict:
  """Averages the runs that are there, and returns what is said of the result.

  Raises:
    DataDietError: if there are none, or they are of different data.
  """
  missing = _missing_runs(folder)
  runs = [run for run in range(NUM_RUNS) if run not in missing]
  if not runs:
    raise DataDietError(f'{folder}/scores holds no run_00.npz to run_09.npz')
  files = [artifacts.read_npz(_run_path(folder, run)) for run in runs]
  stated = [json.loads(str(file['manifest'])) for file in files]
  prints = [each['scores']['fingerprint'] for each in stated]
  for run, fingerprint in zip(runs, prints, strict=True):
    if fingerprint != prints[0]:
      raise DataDietError(
        f'run {run} is of data {fingerprint}, run {runs[0]} of {prints[0]}'
      )
  found, summary = {}, {'runs': runs, 'missing_runs': missing}
  for name in SCORES:
    by_run = [file[name] for file in files]
    found[name] = aggregate.mean_and_spread(by_run, name=name)['mean']
    summary[f'{name}_rank_stability'] = aggregate.rank_stability(by_run)
  summary['spearman_el2n_grand'] = float(
    stats.spearmanr(found['el2n'], found['grand']).statistic
  )
  summary['test_accuracy'] = [each['test_accuracy'] for each in stated]
  about = {**_about(stated[0], runs), **summary, 'by_run': stated}
  packed = reference.content(files[0]['ids'], about, found)
  artifacts.write_bytes(folder / MEAN, packed)
  return summary


def _about(first: dict, runs: list[int]) -> dict:
  """What is said of reference scores, by the statement of the first run."""
  manifest = first['scores']
  return {
    'dataset': 'cifar10',
    'fingerprint': manifest['fingerprint'],
    'step': manifest['step'],
    'scores': {
      name: {**manifest['scores'][name], 'runs': runs} for name in SCORES
    },
    'config': first['made_by']['config'],
    'versions': first['made_by']['versions'],
  }


def subset(
  folder: Path, data: Path, name: str, seed: int, output: Path
) -> None:
  """Writes the half of the examples that a score, or chance, keeps.

  Args:
    folder: with the mean scores, which a random draw does not need.
    data: the packed data set.
    name: 'random', or a score.
    seed: of a random draw.
    output: the example_index, int64[N // 2].

  Raises:
    DataDietError: if there are no mean scores.
  """
  with np.load(data) as packed:
    labels = packed['train_labels']
  scores, higher_is = None, 'neither'
  if name != 'random':
    scores = artifacts.read_npz(folder / MEAN)[name]
    higher_is = registry.SCORES[name].higher_is
  inputs = SelectionInputs(
    labels=labels,
    num_classes=int(labels.max()) + 1,
    scores=scores,
    higher_is=higher_is,
  )
  policy = 'random' if name == 'random' else 'keep_max'
  kept = select_examples(policy, inputs, len(labels) // 2, seed=seed)
  artifacts.write_npy(output, kept.astype(np.int64))


def result(workdir: Path, output: Path) -> None:
  """Writes the accuracies of a finished retraining.

  Raises:
    DataDietError: if it is not finished.
  """
  folder = workdir / 'train' / 'run_00'
  manifest = artifacts.read_manifest(folder)
  if manifest is None:
    raise DataDietError(f'{folder} is not finished; run the phase again')
  accuracies = _accuracies(workdir)
  artifacts.write_json(
    output,
    {
      'last_test_accuracy': accuracies[-1],
      'best_test_accuracy': max(accuracies),
      'num_examples': manifest['num_examples'],
      'num_steps': manifest['num_steps'],
      'made_by': _made_by(workdir),
      'seconds': artifacts.read_json(workdir / 'timing.json'),
    },
  )


def status(folder: Path) -> str:
  """What is there, against what is expected, and what is missing."""
  lines = [
    f'scores: {NUM_RUNS - len(_missing_runs(folder))} of {NUM_RUNS} runs'
  ]
  if _missing_runs(folder):
    lines.append(f'  missing runs: {_text(_missing_runs(folder))}')
  if (folder / MEAN).exists():
    stated = json.loads(str(artifacts.read_npz(folder / MEAN)['manifest']))
    lines.append(
      f'  means over runs {_text(stated["runs"])}; Spearman of el2n and grand '
      f'{stated["spearman_el2n_grand"]:.3f} (expected 0.98)'
    )
  for name in SUBSETS:
    paths = {
      seed: folder / 'retrain' / f'{name}_{seed}.json'
      for seed in range(NUM_SEEDS)
    }
    found = [artifacts.read_json(p) for p in paths.values() if p.exists()]
    best = 100 * np.array([each['best_test_accuracy'] for each in found])
    last = 100 * np.array([each['last_test_accuracy'] for each in found])
    line = f'retrain {name}: {len(found)} of {NUM_SEEDS}'
    if found:
      line += (
        f', best test accuracy {best.mean():.2f} % (standard deviation '
        f'{best.std(ddof=1) if len(best) > 1 else 0.0:.2f}), last '
        f'{last.mean():.2f} %'
      )
    lines.append(f'{line}; expected best {EXPECTED[name]}')
    missing = [seed for seed, path in paths.items() if not path.exists()]
    if missing:
      lines.append(f'  missing seeds: {_text(missing)}')
  return '\n'.join(lines)


def _text(numbers: list[int]) -> str:
  return ' '.join(map(str, numbers))


def main() -> None:
  """Does one of these."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  commands = parser.add_subparsers(dest='command', required=True)
  for command, inputs in {
    'collect': {'workdir': Path, 'output': Path},
    'means': {'folder': Path},
    'subset': {
      'folder': Path,
      'data': Path,
      'name': str,
      'seed': int,
      'output': Path,
    },
    'result': {'workdir': Path, 'output': Path},
    'status': {'folder': Path},
  }.items():
    subparser = commands.add_parser(command)
    for name, kind in inputs.items():
      subparser.add_argument(name, type=kind)
  options = vars(parser.parse_args())
  functions = {
    'collect': collect,
    'means': lambda folder: print(json.dumps(means(folder), indent=2)),
    'subset': subset,
    'result': result,
    'status': lambda folder: print(status(folder)),
  }
  try:
    functions[options.pop('command')](**options)
  except DataDietError as error:
    raise SystemExit(f'{error}') from error


if __name__ == '__main__':
  main()
