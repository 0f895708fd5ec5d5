"""The five best methods of `method_grid_small` with a ResNet-18 of width 16.

python -m datadiet.main --config=configs/method_grid_w16.py --workdir=DIR

Best by their mean accuracy over the four fractions. As there: CIFAR-10, scores
of three networks of four epochs, features of the first of them, retrainings of
always 585 steps. Beside them the hardest examples by EL2N, which the small
network could not learn in so many steps.

Cost: 45 retrainings of 75,000 images (36 of the methods, 6 of random draws, 3
of all the data) took 2 h 6 min on two cores with other work beside it, two at a
time by XLA_FLAGS=--xla_force_host_platform_device_count=2; three networks of
four epochs, scores and selecting before it, 41 min. Result: all the data give
60.9 %, a tenth at random 61.2 %, the hardest tenth by EL2N 22.2 %.
"""

from datadiet.configs import method_grid_small

METHODS = (
  'zcore',
  'ccs:aum',
  'rs2',
  'herding',
  'moderate',
  'keep_max:el2n',
)


def get_config():
  """See the module."""
  config = method_grid_small.get_config()
  config.model.name = 'resnet18_lowres'
  config.model.width = 16
  config.score.names = ('el2n', 'aum')
  config.sweep.select.policies = tuple((method,) for method in METHODS)
  config.select.fractions = (0.5, 0.1)
  return config
