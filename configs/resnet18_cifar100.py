"""The paper's protocol on CIFAR-100 with ResNet-18: ten runs, epoch 20.

python -m datadiet.main --config=configs/resnet18_cifar100.py --workdir=DIR

--config.dataset.label_key=coarse_label takes the 20 superclasses. Cost: that of
configs/resnet18_cifar10.py, which has as many images. Result to expect: not
measured.
"""

from datadiet.configs import resnet18_cifar10


def get_config():
  """See the module."""
  config = resnet18_cifar10.get_config()
  config.dataset.name = 'cifar100'
  return config
