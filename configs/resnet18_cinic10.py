"""The paper's protocol on CINIC-10 with ResNet-18: ten runs, epoch 20.

python -m datadiet.main --config=configs/resnet18_cinic10.py --workdir=DIR \\
  --config.dataset.data_dir=DATA

DATA holds the official CINIC-10.tar.gz or its extracted folder (docs/data.md).
Epochs are those of CIFAR-10; with 180,000 images each has 1,406 steps. Cost:
3.6 times that of configs/resnet18_cifar10.py. Result to expect: not measured.
"""

from datadiet.configs import resnet18_cifar10

STEPS_PER_EPOCH = 180_000 // 128


def on_cinic10(config):
  """The config of a CIFAR-10 experiment, with the epochs of CINIC-10."""
  config.dataset.name = 'cinic10'
  config.train.num_steps = 20 * STEPS_PER_EPOCH
  config.train.schedule_steps = 200 * STEPS_PER_EPOCH
  config.train.eval_every_steps = 5 * STEPS_PER_EPOCH
  config.train.checkpoint_every_steps = 5 * STEPS_PER_EPOCH
  return config


def get_config():
  """See the module."""
  return on_cinic10(resnet18_cifar10.get_config())
