"""Fourteen methods side by side in a size for two cores, on CIFAR-10.

python -m datadiet.main --config=configs/method_grid_small.py --workdir=DIR

As `method_grid`, with a network of width 16, scores of four epochs and short
retrainings of always 585 steps: what it compares is how methods fare where
training is short. Its table is in docs/which_method.md.

Cost: 183 retrainings of 75,000 images took 1 h 43 min on two cores with other
work beside it, two at a time by
XLA_FLAGS=--xla_force_host_platform_device_count=2; scoring and selecting before
it, half an hour. Result: all the data give 46.7 %, a tenth at random 46.5 %,
the hardest tenth by EL2N 12.2 %.
"""

from datadiet.configs import method_grid

METHODS = (
  'keep_max:el2n',
  'keep_max:forgetting',
  'top_window:el2n',
  'ccs:aum',
  'd2:forgetting',
  'moderate',
  'herding',
  'k_center',
  'facility_location',
  'craig',
  'grad_match',
  'zcore',
  'rs2',
  'orderdp',
)
# Four epochs.
NUM_STEPS = 1_560


def get_config():
  """See the module."""
  config = method_grid.get_config()
  config.model.width = 16
  config.train.num_steps = NUM_STEPS
  config.train.schedule_steps = NUM_STEPS
  config.score.steps = (NUM_STEPS,)
  config.score.names = ('el2n', 'forgetting', 'aum', 'mean_confidence')
  config.sweep.select.policies = tuple((method,) for method in METHODS)
  config.select.fractions = (0.7, 0.5, 0.3, 0.1)
  config.retrain.num_steps = 585
  return config
