"""31 methods side by side: CIFAR-10, the small network, five fractions.

python -m datadiet.main --config=configs/method_grid.py --workdir=DIR

Scores are means over three networks of ten epochs, but grand is of the first,
as are features and predictions; every subset, and random beside it, is trained
on three times, always for as many steps. Retrainings fill the devices whatever
their subset, in two queues: policies that go by losses while training have a
step of their own. A stopped start goes on where it was. report/grid.html and
grid.csv compare the methods: accuracy with intervals, differences to random,
worst class, time and steps; --config.dataset.extra_tests.NAME=PATH adds test
splits (docs/data.md).

Cost, computed and not run yet: 462 retrainings of 1,560 steps of 128 images are
92 million images, 33 hours at 780 images/s on two cores; selecting takes up to
minutes a method. --config.select.fractions="(0.5, 0.1)" and
--config.retrain.num_runs=2 are two fifths and two thirds of it;
method_grid_small.py is a size that was run.

Not in it, as it does not fit the one protocol:
- Budgets by class are one setting for all policies of a start, and none for
  those that draw while training. DRoP and NUCS are a second start in the same
  workdir, 30 more retrainings, which the page then shows beside the rest:
  --config.sweep.select.policies="(('random',),)"
  --config.sweep.select.budget="('worst_class', 'difficulty')"
- cld, memorization and scores out of sample are of networks that leave
  examples out (--config.train.subset_fraction=0.7 or --config.train.folds=3):
  other networks, so another workdir.
- tracin_self sums over several scored steps; here one is scored.
- Scores that order examples as one that is here, nearly so, or of which no end
  is hard: keep_max:NAME or keep_min:NAME adds any (docs/scores.md).
- keep_max_abs, keep_min_abs and offset differ from policies that are here in
  the end they keep or in an option.
"""

from datadiet.configs import simple_cnn_cifar10

# Ten epochs.
NUM_STEPS = 3_900

METHODS = (
  # By scores.
  'keep_max:el2n',
  'keep_max:grand',
  'keep_max:forgetting',
  'keep_min:aum',
  'keep_min:margin',
  'keep_max:least_confidence',
  'keep_max:grand_last',
  'keep_min:deepfool',
  'keep_max:dyn_unc',
  'keep_max:tdds',
  'top_window:el2n',
  'ccs:aum',
  'beta:dual',
  'd2:forgetting',
  'infomax:el2n',
  # What docs/which_method.md recommends: of its two methods, which are here on
  # their own, one with another cutoff where a tenth is kept.
  'auto',
  # By features, predictions or gradients of the last layer.
  'moderate',
  'prototypes',
  'herding',
  'k_center',
  'contextual_diversity',
  'facility_location',
  'graph_cut',
  'craig',
  'grad_match',
  'glister',
  'cal',
  'zcore',
  # While training.
  'rs2',
  'orderdp',
  # These decide themselves how much they leave out.
  'infobatch',
  'seta',
)


def get_config():
  """See the module."""
  config = simple_cnn_cifar10.get_config()
  config.train.num_steps = NUM_STEPS
  config.train.schedule_steps = NUM_STEPS
  config.score.steps = (NUM_STEPS,)
  config.score.names = (
    'el2n',
    'grand',
    'forgetting',
    'aum',
    'margin',
    'least_confidence',
    'grand_last',
    'deepfool',
    'dual',
    'dyn_unc',
    'tdds',
    'mean_confidence',
  )
  config.sweep.select.policies = tuple((method,) for method in METHODS)
  config.select.fractions = (0.7, 0.5, 0.3, 0.2, 0.1)
  config.select.baselines = ('random',)
  config.retrain.num_runs = 3
  config.retrain.num_steps = 1_560
  return config
