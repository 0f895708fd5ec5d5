"""For TensorBoard and what reads its files, such as Weights & Biases."""

from pathlib import Path

import numpy as np
from absl import logging

from datadiet.exporting.files import pil_image
from datadiet.exporting.subset import Subset
from datadiet.runtime import extras

# More images under one tag than these are nothing to look at.
MAX_IMAGES_A_CLASS = 50


def write_tensorboard(subset: Subset, folder: Path, final: Path) -> None:
  """Writes the first kept images of each class as one tag, in order.

  Raises:
    MissingLibraryError: if CLU's writer or TensorFlow is not installed.
  """
  del final
  extras.quiet_tensorflow()
  try:
    from clu.metric_writers import SummaryWriter
  except ImportError as error:
    raise extras.missing_library(
      'the format tensorboard', 'clu', 'tensorflow'
    ) from error
  train = subset.dataset.train
  pil_image(train.images[0])  # Refuses what cannot be shown.
  writer = SummaryWriter(str(folder))
  labels = train.labels[subset.example_index]
  step = subset.results.selections[subset.name].step or 0
  left_out = 0
  for label, class_name in enumerate(subset.dataset.class_names):
    members = subset.example_index[labels == label]
    shown = members[:MAX_IMAGES_A_CLASS]
    left_out += len(members) - len(shown)
    if len(shown):
      images = np.asarray(train.images[shown])
      writer.write_images(step, {f'{subset.name}/{class_name}': images})
  writer.close()
  if left_out:
    logging.info(
      'The first %d images of each class are there, %d are left out',
      MAX_IMAGES_A_CLASS,
      left_out,
    )
