"""The programs of a narrow network, for machines that are not there.

Of ResNet-18; of the small CNN, whose programs compile in a tenth of the time,
where DATADIET_NARROW_NETWORK says so: `make test-accelerators-short`.
"""

import math
import os
import re

import jax

from datadiet import config as config_lib
from datadiet.configs import resnet18_cifar10
from datadiet.forecast import machines, programs
from datadiet.models import make_model
from datadiet.stages.opening import choose_dtypes
from datadiet.training.state import variable_shapes

CIFAR10 = programs.shape_of('cifar10', ())
PIXELS = 50_000 * 32 * 32 * 3
NETWORK = os.environ.get('DATADIET_NARROW_NETWORK', 'resnet18_lowres')
# Of 8 channels. Network -> at most so many kernels of a train step on a GPU.
MOST_KERNELS = {'resnet18_lowres': 260, 'simple_cnn': 100}
NUM_PARAMS = sum(
  math.prod(leaf.shape)
  for leaf in jax.tree.leaves(
    variable_shapes(make_model(NETWORK, num_classes=10, width=8), (32, 32, 3))[
      'params'
    ]
  )
)


def narrow_programs(machine, num_runs, **changes):
  """name -> the program, of a narrow network."""
  config = resnet18_cifar10.get_config()
  config.model.name, config.model.width = NETWORK, 8
  config.train.num_runs = num_runs
  config.score.names = config.select.scores = ('el2n', 'grand')
  for name, value in changes.items():
    section, field = name.split('__')
    config[section][field] = value
  config_lib.check(config)
  devices = machines.open_machine(machine).devices
  resolved = choose_dtypes(config_lib.resolve(config), None, devices)
  return {
    _name(program): program
    for program in programs.programs(resolved, CIFAR10, devices)
  }


def _name(program):
  """'train', 'evaluate', 'score' or 'grand'."""
  if program.name.startswith('score grand'):
    return 'grand'
  return re.split('[, ]', program.name)[0]
