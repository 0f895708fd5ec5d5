"""The context that all stages share: the config, the workdir and the data.

What several stages need of them is read and computed once, here.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from datadiet.config import Config, flatten
from datadiet.data import Dataset
from datadiet.errors import DataDietError
from datadiet.feeding import order
from datadiet.feeding.placement import Placements
from datadiet.scoring import aggregate, registry
from datadiet.settings import to_values
from datadiet.stages import inputs, selections
from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.plan import TrainingPlan
from datadiet.workdir import artifacts, score_arrays
from datadiet.workdir.artifacts import Workdir

# The user's files, which do not depend on other settings.
_FILES = ('subset', 'score_file', 'embedding_file', 'own_embeddings')


@dataclasses.dataclass(frozen=True)
class Context:
  """The resolved config, the workdir, and the data.

  The user's files are read once a start, manifests and mean scores once a
  stage (see `forget`).

  Attributes:
    config: of `config.resolve`.
    workdir: where artifacts go.
    dataset: the data, loaded once.
    pretrained: what is stated of config.model.weights; None if there are none.
  """

  config: Config
  workdir: Workdir
  dataset: Dataset
  pretrained: dict[str, Any] | None = None

  @property
  def runs(self) -> range:
    """The numbers of the runs to be scored."""
    return range(self.config.train.num_runs)

  @property
  def num_examples(self) -> int:
    """N, the size of the train split."""
    return self.dataset.train.num_examples

  @functools.cached_property
  def placements(self) -> Placements:
    """The data on the devices, placed once for all stages."""
    return Placements(self.config.dataset.placement)

  @functools.cached_property
  def subset(self) -> np.ndarray | None:
    """int64[num_kept], the examples of train.subset_path; None for all.

    Raises:
      DataDietError: if they are no list of examples, or of other data.
    """
    return inputs.read_subset(self.config, self.dataset)

  @property
  def is_used(self) -> np.ndarray | None:
    """bool[N], whether `subset` has an example; None for all."""
    if self.subset is None:
      return None
    return np.isin(np.arange(self.num_examples), self.subset)

  @functools.cached_property
  def trained_on(self) -> np.ndarray | None:
    """bool[num_runs, N]: which run trains on which example; None if all do."""
    train = self.config.train
    if train.folds:
      labels = self.dataset.train.labels
      return order.fold_subsets(
        labels, train.num_runs, train.folds, seed=train.data_seed
      )
    if train.subset_fraction < 1.0:
      return order.held_out_subsets(
        self.num_examples,
        train.num_runs,
        train.subset_fraction,
        seed=train.data_seed,
      )
    if self.subset is None:
      return None
    inside = np.zeros((train.num_runs, self.num_examples), bool)
    inside[:, self.subset] = True
    return inside

  @property
  def held_out(self) -> np.ndarray | None:
    """`trained_on` where every example is in some runs only, or None."""
    return self.trained_on if self.config.train.leaves_out else None

  @functools.cached_property
  def num_gradient_runs(self) -> int:
    """How many runs, the first ones, get gradient scores.

    More than score.gradient_runs where these did not train on every example:
    some would have no score.
    """
    num_runs = self.config.train.num_runs
    asked_for = min(self.config.score.gradient_runs or num_runs, num_runs)
    if self.held_out is None:
      return asked_for
    seen = np.logical_or.accumulate(self.held_out).all(1)
    enough = int(seen.argmax()) + 1
    if asked_for < enough:
      logging.info(
        'Gradient scores of %d runs, not of %d: each run leaves examples out, '
        'and fewer did not train on every example',
        enough,
        asked_for,
      )
    return max(asked_for, enough)

  @property
  def steps_per_epoch(self) -> int:
    """Optimizer steps in one epoch of a run of the train stage."""
    return order.steps_per_epoch(
      self.num_trained_on, self.config.train.batch_size
    )

  @property
  def num_trained_on(self) -> int:
    """The examples that a run of the train stage trains on, the fewest."""
    train = self.config.train
    if self.subset is not None:
      return len(self.subset)
    if train.folds:
      return self.num_examples - -(-self.num_examples // train.folds)
    return int(self.num_examples * train.subset_fraction)

  @functools.cached_property
  def score_file(self) -> inputs.ScoreFile | None:
    """The scores of select.scores_path; None if there is no path.

    Raises:
      DataDietError: if they do not fit the data or the policies.
    """
    return inputs.read_score_file(self.config, self.dataset)

  @functools.cached_property
  def embedding_file(self) -> inputs.EmbeddingFile | None:
    """The embeddings of select.embeddings_path; None if there is no path.

    Raises:
      DataDietError: if they do not fit the data.
    """
    return inputs.read_embedding_file(self.config, self.dataset)

  @functools.cached_property
  def own_embeddings(self) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Of the section inspect: float32[N, d] and [M, d], None without a path.

    Raises:
      DataDietError: if they do not fit the data.
    """
    return inputs.read_inspected(self.config, self.dataset)

  @functools.cached_property
  def selections(self) -> tuple[selections.PlannedSelection, ...]:
    """All subsets that the config asks for, each once."""
    files = self.score_file, self.embedding_file
    names = [None if file is None else file.name for file in files]
    return selections.plan_selections(self.config, self.dataset, *names)

  def with_changes(self, **changes: Any) -> 'Context':
    """A context with other fields: open settings resolved, or weights known.

    The user's files that were read are kept: they do not depend on these.
    """
    changed = dataclasses.replace(self, **changes)
    for name in _FILES:
      if name in self.__dict__:
        changed.__dict__[name] = self.__dict__[name]
    return changed

  def provenance(self, step: int) -> dict:
    """What the manifests of scores state about data, networks and seeds."""
    config = self.config
    return {
      'fingerprint': self.dataset.fingerprint,
      'labels_fingerprint': self.dataset.labels_fingerprint,
      'num_examples': self.num_examples,
      'step': step,
      'model': None if config.train.imported else to_values(config.model),
      'pretrained': self.pretrained,
      'model_seed': config.train.model_seed,
      'data_seed': config.train.data_seed,
      'subset_fraction': config.train.subset_fraction,
      'folds': config.train.folds,
    }

  @functools.cached_property
  def _read(self) -> dict[str, Any]:
    return {}

  def forget(self) -> None:
    """Drops what was read from the workdir, before a stage that changes it."""
    self._read.clear()

  def once(self, path: Any, read: Callable[[], Any]) -> Any:
    """The value of `read` for a path, called once per stage."""
    if str(path) not in self._read:
      self._read[str(path)] = read()
    return self._read[str(path)]

  def manifest(self, folder: Any) -> dict[str, Any] | None:
    """A folder's manifest, checked; None if the folder was not completed.

    Raises:
      DataDietError: if it is damaged, or of other data.
    """
    manifest = self.once(folder, lambda: artifacts.read_manifest(folder))
    if manifest is not None:
      fingerprint = self.dataset.fingerprint
      artifacts.check_fingerprint(manifest, fingerprint, folder)
    return manifest

  def is_complete(self, folder: Any, **expected: Any) -> bool:
    """As `artifacts.is_complete`, for an artifact of this data."""
    manifest = self.manifest(folder)
    return manifest is not None and artifacts.agrees(manifest, expected)

  def write_manifest(self, folder: Any, content: dict[str, Any]) -> None:
    """Declares a folder complete, as `artifacts.write_manifest`."""
    artifacts.write_manifest(folder, content)
    # As it would be read back.
    self._read[str(folder)] = json.loads(json.dumps(content))

  def run_array(self, run: int, step: int, name: str) -> np.ndarray:
    """An array of one network's folder of scores, by name; [N, ...].

    Raises:
      DataDietError: if it is missing, damaged or of the wrong length.
    """
    return self._array(self.workdir.scores(run, step), name)

  def mean_score(self, name: str, step: int) -> np.ndarray:
    """A mean score, float32[N], checked against the data.

    Raises:
      DataDietError: if it is missing, of other data, of the wrong length or not
        finite.
    """
    folder = self.workdir.scores(None, step)
    manifest = self.manifest(folder)
    if manifest is None or name not in manifest['scores']:
      if why := (manifest or {}).get('left_out', {}).get(name):
        raise DataDietError(f'{folder}: {why}')
      raise DataDietError(
        f'{folder} has no finished {name}; run the score stage first '
        '(--stages=train,score)'
      )
    path = folder / f'{name}.npy'
    scores = self.once(path, lambda: self._array(folder, name))
    aggregate.check_finite(scores, name=name, where=str(path))
    return scores

  def _array(self, folder: Any, name: str) -> np.ndarray:
    """An array of a folder of scores, checked against the folder's manifest."""
    manifest = self.manifest(folder)
    return score_arrays.read(folder, name, self.num_examples, manifest)


def training_plan(
  config: Config,
  num_steps: int,
  keep_steps: tuple[int, ...] = (),
  *,
  profile_steps: tuple[int, ...] = (),
) -> TrainingPlan:
  """The plan of a training, from the config.

  Args:
    config: of `config.resolve`.
    num_steps: optimizer steps.
    keep_steps: steps whose networks are kept.
    profile_steps: as `config.train.profile_steps`, which does not count here.
  """
  return TrainingPlan(
    config.model,
    config.optimizer,
    dataclasses.replace(config.train, profile_steps=profile_steps),
    num_steps,
    keep_steps,
    placement=config.dataset.placement,
    dynamics=_dynamics_settings(config),
    hparams={
      # TensorBoard has no lists; a column a setting, not one an item.
      name: value if isinstance(value, bool | int | float) else str(value)
      for name, value in flatten(config)
    },
  )


def _dynamics_settings(config: Config) -> DynamicsSettings:
  """Records only what the scores asked for need: windows take memory."""
  names = config.score.names
  needs_window = registry.needing(names, registry.WINDOWS)
  return DynamicsSettings(
    window=config.train.dynamics_window if needs_window else 0,
    recorders=registry.recorders_for(names),
    needed_by=registry.recorded_for(names),
  )
