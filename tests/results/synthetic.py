"""Makes workdirs as the stages leave them, from invented training runs."""

import numpy as np

from datadiet.data.dataset import Dataset, Split, make_dataset
from datadiet.workdir import artifacts, tables

NUM_RUNS = 3
STEPS = (20, 60)
NUM_STEPS = 60
# The number that the networks of retrainings count from.
FIRST_RETRAINING = 1_000
HIGHER_IS = {
  'el2n': 'harder',
  'grand': 'harder',
  'forgetting': 'harder',
  'aum': 'easier',
  'correctness': 'easier',
  'mean_confidence': 'easier',
  'variability': 'neither',
}
# Selection -> (score, policy, accuracy of its retraining).
ACCURACY = {'keep_max': 0.95, 'random': 0.9, 'full': 0.952}


def make_images(
  num_examples: int = 120,
  class_names: tuple[str, ...] = ('cat', 'dog', 'bird'),
  channels: int = 3,
  size: int = 8,
) -> Dataset:
  """A data set whose images are noise of their class's brightness."""
  rng = np.random.default_rng(0)

  def split(name: str, num: int) -> Split:
    labels = rng.integers(0, len(class_names), num).astype(np.int32)
    brightness = (40 + 170 * labels / len(class_names)).astype(np.uint8)
    shape = (num, size, size, channels)
    images = rng.integers(0, 40, shape, dtype=np.uint8)
    images += brightness[:, None, None, None]
    ids = np.array([f'{name}_{number}' for number in range(num)])
    return Split(images, labels, ids)

  return make_dataset(
    'noise', split('train', num_examples), split('test', 40), class_names
  )


def invent_scores(dataset: Dataset, run: int, step: int) -> dict:
  """Scores of one run, correlated with each other as real ones are."""
  num_examples = dataset.train.num_examples
  hardness = np.random.default_rng(1).beta(1, 3, num_examples)
  rng = np.random.default_rng([2, run, step])
  el2n = np.clip(hardness + 0.05 * rng.normal(size=num_examples), 0, 1.4)
  confidence = np.clip(1 - el2n / 1.4, 0, 1)
  scores = {
    'el2n': el2n,
    'grand': 9 * el2n * rng.uniform(0.8, 1.2, num_examples),
    'forgetting': rng.binomial(6, np.clip(el2n, 0, 1)),
    'aum': 12 * confidence - 6 + rng.normal(size=num_examples),
    'correctness': rng.binomial(6, confidence) / 6,
    'mean_confidence': confidence,
    'variability': np.sqrt(confidence * (1 - confidence)),
  }
  return {name: array.astype(np.float32) for name, array in scores.items()}


def make_workdir(root, dataset: Dataset) -> artifacts.Workdir:
  """A finished workdir of `dataset`: train, scores, selections, retrain."""
  workdir = artifacts.Workdir.at(root)
  write_description(workdir, dataset)
  for run in range(NUM_RUNS):
    write_run(workdir, dataset, 'train', run, ACCURACY['full'])
  for step in STEPS:
    write_scores(workdir, dataset, step)
  el2n = mean_scores(dataset, STEPS[-1])['el2n']
  for fraction in (0.5, 0.3):
    num_kept = round(fraction * dataset.train.num_examples)
    hardest = np.sort(np.argsort(-el2n, kind='stable')[:num_kept])
    name = f'el2n_step_{STEPS[-1]}_keep_max_{num_kept}'
    write_selection(workdir, dataset, name, hardest)
    write_random(workdir, dataset, num_kept)
  return workdir


def write_description(workdir: artifacts.Workdir, dataset: Dataset) -> None:
  """config.json, dataset.json and timing.json."""
  config = {
    'model': {'name': 'simple_cnn', 'width': 32},
    'train': {'num_runs': NUM_RUNS, 'num_steps': NUM_STEPS},
  }
  environment = {
    'versions': {'jax': '0.10.2'},
    'devices': ['cpu'],
    'commit': '0123abc',
  }
  artifacts.write_json(workdir.config, {'config': config} | environment)
  artifacts.write_json(workdir.dataset, dataset.description())
  if dataset.original_labels is not None:
    artifacts.write_npy(workdir.original_labels, dataset.original_labels)
  stages = {'train': 30.0, 'score': 4.0, 'select': 0.1, 'retrain': 50.0}
  timing = {
    stage: {'seconds': seconds, 'device_seconds': 2 * seconds, 'devices': 2}
    for stage, seconds in stages.items()
  }
  artifacts.write_json(workdir.timing, timing)


def write_run(
  workdir: artifacts.Workdir,
  dataset: Dataset,
  group: str,
  run: int,
  accuracy: float,
  num_examples: int | None = None,
  selection: dict | None = None,
) -> None:
  """A finished run of which only manifest and history are left.

  `selection` is what it was trained on; None for all the data.
  """
  folder = workdir.run(group, run)
  steps = range(10, NUM_STEPS + 1, 10)
  header = ('step', 'epoch', 'learning_rate', 'train_loss', 'train_accuracy')
  rows = []
  for step in steps:
    done = step / NUM_STEPS
    tested = (0.3, accuracy * done) if step % 20 == 0 else ('', '')
    rows.append((step, step / 12, 0.1, 2 - 1.8 * done, done, *tested))
  columns = (*header, 'test_loss', 'test_accuracy')
  artifacts.write_csv(folder / 'history.csv', columns, rows)
  manifest = {
    'kind': 'train',
    'fingerprint': dataset.fingerprint,
    'run': run + (0 if group == 'train' else FIRST_RETRAINING),
    'selection': selection,
    'num_examples': num_examples or dataset.train.num_examples,
    'num_steps': NUM_STEPS,
    'settings': {'model': 'simple_cnn'},
    'test_accuracy': accuracy + 0.002 * run,
    'test_loss': 0.3,
  }
  artifacts.write_manifest(folder, manifest)


def mean_scores(dataset: Dataset, step: int) -> dict:
  """float32[N] by name, the means over the runs."""
  runs = [invent_scores(dataset, run, step) for run in range(NUM_RUNS)]
  return {
    name: np.mean([scores[name] for scores in runs], 0, dtype=np.float32)
    for name in HIGHER_IS
  }


def write_scores(
  workdir: artifacts.Workdir,
  dataset: Dataset,
  step: int,
  names: tuple[str, ...] = tuple(HIGHER_IS),
) -> None:
  """Scores of every run, their means and the tables."""
  statements = {
    name: {'definition': f'made up {name}', 'higher_is': HIGHER_IS[name]}
    for name in names
  }
  manifest = {
    'kind': 'scores',
    'fingerprint': dataset.fingerprint,
    'step': step,
    'scores': statements,
  }
  for run in range(NUM_RUNS):
    folder = workdir.scores(run, step)
    scores = invent_scores(dataset, run, step)
    for name in names:
      artifacts.write_npy(folder / f'{name}.npy', scores[name])
    wrong = scores['el2n'] > 0.7
    prediction = (dataset.train.labels + wrong) % dataset.num_classes
    artifacts.write_npy(folder / 'prediction.npy', prediction.astype(np.int32))
    artifacts.write_manifest(folder, manifest | {'run': run})
  means = mean_scores(dataset, step)
  means = {name: means[name] for name in names}
  folder = workdir.scores(None, step)
  for name, array in means.items():
    artifacts.write_npy(folder / f'{name}.npy', array)
  train = dataset.train
  index = range(train.num_examples)
  rows = list(zip(index, train.ids, train.labels, *means.values(), strict=True))
  header = ('example_index', 'id', 'label', *means)
  for path in (workdir.scores_csv(step), workdir.scores_csv()):
    artifacts.write_csv(path, header, rows)
  runs = list(range(NUM_RUNS))
  stated = {name: one | {'runs': runs} for name, one in statements.items()}
  artifacts.write_manifest(folder, manifest | {'runs': runs, 'scores': stated})


def write_selection(
  workdir: artifacts.Workdir, dataset: Dataset, name: str, kept: np.ndarray
) -> None:
  """A selection by EL2N and its retraining runs."""
  manifest = _selection_manifest(dataset, len(kept)) | {
    'policy': 'keep_max',
    'score': 'el2n',
    'step': STEPS[-1],
  }
  folder = workdir.selection(name)
  artifacts.write_npy(folder / 'example_index.npy', kept.astype(np.int64))
  artifacts.write_manifest(folder, manifest)
  for run in range(NUM_RUNS):
    accuracy = ACCURACY['keep_max']
    group = f'retrain/{name}'
    seen = manifest | {'changes': False}
    write_run(workdir, dataset, group, run, accuracy, len(kept), seen)


def write_random(
  workdir: artifacts.Workdir, dataset: Dataset, num_kept: int
) -> None:
  """A random draw for every run and its retraining."""
  name = f'random_{num_kept}'
  num_examples = dataset.train.num_examples
  for run in range(NUM_RUNS):
    rng = np.random.default_rng([3, run])
    kept = np.sort(rng.choice(num_examples, num_kept, replace=False))
    folder = workdir.selection(name, run)
    artifacts.write_npy(folder / 'example_index.npy', kept.astype(np.int64))
    manifest = _selection_manifest(dataset, num_kept)
    artifacts.write_manifest(folder, manifest | {'run': run})
    accuracy = ACCURACY['random']
    seen = manifest | {'changes': False}
    write_run(
      workdir, dataset, f'retrain/{name}', run, accuracy, num_kept, seen
    )


def _selection_manifest(dataset: Dataset, num_kept: int) -> dict:
  return {
    'kind': 'selection',
    'fingerprint': dataset.fingerprint,
    'policy': 'random',
    'score': None,
    'step': None,
    'num_kept': num_kept,
    'fraction': num_kept / dataset.train.num_examples,
    'class_balanced': False,
    'options': {},
    'seed': 0,
  }


def write_audit(workdir: artifacts.Workdir, dataset: Dataset) -> None:
  """audit/label_issues.csv, which finds most changed labels and a few more."""
  train = dataset.train
  original = dataset.original_labels
  is_changed = train.labels != (train.labels if original is None else original)
  rng = np.random.default_rng(5)
  suspicion = rng.random(train.num_examples) + is_changed
  order = np.argsort(-suspicion, kind='stable')
  rank = np.empty(train.num_examples, int)
  rank[order] = np.arange(1, train.num_examples + 1)
  is_issue = suspicion > 0.99
  shifted = (train.labels + 1) % dataset.num_classes
  suggested = np.where(is_changed, original, shifted)
  columns = {
    'example_index': np.arange(train.num_examples),
    'id': train.ids,
    'given_label': train.labels,
    'suggested_label': suggested,
    'suspicion': suspicion.astype(np.float32),
    'probability': np.where(suspicion > 1, 0.9, 0.05 * suspicion),
    'rank': rank,
    'is_issue': is_issue.astype(int),
  }
  rows = [[column[i] for column in columns.values()] for i in order]
  path = workdir.root / 'audit' / 'label_issues.csv'
  artifacts.write_csv(path, list(columns), rows)


def map_places(dataset: Dataset) -> np.ndarray:
  """float32[N, 2]: each class around a place of its own, on a circle."""
  angles = 2 * np.pi * dataset.train.labels / dataset.num_classes
  centres = 10 * np.stack([np.cos(angles), np.sin(angles)], 1)
  rng = np.random.default_rng(6)
  return (centres + rng.normal(size=centres.shape)).astype(np.float32)


def write_map(workdir: artifacts.Workdir, dataset: Dataset) -> None:
  """The map of the inspection, without the rest of it."""
  path = workdir.inspection / tables.MAP
  artifacts.write_npy(path, map_places(dataset))
