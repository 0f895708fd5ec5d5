"""Runs the README's example and looks at its commands."""

import re

import jax
import numpy as np
import pytest

import datadiet
from datadiet.config import FIELDS
from datadiet.models import make_model
from datadiet.runtime import extras
from tests import running

README = (running.REPOSITORY / 'README.md').read_text()


def test_the_example_in_python_runs():
  (example,) = re.findall(r'```python\n(.*?)```', README, re.S)
  model = make_model('simple_cnn', num_classes=10, width=2)
  images = np.random.default_rng(0).normal(size=(12, 8, 8, 3))
  images = images.astype(np.float32)
  names = {
    'model': model,
    'variables': model.init(jax.random.key(0), images[:1]),
    'images': images,
    'labels': np.arange(12) % 10,
  }
  exec(example, names)
  assert set(names['scores']) >= {'el2n', 'grand'}
  assert names['scores']['grand'].shape == (12,)
  assert names['datadiet'] is datadiet


@pytest.mark.parametrize('extra', sorted({*extras.EXTRA_OF.values()}))
def test_every_extra_is_named(extra):
  (install,) = re.findall(r'## Install\n(.*?)\n## ', README, re.S)
  assert re.search(rf'[`,\[]{extra}[`,\]]', install)


@pytest.mark.parametrize(
  'name', sorted(set(re.findall(r'--config\.([a-z_.]+)=', README)))
)
def test_every_setting_it_names_exists(name):
  assert name.removeprefix('sweep.') in FIELDS


@pytest.mark.parametrize(
  'path', sorted(set(re.findall(r'\]\(((?!http)[^)#]+)', README)))
)
def test_every_file_it_links_to_exists(path):
  assert (running.REPOSITORY / path).exists()
