"""A finished workdir of digits, made tiny and once, and copies of it."""

import shutil

import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.data import load_dataset
from datadiet.stages.context import Context
from datadiet.workdir.artifacts import Workdir
from tests import running

ALL_STAGES = ['train', 'score', 'select', 'retrain']


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """The context of a finished workdir, which tests must not change."""
  config = running.tiny_config()
  workdir = tmp_path_factory.mktemp('finished') / 'workdir'
  main.run(config, str(workdir), ALL_STAGES)
  return _context(config, workdir)


@pytest.fixture
def own(finished, tmp_path):
  """The context of a copy of the finished workdir, to be changed."""
  workdir = tmp_path / 'workdir'
  shutil.copytree(finished.workdir.root, workdir)
  return _context(running.tiny_config(), workdir)


def _context(config, workdir) -> Context:
  resolved = config_lib.resolve(config)
  return Context(resolved, Workdir.at(workdir), load_dataset(resolved.dataset))
