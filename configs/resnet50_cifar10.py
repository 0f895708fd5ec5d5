"""The paper's protocol with ResNet-50: CIFAR-10, ten runs, epoch 20.

python -m datadiet.main --config=configs/resnet50_cifar10.py --workdir=DIR
"""

from configs import base


def get_config():
  """See the module."""
  config = base.get_config()
  config.model.name = 'resnet50_lowres'
  return config
