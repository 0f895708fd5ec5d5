"""A workdir to be reviewed: some labels are wrong; it is scored and audited."""

import dataclasses

import numpy as np
import pytest

from datadiet.results import load_results
from datadiet.reviewing.decisions import Reviewed
from datadiet.workdir import artifacts
from tests.results import synthetic


@pytest.fixture(scope='session')
def dataset():
  """Noise images of three classes; some labels are wrong."""
  clean = synthetic.make_images(class_names=('cat', 'dog', 'bird, small'))
  original = clean.train.labels
  labels = original.copy()
  labels[::10] = (labels[::10] + 1) % 3
  train = dataclasses.replace(clean.train, labels=labels.astype(np.int32))
  return dataclasses.replace(clean, train=train, original_labels=original)


@pytest.fixture
def workdir(tmp_path, dataset):
  """A finished workdir of `dataset`, with an audit."""
  made = synthetic.make_workdir(tmp_path / 'workdir', dataset)
  synthetic.write_audit(made, dataset)
  config = artifacts.read_json(made.config)
  config['config']['dataset'] = {'label_noise': {'fraction': 0.1}}
  artifacts.write_json(made.config, config)
  return made


@pytest.fixture
def reviewed(workdir):
  """The examples of `workdir`."""
  return Reviewed.of(load_results(workdir))
