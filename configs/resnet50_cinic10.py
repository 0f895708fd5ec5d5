"""The paper's protocol on CINIC-10 with ResNet-50: ten runs, epoch 20.

python -m datadiet.main --config=configs/resnet50_cinic10.py --workdir=DIR \\
  --config.dataset.data_dir=DATA

DATA holds the official CINIC-10.tar.gz or its extracted folder (docs/data.md).
Epochs are those of CIFAR-10; with 180,000 images each has 1,406 steps. Cost:
3.6 times that of configs/resnet50_cifar10.py. Result to expect: not measured.
"""

from datadiet.configs import resnet18_cinic10, resnet50_cifar10


def get_config():
  """See the module."""
  return resnet18_cinic10.on_cinic10(resnet50_cifar10.get_config())
