"""Metrics of a wave's runs: from the devices to the runs' histories."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from datadiet.errors import DataDietError
from datadiet.feeding.order import steps_per_epoch
from datadiet.runtime import mesh as mesh_lib
from datadiet.training.history import History, report_progress
from datadiet.training.jobs import Job
from datadiet.workdir.tables import EXTRA_TEST_ACCURACY, extra_test_column


@dataclasses.dataclass
class _Pending:
  """A row of the history whose values may still be on the device."""

  step: int
  meters: Any
  evaluation: dict[str, jax.Array] | None


def _shares(correct: np.ndarray, count: np.ndarray) -> list[float | None]:
  pairs = zip(correct.tolist(), count.tolist(), strict=True)
  return [right / num if num else None for right, num in pairs]


class WaveMetrics:
  """The histories of the runs of a wave that this process saves."""

  def __init__(
    self,
    jobs: Mapping[int, Job],
    *,
    first_step: int,
    batch_size: int,
    learning_rate: Callable[[int], float],
    hparams: Mapping[str, Any] | None = None,
    extra_tests: Sequence[str] = (),
  ):
    """Opens the histories.

    Args:
      jobs: by slot.
      first_step: the step the wave resumes from; later rows are dropped.
      batch_size: examples a step.
      learning_rate: of an optimizer step.
      hparams: settings by name, for TensorBoard.
      extra_tests: the names of further test splits.
    """
    self._extra_tests = extra_tests
    self._jobs = dict(jobs)
    self._histories = {
      slot: History(
        job.folder,
        first_step,
        name=job.name,
        hparams=hparams,
        extra_tests=extra_tests,
      )
      for slot, job in jobs.items()
    }
    self._report_progress: Callable[[int], Any] | None = None
    self._batch_size = batch_size
    self._learning_rate = learning_rate
    self._pending: list[_Pending] = []
    self._by_class: dict[int, list[float | None]] = {}

  def add(
    self, step: int, meters: Any, evaluation: dict[str, jax.Array] | None
  ) -> None:
    """Adds a row; its values are fetched later, so that nothing waits."""
    if self._report_progress is not None:
      self._report_progress(step)
    self._pending.append(_Pending(step, meters, evaluation))

  def flush(self) -> None:
    """Fetches the values of waiting rows and adds them to the histories.

    Raises:
      DataDietError: for a loss that is not finite.
    """
    for row in self._pending:
      self.check_finite(row.meters)
      self._open_events()
      for slot, history in self._histories.items():
        evaluation = None
        if row.evaluation is not None:
          evaluation = mesh_lib.slot_to_host(row.evaluation, slot)
        meters = mesh_lib.slot_to_host(row.meters, slot)
        history.add(self._row(slot, row.step, meters, evaluation))
    self._pending.clear()

  def _open_events(self) -> None:
    """Opens log lines and event files, once the first steps have run."""
    for history in self._histories.values():
      history.open_events()
    if self._report_progress is None:
      clocks = [history.clock for history in self._histories.values()]
      self._report_progress = report_progress(clocks)

  def _row(self, slot, step, meters, evaluation) -> dict[str, Any]:
    per_epoch = steps_per_epoch(self._jobs[slot].num_kept, self._batch_size)
    row = {
      'step': step,
      'epoch': step / per_epoch,
      'learning_rate': self._learning_rate(step - 1),
    }
    if meters.count:
      row['train_loss'] = float(meters.loss) / int(meters.count)
      row['train_accuracy'] = int(meters.correct) / int(meters.count)
    if evaluation is not None:
      correct, count = evaluation['correct'], evaluation['count']
      row['test_loss'] = float(evaluation['loss']) / int(count.sum())
      row['test_accuracy'] = int(correct.sum()) / int(count.sum())
      self._by_class[slot] = _shares(correct, count)
      for name, sums in evaluation.get('extra', {}).items():
        share = int(sums['correct'].sum()) / int(sums['count'].sum())
        row[extra_test_column(name)] = share
    return row

  def note_classes(self, evaluation: dict[str, jax.Array]) -> None:
    """Stores the accuracies by class of an evaluation, without a new row."""
    for slot in self._histories:
      own = mesh_lib.slot_to_host(evaluation, slot)
      self._by_class[slot] = _shares(own['correct'], own['count'])

  def class_accuracy(self, slot: int) -> list[float | None]:
    """The newest test accuracy of each class; None for one without images."""
    return self._by_class[slot]

  def extra_accuracies(self, slot: int) -> dict[str, dict[str, float | None]]:
    """The newest accuracies on further test splits, for the manifest."""
    if not self._extra_tests:
      return {}
    latest = self.latest(slot)
    return {
      EXTRA_TEST_ACCURACY: {
        name: latest.get(extra_test_column(name)) for name in self._extra_tests
      }
    }

  def check_finite(self, meters: Any) -> None:
    """Raises if a loss was not finite.

    Raises:
      DataDietError: names the run and the step.
    """
    for slot, job in self._jobs.items():
      step = int(mesh_lib.slot_to_host(meters.nonfinite_step, slot))
      if step >= 0:
        raise DataDietError(
          f'{job.name}: the loss is not finite from step {step} on; lower '
          'config.optimizer.learning_rate or check the data (earlier '
          'checkpoints are untouched)'
        )

  def latest(self, slot: int) -> dict[str, float]:
    """The newest value of each column of a run's history."""
    return self._histories[slot].table.latest

  def write(self, slot: int) -> None:
    """Writes the history.csv of a run."""
    self._histories[slot].write()

  def close(self) -> None:
    """Writes and closes the histories."""
    for history in self._histories.values():
      history.close()

  def accuracy_note(self) -> str:
    """The mean test accuracy in words; '' before the first evaluation."""
    accuracies = [
      history.table.latest['test_accuracy']
      for history in self._histories.values()
      if 'test_accuracy' in history.table.latest
    ]
    if not accuracies:
      return ''
    return f'test accuracy {100 * np.mean(accuracies):.2f} %'
