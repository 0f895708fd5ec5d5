"""CIFAR-10 with the small network, sized for a CPU.

python -m datadiet.main --config=configs/simple_cnn_cifar10.py --workdir=DIR

Cost: 54 minutes on two CPU cores, of which 50 for 2.1 million training images
and 4 for scoring; see docs/cifar10.md. Result to expect: full data 60 %,
half at random 58 %, half by EL2N 32 %: so short a training of so small a
network needs easy examples.
"""

from datadiet.configs import base


def get_config():
  """See the module."""
  config = base.get_config()
  config.model.name = 'simple_cnn'

  config.optimizer.learning_rate = 0.05
  config.optimizer.schedule = 'linear'
  config.train.num_runs = 3
  # Four epochs of 390 steps.
  config.train.num_steps = 1_560
  config.train.schedule_steps = 1_560
  config.train.log_every_steps = 130
  config.train.eval_every_steps = 390
  config.train.checkpoint_every_steps = 390

  # Untrained networks too: what GraNd and the others say of them is a control.
  config.score.steps = (0, 1_560)
  config.score.gradient_runs = 1
  config.score.names = (
    'el2n',
    'grand',
    'forgetting',
    'aum',
    'correctness',
    'mean_confidence',
    'variability',
    'loss',
    'input_norm',
  )
  config.select.baselines = ('random',)
  config.retrain.num_runs = 2
  config.retrain.num_steps = 1_170
  return config
