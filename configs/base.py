"""All settings with their defaults: the paper's protocol for ResNet-18.

The other files here change some of them. A value of 0, '' or () that a comment
calls "chosen" is filled in when a run starts; config.json in the workdir holds
what it was. Everything is checked before any work is done.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """The defaults."""
  config = ml_collections.ConfigDict()

  config.dataset = ml_collections.ConfigDict()
  config.dataset.name = 'cifar10'
  # Where the source lies; '' for the library's own folder and a download.
  config.dataset.data_dir = ''
  # Where decoded arrays are kept; '' for ~/.cache/datadiet, 'none' for nowhere.
  config.dataset.cache_dir = ''
  # The feature that holds the label; '' for the usual one.
  config.dataset.label_key = ''
  # The feature that holds the ids; '' for 'id' where there is one, 'none' to
  # number the examples.
  config.dataset.id_key = ''
  # Images are resized to this height and width; 0 to leave them.
  config.dataset.image_size = 0
  # Pixels on the 'device' or the 'host'; 'auto' by its memory.
  config.dataset.placement = 'auto'
  # The source's splits that make up train; () for the usual ones.
  config.dataset.train_splits = ()
  # The source's split to test on; '' for test, validation, valid or val.
  config.dataset.test_split = ''
  # Share of each class that becomes the test split of a source without one.
  config.dataset.test_fraction = 0.2
  # Leave out images that cannot be read, and list them, instead of stopping.
  config.dataset.skip_unreadable = False
  # What transparent images are laid on: 'white', 'black' or '#rrggbb'.
  config.dataset.background = 'white'
  # Other train labels: a table (.csv, .parquet) with id and label, or an array
  # (.npy, .npz, .pt) in order; PATH:NAME for one of its columns or arrays.
  config.dataset.labels_path = ''
  # Whether they are 'names' or 'numbers' of classes; '' where that is plain.
  config.dataset.labels_are = ''
  # The order of an array: 'index' for example_index, 'ids' for the numbers in
  # ids (for CIFAR, torchvision's order); '' where that is plain.
  config.dataset.labels_order = ''
  # Share of the train labels that are drawn to be changed, and how:
  # 'permute', 'uniform' or 'asymmetric'.
  config.dataset.label_noise = ml_collections.ConfigDict()
  config.dataset.label_noise.fraction = 0.0
  config.dataset.label_noise.seed = 0
  config.dataset.label_noise.kind = 'permute'

  config.model = ml_collections.ConfigDict()
  config.model.name = 'resnet18_lowres'
  # Channels of the first stage; 0 for the family's own.
  config.model.width = 0
  # What training computes in: 'float32', 'bfloat16', or 'auto' for bfloat16 on
  # GPUs and TPUs and float32 on CPUs. A workdir keeps what it was begun with;
  # params, batch statistics, logits and losses are float32 always.
  config.model.dtype = 'auto'

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = 0.1
  config.optimizer.momentum = 0.9
  config.optimizer.nesterov = True
  config.optimizer.weight_decay = 5e-4
  config.optimizer.schedule = 'piecewise'
  # Where in the schedule's horizon 'piecewise' multiplies by decay_factor.
  config.optimizer.decay_fractions = (0.3, 0.6, 0.8)
  config.optimizer.decay_factor = 0.2
  # Share of the horizon over which 'linear' and 'cosine' warm up.
  config.optimizer.warmup_fraction = 0.15

  config.train = ml_collections.ConfigDict()
  config.train.num_runs = 10
  # Networks are trained this far to be scored ...
  config.train.num_steps = 7_800
  # (or so many epochs, if not 0)
  config.train.num_epochs = 0
  # ... on a schedule of this horizon; 0 for num_steps.
  config.train.schedule_steps = 78_000
  config.train.batch_size = 128
  # At most 128 a device on CPU, where a stop waits for the batch at hand.
  config.train.eval_batch_size = 1024
  config.train.augmentation = 'crop_flip'
  config.train.crop_padding = 4
  config.train.model_seed = 0
  config.train.data_seed = 0
  config.train.log_every_steps = 100
  config.train.eval_every_steps = 1_950
  config.train.checkpoint_every_steps = 1_950
  # More steps whose networks are kept: these, and every so many up to a step
  # (0 for the last).
  config.train.early_steps = ()
  config.train.early_every = 0
  config.train.early_until = 0
  # A checkpoint to start from, such as DIR/train/run_00/checkpoints/390: its
  # params and batch_stats, with a new optimizer; '' for a new network.
  config.train.init_from = ''
  # Train on these examples only: a .npy of example_index, or the folder of a
  # selection; '' for all.
  config.train.subset_path = ''
  # Train each run on a random subset of this size, to see what it says of the
  # other examples; every example is in and out of at least one run.
  config.train.subset_fraction = 1.0
  # Visits in a window of dual, dyn_unc and tdds.
  config.train.dynamics_window = 10
  # Runs that train side by side; 0 to fit the devices.
  config.train.runs_at_once = 0
  # Steps per dispatch; 0 for 1 on CPU and 10 elsewhere.
  config.train.steps_per_call = 0

  config.score = ml_collections.ConfigDict()
  config.score.names = ('el2n', 'grand', 'forgetting', 'aum', 'input_norm')
  # Checkpoints to score; () for the last step alone.
  config.score.steps = ()
  # Also at most 128 a device on CPU.
  config.score.batch_size = 1024
  # 0 to fit the device's memory.
  config.score.gradient_batch_size = 0
  # Gradient scores of the first so many runs only; 0 for all.
  config.score.gradient_runs = 0
  # For grand_subset, what is searched for in the paths of params.
  config.score.grand_subset = ''
  # Keep the gradient norm in every layer too.
  config.score.per_layer = False
  # Examples, class-balanced, whose mean gradient unclog subtracts.
  config.score.unclog_sample_size = 1000
  config.score.unclog_seed = 0
  # What scores compute in, whatever training did: 'float32', which GPUs and
  # TPUs are kept from rounding; faster there but rounded, 'tensorfloat32' and
  # 'bfloat16'.
  config.score.dtype = 'float32'
  # Beside scores, keep 'features' or 'pred_probs' of every run.
  config.score.keep = ()

  config.audit = ml_collections.ConfigDict()
  # Train twice more, each time with an extra class of examples mislabelled on
  # purpose, to know how low the margins of wrong labels are.
  config.audit.threshold_samples = False

  config.select = ml_collections.ConfigDict()
  config.select.scores = ('el2n',)
  # A .npy of N numbers to select by instead, in the order of example_index,
  # and which end of it is hard: 'harder', 'easier' or '' if nobody has to know.
  config.select.scores_path = ''
  config.select.higher_is = ''
  config.select.policies = ('keep_max',)
  config.select.fractions = (0.5, 0.3)
  # Numbers of examples to keep, beside the fractions.
  config.select.sizes = ()
  # The scored step to select by; -1 for the last.
  config.select.step = -1
  config.select.class_balanced = False
  # Options of the policies, such as --config.select.options.offset=100.
  config.select.options = ml_collections.ConfigDict()
  # What runs beside at the same sizes: 'random', 'random_balanced'.
  config.select.baselines = ('random', 'random_balanced')
  config.select.seed = 0

  config.retrain = ml_collections.ConfigDict()
  config.retrain.num_runs = 4
  # 0 for the schedule's horizon, whatever the size of the subset.
  config.retrain.num_steps = 0
  # Retrain on everything too, where the train runs cannot be compared.
  config.retrain.full = True
  # Added to run numbers, so that no scoring network is trained again.
  config.retrain.first_run = 1000

  # Settings to try all combinations of, each with a tuple of values, such as
  # config.sweep.train.model_seed = (0, 1).
  config.sweep = ml_collections.ConfigDict()
  for section in ('model', 'optimizer', 'train', 'score', 'select', 'retrain'):
    config.sweep[section] = ml_collections.ConfigDict()
  config.sweep.dataset = ml_collections.ConfigDict()
  config.sweep.dataset.label_noise = ml_collections.ConfigDict()

  # JAX's compilation cache; '' for ~/.cache/datadiet/xla, 'none' for none.
  config.compilation_cache_dir = ''
  return config
