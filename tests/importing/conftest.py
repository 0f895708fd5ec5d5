"""What the tests of imports share."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from tests import running
from tests.importing.made_up import NUM_EPOCHS


@pytest.fixture(scope='session')
def recorded():
  """Labels, ids, and logits of a made-up training: float64[epochs, N, C]."""
  dataset = load_dataset(running.tiny_config().dataset)
  labels = dataset.train.labels
  rng = np.random.default_rng(0)
  difficulty = rng.uniform(size=len(labels))
  logits = rng.normal(size=(NUM_EPOCHS, len(labels), 10))
  growth = np.linspace(0, 6, NUM_EPOCHS)[:, None] * (1.2 - difficulty)
  logits[:, np.arange(len(labels)), labels] += growth
  return labels, dataset.train.ids, logits
