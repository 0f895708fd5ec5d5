"""The paper's Figure 1 for CIFAR-10: accuracy by fraction kept, by score.

python -m datadiet.main --config=configs/paper_figure1.py --workdir=DIR \\
  --stages=train,score
python -m datadiet.main --config=configs/paper_figure1.py --workdir=DIR

The first command trains ten networks to the end and scores them at epochs 20
and 200. The second selects and retrains, all scores side by side, in one
process or in several that run as one (docs/processes.md): the scores share DIR
and its random subsets, so they cannot be spread by --sweep_index. Cost: 10
scoring runs and 4 retrainings of each of 3 scores, of random and of
class-balanced random at 6 sizes, 78,000 steps of 128 images each: 130 trainings
of 10 million images; on which machine that takes how long: docs/scaling.md.
Result to expect: the figures in configs/resnet18_cifar10.py.
"""

from datadiet.configs import resnet18_cifar10


def get_config():
  """See the module."""
  config = resnet18_cifar10.get_config()
  config.train.num_steps = 78_000
  config.score.names = ('el2n', 'grand', 'forgetting')
  config.score.steps = (7_800, 78_000)
  config.select.fractions = (0.9, 0.7, 0.6, 0.5, 0.4, 0.3)
  # Each score at the step that the paper takes it from.
  config.sweep.select.scores = (
    ('el2n@7800',),
    ('grand@7800',),
    ('forgetting@78000',),
  )
  return config
