"""Your own images: what to drop, what to relabel, what to look at.

python -m datadiet.main --config=configs/image_folder.py --workdir=DIR \\
  --config.dataset.data_dir=photos

photos/ has a folder per class, or train/ and test/ with one each
(docs/data.md).
Images are resized to 64 x 64; the network is the small one, which a CPU trains
in minutes for a few thousand images: at 64 x 64 about a quarter of its 780
images/s at 32 x 32 on two cores. Take --config.model.name=resnet18_lowres on an
accelerator. Photographs larger than 64 pixels are better fine-tuned from a
pretrained network: configs/finetune_image_folder.py. Result to expect: a
report, and the scores in scores/scores.csv.
"""

from datadiet.configs import base


def get_config():
  """See the module."""
  config = base.get_config()
  config.dataset.name = 'image_folder'
  config.dataset.image_size = 64
  config.model.name = 'simple_cnn'
  config.optimizer.learning_rate = 0.05
  config.optimizer.schedule = 'cosine'
  # Each run leaves out a third, so that scores and the audit are by networks
  # that did not train on the example.
  config.train.num_runs = config.train.folds = 3
  config.train.num_epochs = 10
  config.train.schedule_steps = 0
  config.train.batch_size = 32
  config.train.eval_batch_size = 256
  config.train.log_every_steps = 50
  config.train.eval_every_steps = 200
  config.train.checkpoint_every_steps = 200
  config.score.names = (
    'el2n',
    'grand',
    'aum',
    'forgetting',
    'mean_confidence',
    'variability',
    'correctness',
    'loss',
  )
  config.score.gradient_runs = 1
  # The hardest alone are a bad half of a small or noisy set.
  config.select.policies = ('keep_max', 'ccs')
  config.retrain.num_runs = 2
  return config
