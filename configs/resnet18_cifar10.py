"""The paper's protocol: CIFAR-10, ResNet-18, ten runs scored at epoch 20.

python -m datadiet.main --config=configs/resnet18_cifar10.py --workdir=DIR

Cost: scoring trains 10 million images (10 runs of 7,800 steps of 128), each
retraining another 10 million. Two CPU cores train 25 to 45 images/s, so there
scoring takes days: use an accelerator (not measured on one yet), or try all
stages with --config.model.width=4 and few steps.

Result to expect, from a public re-run of the paper's experiments, best test
accuracy: half the data kept by EL2N 95.3 %, by GraNd 95.2 %, at random 93.7 %;
90 % at random 95.0 %.
"""

from datadiet.configs import base


def get_config():
  """See the module."""
  config = base.get_config()
  config.select.scores = ('el2n', 'grand')
  return config
