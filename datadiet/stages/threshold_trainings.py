"""Trainings with an extra class of examples that are mislabelled on purpose."""

import dataclasses

import numpy as np
from absl import logging

from datadiet import audit
from datadiet.data import Dataset
from datadiet.feeding.epochs import AllExamples
from datadiet.runtime.mesh import make_run_mesh
from datadiet.runtime.randomness import THRESHOLD_SAMPLE_STREAM, generator
from datadiet.stages.context import Context, training_plan
from datadiet.training.history import read_history
from datadiet.training.jobs import Job
from datadiet.training.loop import train_jobs
from datadiet.workdir import artifacts

GROUP = 'audit'
# With fewer epochs, wrong labels and threshold samples cannot yet be told from
# hard examples (measured: docs/audit.md).
_ENOUGH_EPOCHS = 10
# Nor where the networks do not fit their training labels: threshold samples are
# only about a tenth of these, so a network of lower accuracy may have fitted
# none of them.
_ENOUGH_ACCURACY = 0.6


def draw(context: Context) -> np.ndarray:
  """Draws the examples mislabelled in each training, bool[NUM_DRAWS, N]."""
  config, dataset = context.config, context.dataset
  return audit.draw_threshold_samples(
    dataset.train.num_examples,
    dataset.num_classes,
    generator(config.train.data_seed, 0, THRESHOLD_SAMPLE_STREAM),
  )


def too_few_epochs(context: Context) -> str | None:
  """A warning if training is too short for threshold samples, or None."""
  config = context.config
  num_visited = config.train.num_steps * config.train.batch_size
  num_epochs = num_visited / context.num_examples
  if num_epochs >= _ENOUGH_EPOCHS:
    return None
  return (
    f'Threshold samples need {_ENOUGH_EPOCHS} epochs or more; after '
    f'{num_epochs:.1f} of them, far too many labels would be declared wrong'
  )


def too_little_fitted(context: Context) -> str | None:
  """A warning if the finished trainings did not fit their labels, or None."""
  accuracies = [
    float(
      read_history(context.workdir.run(GROUP, number))[-1]['train_accuracy']
    )
    for number in range(audit.NUM_DRAWS)
  ]
  if min(accuracies) >= _ENOUGH_ACCURACY:
    return None
  return (
    'Threshold samples need networks that fit their labels; these are right '
    f'for {100 * min(accuracies):.0f} % of them, so far too many labels would '
    'be declared wrong'
  )


def train(context: Context) -> None:
  """Trains one run per draw, for as many steps as the networks that score.

  Raises:
    Preempted: if the process was asked to stop; everything is saved.
  """
  config, dataset = context.config, context.dataset
  if warning := too_few_epochs(context):
    logging.warning('%s', warning)
  for number, samples in enumerate(draw(context)):
    # Run numbers of their own, so that no scoring network is trained again.
    run = config.train.num_runs + number
    everything = np.arange(dataset.train.num_examples)
    job = Job(
      name=f'{GROUP}/{artifacts.run_name(number)}',
      folder=context.workdir.run(GROUP, number),
      run=run,
      epochs=AllExamples(everything, seed=config.train.data_seed, run=run),
    )
    train_jobs(
      [job],
      with_extra_class(dataset, samples),
      dataclasses.replace(
        training_plan(config, config.train.num_steps),
        pretrained=context.pretrained,
      ),
      make_run_mesh(1, config.train.batch_size),
      name=f'training with threshold samples {number + 1},',
      placements=context.placements,
    )


def with_extra_class(dataset: Dataset, samples: np.ndarray) -> Dataset:
  """The data with an extra class, which is the label of the bool[N] samples."""
  train = dataset.train
  labels = np.where(samples, np.int32(dataset.num_classes), train.labels)
  original = dataset.original_labels
  return dataclasses.replace(
    dataset,
    train=dataclasses.replace(train, labels=labels),
    class_names=(*dataset.class_names, 'threshold samples'),
    original_labels=train.labels if original is None else original,
  )


def read_margins(context: Context) -> np.ndarray:
  """The AUM of each training, float32[NUM_DRAWS, N]; NaN if never seen."""
  step = context.config.train.num_steps
  margins = []
  for number in range(audit.NUM_DRAWS):
    folder = context.workdir.run(GROUP, number)
    dynamics = artifacts.read_npz(artifacts.dynamics_file(folder, step))
    seen = dynamics['visits'] > 0
    margins.append(np.where(seen, dynamics['margin_mean'], np.float32(np.nan)))
  return np.stack(margins)
