"""A Vision Transformer, fine-tuned whole on a folder of photographs.

python -m datadiet.main --config=configs/vit_b16_finetune.py --workdir=DIR \\
  --config.dataset.data_dir=photos --config.model.weights=vit_b16.safetensors

The weights are timm's (`vit_base_patch16_224`) or torchvision's (`vit_b_16`),
see docs/pretrained.md. AdamW at a small rate with warm-up, as is usual for
fine-tuning.

Cost: 17.6 billion multiplications an image and pass, so this is for an
accelerator; how many fit: --compile_for. It was not run at this size.
"""

from datadiet.configs import finetune_image_folder


def get_config():
  """See the module."""
  config = finetune_image_folder.get_config()
  config.model.name = 'vit_b16'
  config.optimizer.name = 'adamw'
  config.optimizer.learning_rate = 3e-5
  config.optimizer.weight_decay = 0.05
  config.optimizer.schedule = 'cosine'
  config.optimizer.warmup_fraction = 0.1
  config.train.trainable = 'all'
  config.train.label_smoothing = 0.1
  config.train.batch_size = 64
  config.score.names = ('el2n', 'grand_last', 'aum', 'forgetting', 'loss')
  return config
