"""31 methods side by side in minutes: digits, the small network.

XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
  python -m datadiet.main --config=configs/method_grid_digits.py --workdir=DIR

As `method_grid`, on scikit-learn's 1,437 digits: every training has 660 steps,
five of each subset, eight at a time on eight virtual devices. el2n and grand
are of step 220, as in `cnn_digits`: a trained network is unsure of few digits.
Its table is in docs/which_method.md.

Cost: 11 minutes on two cores, three networks and 465 retrainings. Result: all
the data give 98.5 %, a tenth at random 93.3 %, the hardest tenth by EL2N
45.5 %.
"""

from datadiet.configs import cnn_digits, method_grid

EARLY = 220
METHODS = tuple(
  f'{method}@{EARLY}' if method.endswith((':el2n', ':grand')) else method
  for method in method_grid.METHODS
)


def get_config():
  """See the module."""
  config = cnn_digits.get_config()
  grid = method_grid.get_config()
  config.score.names = grid.score.names
  config.score.steps = (EARLY, config.train.num_steps)
  config.sweep = grid.sweep
  config.sweep.select.policies = tuple((method,) for method in METHODS)
  config.select.fractions = (0.5, 0.2, 0.1)
  config.select.baselines = grid.select.baselines
  config.retrain.num_runs = 5
  config.retrain.num_steps = config.train.num_steps
  return config
