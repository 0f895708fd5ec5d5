"""The paper's protocol with ResNet-50: CIFAR-10, ten runs, epoch 20.

python -m datadiet.main --config=configs/resnet50_cifar10.py --workdir=DIR

Cost: as many images as with ResNet-18, each about three times the work; not
measured on an accelerator yet. Result to expect: not measured.
"""

from datadiet.configs import base


def get_config():
  """See the module."""
  config = base.get_config()
  config.model.name = 'resnet50_lowres'
  return config
