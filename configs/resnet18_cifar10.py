"""The paper's protocol: CIFAR-10, ResNet-18, ten runs scored at epoch 20.

python -m datadiet.main --config=configs/resnet18_cifar10.py --workdir=DIR
"""

from configs import base


def get_config():
  """See the module."""
  config = base.get_config()
  config.select.scores = ('el2n', 'grand')
  return config
