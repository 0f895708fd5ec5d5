"""The programs of a narrow ResNet-18, for machines that are not there."""

import re

from datadiet import config as config_lib
from datadiet.configs import resnet18_cifar10
from datadiet.forecast import machines, programs
from datadiet.stages.opening import choose_dtypes

CIFAR10 = programs.shape_of('cifar10', ())
PIXELS = 50_000 * 32 * 32 * 3
NUM_PARAMS = 175_258


def narrow_programs(machine, num_runs, **changes):
  """name -> the program, of a narrow ResNet-18."""
  config = resnet18_cifar10.get_config()
  config.model.width = 8
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
