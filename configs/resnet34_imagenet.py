"""ImageNet, ResNet-34: the protocol of the pruning papers (CCS, DUAL).

pip install 'datadiet[photographs]'
python -m datadiet.main --config=configs/resnet34_imagenet.py --workdir=DIR \\
  --config.dataset.data_dir=imagenet

As in the code of Zheng et al. 2023 (arXiv 2210.15809) and Cho et al. 2025
(arXiv 2502.06905): batches of 256, SGD without Nesterov at 0.1, cosine decay,
weight decay 1e-4, one run of 60 epochs whose dynamics score, subsets trained
for 300,000 steps. Their cosine ends at 1e-4, ours at 0. DUAL samples by a Beta
density; CCS cuts off the hardest, here a tenth.

Cost: 300,000 steps to score and as many for each subset, 77 million images
each; on which machine that takes how long: --compile_for=v5e:4x4. It was not
run. Result to expect, published: a tenth kept by DUAL with its Beta sampling
60 %.
"""

from datadiet.configs import resnet50_imagenet


def get_config():
  """See the module."""
  config = resnet50_imagenet.get_config()
  config.model.name = 'resnet34'
  config.optimizer.schedule = 'cosine'
  config.optimizer.warmup_fraction = 0.0
  config.train.num_runs = 1
  config.train.num_steps = 60 * resnet50_imagenet.STEPS_PER_EPOCH
  config.train.schedule_steps = 60 * resnet50_imagenet.STEPS_PER_EPOCH
  config.train.dynamics_window = 10
  config.score.names = (
    'el2n',
    'aum',
    'forgetting',
    'dual',
    'dyn_unc',
    'tdds',
    'mean_confidence',
  )
  config.score.steps = (60 * resnet50_imagenet.STEPS_PER_EPOCH,)
  config.select.scores = ('dual',)
  config.select.policies = ('beta', 'ccs')
  config.select.fractions = (0.3, 0.2, 0.1)
  config.retrain.num_steps = 60 * resnet50_imagenet.STEPS_PER_EPOCH
  return config
