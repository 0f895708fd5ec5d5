"""Reads a workdir's artifacts back: scores, history, selections, accuracies."""

import functools
import os
from typing import Any

import numpy as np
import pandas as pd
from etils import epath

from datadiet.errors import DataDietError
from datadiet.results import label_issues, reading
from datadiet.results.selection import Selection
from datadiet.workdir import artifacts, score_arrays, storage, tables


class Results:
  """The content of a workdir so far; everything is read when first asked for.

  Attributes:
    workdir: the paths.
    config: the resolved config; {} if the workdir has none.
    environment: the rest of config.json (versions, devices, commit).
    dataset: the data set's description; {} if the workdir has none.
    timing: stage -> {'seconds': ..., ...}; {} if the workdir has none.
  """

  def __init__(self, workdir: artifacts.Workdir):
    """Use `load_results`, which checks that there is a workdir."""
    self.workdir = workdir
    environment = reading.read_json(workdir.config)
    self.config: dict[str, Any] = environment.pop('config', {})
    self.environment: dict[str, Any] = environment
    self.dataset: dict[str, Any] = reading.read_json(workdir.dataset)
    self.timing: dict[str, Any] = reading.read_json(workdir.timing)
    self._score_tables: dict[int, pd.DataFrame] = {}

  def __repr__(self) -> str:
    name = self.dataset.get('name', 'unknown data')
    return f'Results({str(self.workdir.root)!r}, {name}, steps {self.steps})'

  @property
  def num_examples(self) -> int | None:
    """Size of the train split; None while no data was read."""
    return self.dataset.get('num_examples')

  @property
  def title(self) -> str | None:
    """The data set's own name: that of its folder or file, if it has one."""
    return reading.own_name(self.config.get('dataset', {}), self.dataset)

  @property
  def class_names(self) -> list[str]:
    """Class names in label order."""
    return list(self.dataset.get('class_names', []))

  @functools.cached_property
  def original_labels(self) -> np.ndarray | None:
    """int32[N], where train labels were changed on purpose; None elsewhere."""
    path = self.workdir.original_labels
    if not path.exists():
      return None
    return artifacts.read_npy(path, self.num_examples)

  @functools.cached_property
  def test_ids(self) -> list[str] | None:
    """The test split's ids in canonical order; None if it does not say."""
    path = self.workdir.test_ids
    if not path.exists():
      return None
    return storage.read_bytes(path).decode().split('\n')[:-1]

  @functools.cached_property
  def steps(self) -> list[int]:
    """The optimizer steps with mean scores, ascending."""
    return reading.steps_in(self.workdir.root / 'scores' / 'mean')

  @property
  def scores(self) -> pd.DataFrame:
    """Mean scores of the last scored step, as from `scores_at`."""
    return self.scores_at()

  def scores_at(self, step: int | None = None) -> pd.DataFrame:
    """Mean scores of a step, the last one by default.

    Returns:
      One row an example: index `example_index`; columns `id`, `label` and
      the scores (float32). Without rows while nothing was scored.

    Raises:
      DataDietError: if the step was not scored.
    """
    step = self._check_step(step)
    if step is None:
      empty = pd.DataFrame({'id': pd.Series(dtype=str), 'label': []})
      return empty.rename_axis('example_index').astype({'label': np.int32})
    if step not in self._score_tables:
      self._score_tables[step] = self._read_scores(step)
    return self._score_tables[step].copy()

  def _read_scores(self, step: int) -> pd.DataFrame:
    path = self.workdir.scores_csv(step)
    table = reading.read_csv(path, index_col='example_index', dtype={'id': str})
    expected = np.arange(self.num_examples or len(table))
    if not np.array_equal(table.index, expected):
      raise DataDietError(
        f'{path} does not have the example_index 0 to {len(expected) - 1} in '
        'order; delete it to make it anew'
      )
    folder = self.workdir.scores(None, step)
    # Scores alone: data sets may have columns of their own beside them.
    manifest = self._manifest(folder)
    names = manifest.get('scores', {})
    known = {'id', 'label', *names}
    table = table[[name for name in table.columns if name in known]].copy()
    for name in names:
      table[name] = score_arrays.read(folder, name, len(table), manifest)
    return table.astype({'label': np.int32} | dict.fromkeys(names, np.float32))

  def score_info(self, step: int | None = None) -> dict[str, dict[str, Any]]:
    """Score name -> its definition, as the manifest of a step states it."""
    step = self._check_step(step)
    if step is None:
      return {}
    return self._manifest(self.workdir.scores(None, step)).get('scores', {})

  def score_runs(self, step: int | None = None) -> list[int]:
    """The runs that were scored at a step, ascending."""
    step = self._check_step(step)
    if step is None:
      return []
    folders = reading.runs_in(self.workdir.root / 'scores')
    name = artifacts.step_name(step)
    return [run for run, folder in folders if self._manifest(folder / name)]

  def run_scores(self, score: str, step: int | None = None) -> pd.DataFrame:
    """One score of one step, run by run.

    Returns:
      float32; index `example_index`, one column for each run that has the
      score, named by the run's number.

    Raises:
      DataDietError: if the step was not scored.
    """
    checked = self._check_step(step)
    columns: dict[int, np.ndarray] = {}
    for run in self.score_runs(checked):
      assert checked is not None  # Else there are no runs.
      folder = self.workdir.scores(run, checked)
      if (folder / f'{score}.npy').exists():
        manifest, num = self._manifest(folder), self.num_examples
        columns[run] = score_arrays.read(folder, score, num, manifest)
    return pd.DataFrame(columns).rename_axis('example_index')

  def predictions(self, step: int | None = None) -> pd.DataFrame:
    """The classes predicted at a step, as from `run_scores`: int32."""
    return self.run_scores('prediction', step)

  def dynamics(
    self, run: int, step: int | None = None
  ) -> dict[str, np.ndarray]:
    """Training dynamics of a run, and their 'step'; {} if there are none.

    Those up to a step, where they were kept there, otherwise the last.
    """
    folder = self.workdir.run('train', run)
    steps = reading.numbers_in(folder / 'dynamics', r'step_(\d+)\.npz')
    if not steps:
      return {}
    known = step if step in steps else steps[-1]
    arrays = artifacts.read_npz(artifacts.dynamics_file(folder, known))
    return arrays | {'step': np.array(known)}

  @functools.cached_property
  def history(self) -> pd.DataFrame:
    """All rows of all history.csv: columns group, run, step, epoch, ...

    `group` is 'train' or 'retrain/<selection>'; cells may be NaN.
    """
    histories = []
    for group in ['train', *(f'retrain/{name}' for name in self._retrained)]:
      for run, folder in reading.runs_in(self.workdir.root / group):
        path = folder / tables.HISTORY
        if path.exists():
          table = reading.read_csv(path)
          table.insert(0, 'group', group)
          table.insert(1, 'run', run)
          histories.append(table)
    if not histories:
      return pd.DataFrame(columns=['group', 'run', *tables.HISTORY_COLUMNS])
    return pd.concat(histories, ignore_index=True)

  @functools.cached_property
  def selections(self) -> dict[str, Selection]:
    """Selection name -> Selection; complete ones only."""
    found = {}
    root = self.workdir.root / 'selections'
    for name in reading.folders_in(root):
      folders = {None: root / name} | dict(reading.runs_in(root / name))
      manifests = {run: self._manifest(path) for run, path in folders.items()}
      complete = {run: value for run, value in manifests.items() if value}
      if complete:
        arrays = {
          run: artifacts.read_npy(folders[run] / 'example_index.npy')
          for run in complete
        }
        manifest = next(iter(complete.values()))
        found[name] = Selection.of(name, manifest, arrays, self.num_examples)
    return found

  @functools.cached_property
  def train_runs(self) -> pd.DataFrame:
    """The finished training runs: what each trained on, how long, how well.

    Columns `TRAIN_RUN_COLUMNS`.
    """
    rows = self._finished_runs('train')
    return pd.DataFrame(rows, columns=list(tables.TRAIN_RUN_COLUMNS))

  @functools.cached_property
  def retrain(self) -> pd.DataFrame:
    """The finished retraining runs, as `RETRAIN_COLUMNS`.

    `selection` is the name of a selection, or 'full_<N>' for all examples.
    """
    rows = []
    for name in self._retrained:
      for row in self._finished_runs(f'retrain/{name}'):
        selection = self.selections.get(name)
        num_kept = selection.num_kept if selection else row['num_examples']
        total = self.num_examples
        fraction = num_kept / total if num_kept and total else None
        sizes = {'num_kept': num_kept, 'fraction': fraction}
        rows.append(row | sizes | {'selection': name})
    return pd.DataFrame(rows, columns=list(tables.RETRAIN_COLUMNS))

  @functools.cached_property
  def retrained_on(self) -> dict[str, dict[str, Any] | None]:
    """Name of a retraining -> what the subset was that it saw.

    As the manifests of its runs state it: policy, options, score, step,
    class_balanced and changes (whether the subset changes while training).
    None for all the data; {} where nothing says what it was.
    """
    found = {}
    for name in dict.fromkeys(self.retrain['selection']):
      folders = reading.runs_in(self.workdir.root / 'retrain' / name)
      manifests = [self._manifest(folder) for _, folder in folders]
      manifest = next(filter(None, manifests))
      found[name] = manifest.get('selection', {})
    return found

  @functools.cached_property
  def label_issues(self) -> pd.DataFrame:
    """The label audit, the most suspicious first, as `label_issues.read`.

    Raises:
      DataDietError: if the table is damaged or of other data.
    """
    path = self.workdir.audit / tables.LABEL_ISSUES
    if path.exists():
      self._manifest(self.workdir.audit)  # Refuses other data.
    return label_issues.read(path, self.class_names, self.num_examples)

  @functools.cached_property
  def class_accuracies(self) -> dict[str, np.ndarray]:
    """'train' or a selection's name -> float64[num_runs, num_classes].

    The test accuracies by class; only of runs whose manifests have them.
    """
    stated = self._stated('class_accuracy')
    return {k: np.array([*v.values()], np.float64) for k, v in stated.items()}

  @functools.cached_property
  def extra_test_accuracies(self) -> dict[str, pd.DataFrame]:
    """'train' or a selection's name -> accuracies on further test splits.

    One row a run, by its number, and one column a split.
    """
    return {
      name: pd.DataFrame.from_dict(by_run, orient='index')
      for name, by_run in self._stated(tables.EXTRA_TEST_ACCURACY).items()
    }

  def _stated(self, key: str) -> dict[str, dict[int, Any]]:
    """'train' or a selection's name -> run -> what its manifest says."""
    found = {}
    for group in ['train', *(f'retrain/{name}' for name in self._retrained)]:
      by_run = {
        run: self._manifest(folder).get(key)
        for run, folder in reading.runs_in(self.workdir.root / group)
      }
      if some := {run: value for run, value in by_run.items() if value}:
        found[group.removeprefix('retrain/')] = some
    return found

  @property
  def _retrained(self) -> list[str]:
    return reading.folders_in(self.workdir.root / 'retrain')

  def _finished_runs(self, group: str) -> list[dict[str, Any]]:
    rows = []
    for run, folder in reading.runs_in(self.workdir.root / group):
      manifest = self._manifest(folder)
      if manifest:
        keys = ('num_examples', 'num_steps', 'test_accuracy')
        numbers = {'run': run, 'network': manifest.get('run', run)}
        rows.append(numbers | {key: manifest.get(key) for key in keys})
    return rows

  def _manifest(self, folder: epath.Path) -> dict[str, Any]:
    manifest = artifacts.read_manifest(folder) or {}
    expected = self.dataset.get('fingerprint')
    if manifest and expected:
      artifacts.check_fingerprint(manifest, expected, folder)
    return manifest

  def _check_step(self, step: int | None) -> int | None:
    if step is None:
      return self.steps[-1] if self.steps else None
    if step not in self.steps:
      raise DataDietError(
        f'step {step} was not scored in {self.workdir.root}; scored steps are '
        f'{self.steps or "none yet"}'
      )
    return step


def load_results(workdir: str | os.PathLike | artifacts.Workdir) -> Results:
  """Opens the results in a workdir, also of one that is not finished.

  Args:
    workdir: the folder, local or remote.

  Raises:
    DataDietError: if there is no such folder, it is no workdir, or it is on an
      object store that cannot be reached.
  """
  if not isinstance(workdir, artifacts.Workdir):
    workdir = artifacts.Workdir.at(workdir)
  storage.check_usable(workdir.root, 'workdir')
  if not workdir.root.exists():
    raise DataDietError(f'{workdir.root} does not exist: there are no results')
  if not workdir.config.exists() and not workdir.dataset.exists():
    raise DataDietError(
      f'{workdir.root} is no datadiet workdir: it has neither config.json nor '
      'dataset.json'
    )
  return Results(workdir)
