"""Opens pretrained weights: checks them, and normalises images as they were."""

import dataclasses

import numpy as np

from datadiet.data import Dataset
from datadiet.data.settings import NORMALISATIONS
from datadiet.errors import ConfigError
from datadiet.models.settings import make_network
from datadiet.models.weights import load_weights, tell
from datadiet.stages.context import Context
from datadiet.stages.due import network_shapes
from datadiet.workdir import artifacts


def open_weights(context: Context) -> Context:
  """The context with what is known of config.model.weights.

  Its data is normalised as config.dataset.normalise says. Arrays are dropped:
  each training reads them again.

  Raises:
    ConfigError: if the weights are of another network, not those that the
      workdir was begun with, or the images have other channels.
    DataDietError: if the file is damaged or refused.
  """
  config, dataset = context.config, context.dataset
  path, normalise = config.model.weights, config.dataset.normalise
  statement = None
  if path:
    pretrained = load_weights(
      path,
      make_network(config.model, dataset.num_classes),
      network_shapes(context),
      dataset.input_shape,
    )
    statement = pretrained.statement()
    _check_same(context, statement)
    tell(pretrained, path, dataset.num_classes)
    if normalise == 'auto':
      normalise = pretrained.normalisation
  if normalise in NORMALISATIONS:
    dataset = _normalised(dataset, normalise)
  return context.with_changes(dataset=dataset, pretrained=statement)


def _normalised(dataset: Dataset, name: str) -> Dataset:
  mean, std = (np.array(part, np.float32) for part in NORMALISATIONS[name])
  channels = dataset.image_shape[2]
  if channels != len(mean):
    raise ConfigError(
      f'config.dataset.normalise: {name!r} is of {len(mean)} channels, and '
      f"images have {channels}; allowed: 'data'"
    )
  return dataclasses.replace(dataset, mean=mean, std=std)


def _check_same(context: Context, statement: dict) -> None:
  """Refuses another file under the same name."""
  path = context.workdir.config
  before = artifacts.read_json(path) if path.exists() else {}
  before = before.get('pretrained')
  if before and before['sha256'] != statement['sha256']:
    raise ConfigError(
      f'config.model.weights: {context.config.model.weights} has changed since '
      f'{context.workdir.root} was made (sha256 there {before["sha256"][:16]}, '
      f'here {statement["sha256"][:16]}); use another --workdir'
    )
