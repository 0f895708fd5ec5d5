"""The policies by name, and the check of a name with its options.

Those of coverage stand beside their functions.
"""

from collections.abc import Mapping
from typing import Any

from datadiet.errors import DataDietError
from datadiet.selection import (
  coverage,
  features,
  gradient_matching,
  infobatch,
  k_center,
  neighbours,
  orderdp,
  random,
  ranking,
  rs2,
  seta,
  submodular,
  zcore,
)
from datadiet.selection.interface import Policy
from datadiet.settings import Setting, check_options, checks, closest

_DATA_DIET = 'Paul et al. 2021, arXiv 2107.07075'

POLICIES: dict[str, Policy] = {
  'keep_max': Policy(
    function=ranking.keep_max,
    needs=frozenset({'scores'}),
    nested=True,
    summary='the largest score values',
    source=_DATA_DIET,
  ),
  'keep_min': Policy(
    function=ranking.keep_min,
    needs=frozenset({'scores'}),
    nested=True,
    summary='the smallest score values',
    source=_DATA_DIET,
  ),
  'keep_max_abs': Policy(
    function=ranking.keep_max_abs,
    needs=frozenset({'scores'}),
    nested=True,
    summary='the scores furthest from zero',
    source=_DATA_DIET,
  ),
  'keep_min_abs': Policy(
    function=ranking.keep_min_abs,
    needs=frozenset({'scores'}),
    nested=True,
    summary='the scores closest to zero',
    source=_DATA_DIET,
  ),
  'offset': Policy(
    function=ranking.offset,
    check=ranking.check_offset,
    needs=frozenset({'scores'}),
    nested=True,
    summary='the examples that follow the `offset` smallest scores',
    source=_DATA_DIET,
    options={
      'offset': Setting(
        default=0,
        check=checks.integer(0, words='an integer, 0 or more'),
        help='how many of the smallest scores to skip',
      ),
    },
  ),
  'random': Policy(
    function=random.random,
    needs=frozenset({'seed'}),
    nested=True,
    summary='a uniform random draw',
    source='the baseline of every comparison',
  ),
  'top_window': Policy(
    function=ranking.top_window,
    check=ranking.check_top_window,
    needs=frozenset({'scores', 'higher_is'}),
    nested=True,
    summary='the hardest examples after dropping the very hardest',
    source=_DATA_DIET,
    options={
      'drop_fraction': Setting(
        default=0.1,
        check=checks.proper_fraction,
        help='the fraction of the examples, the hardest, to drop',
      ),
    },
  ),
  'ccs': Policy(
    function=coverage.ccs,
    check=coverage.check_ccs,
    needs=frozenset({'scores', 'higher_is', 'seed'}),
    nested=False,
    summary='evenly over strata of the score, the hardest part cut off',
    source='Zheng et al. 2023, arXiv 2210.15809',
    options={
      'cutoff_fraction': Setting(
        default=0.1,
        check=checks.proper_fraction,
        help="the fraction of the examples to cut, the paper's beta",
      ),
      'num_strata': Setting(
        default=50,
        check=checks.integer(1, words='an integer, 1 or more'),
        help='into how many equal intervals the score range is cut',
      ),
    },
  ),
  'beta': Policy(
    function=coverage.beta,
    needs=frozenset({'scores', 'mean_confidence', 'seed'}),
    nested=False,
    summary='drawn by score times a Beta density, easier as more is pruned',
    source='Cho et al. 2025, arXiv 2502.06905',
    options={
      'c_d': Setting(
        default=4.0,
        check=checks.positive,
        help='the larger, the later the draw moves to easy examples',
      ),
    },
  ),
  'moderate': Policy(
    function=features.moderate,
    needs=frozenset({'features'}),
    nested=True,
    summary='distances to the class centre that are nearest to their median',
    source='Xia et al. 2023, ICLR',
  ),
  'prototypes': Policy(
    function=features.prototypes,
    check=features.check_prototypes,
    needs=frozenset({'features', 'seed'}),
    nested=True,
    summary='furthest from (or nearest to) the k-means centroids',
    source='Sorscher et al. 2022, arXiv 2206.14486',
    options={
      'keep': Setting(
        default='hardest',
        check=checks.one_of(('hardest', 'easiest')),
        help='which end of the distances to keep',
      ),
      'num_clusters': Setting(
        default=0,
        check=checks.integer(
          0, words='an integer, 0 (one for each class) or more'
        ),
        help='the number of clusters',
      ),
      'distance': Setting(
        default='cosine',
        check=checks.one_of(('cosine', 'euclidean')),
        help='the distance to a centroid',
      ),
    },
    libraries=('sklearn', 'threadpoolctl'),
  ),
  **submodular.POLICIES,
  **k_center.POLICIES,
  **gradient_matching.POLICIES,
  **neighbours.POLICIES,
  **zcore.POLICIES,
  'rs2': Policy(
    epochs=rs2.RandomEachEpoch,
    nested=False,
    summary='a new random subset each epoch, in turns through all examples',
    source='Okanovic et al. 2024, arXiv 2305.18424',
  ),
  'infobatch': Policy(
    epochs=infobatch.InfoBatch,
    nested=False,
    summary='all, but each epoch without some of those with a small loss',
    source='Qin et al. 2024, arXiv 2303.04947',
    options={
      'prune_fraction': Setting(
        default=0.5,
        check=checks.proper_fraction,
        help='the share pruned of the examples below the mean loss',
      ),
      'full_fraction': Setting(
        default=0.125,
        check=checks.share,
        help='the last share of the training, which prunes nothing',
      ),
      'same_rate': Setting(
        default=False,
        check=checks.boolean,
        help='whether the weights of an epoch are scaled to a mean of 1',
      ),
    },
  ),
  'orderdp': Policy(
    epochs=orderdp.OrderDP,
    nested=False,
    summary='each epoch the largest losses of a random draw',
    source='Jin et al. 2026, arXiv 2606.08574',
    options={
      'draw_fraction': Setting(
        default=0.8,
        check=checks.fraction,
        help='the share drawn; where more are to be kept, these',
      ),
    },
  ),
  'seta': Policy(
    epochs=seta.SeTa,
    nested=False,
    summary='each epoch part of a random draw, by its losses, easy to hard',
    source='Zhou et al. 2025, arXiv 2503.13385',
    options={
      'prune_fraction': Setting(
        default=0.1,
        check=checks.proper_fraction,
        help='the share left out at random',
      ),
      'num_groups': Setting(
        default=5,
        check=checks.integer(1, words='an integer, 1 or more'),
        help='into how many groups k-means puts the losses',
      ),
      'window_fraction': Setting(
        default=0.9,
        check=checks.fraction,
        help='the share of the groups that an epoch goes through',
      ),
      'random_fraction': Setting(
        default=0.125,
        check=checks.share,
        help='the last share of the training, which draws at random',
      ),
      'least_fraction': Setting(
        default=0.1,
        check=checks.proper_fraction,
        help='the share that a window of fewer examples is widened to',
      ),
    },
  ),
}

# The names of the paper's first code.
ALIASES: dict[str, str] = {
  'keep_max_scores': 'keep_max',
  'keep_min_scores': 'keep_min',
  'keep_max_abs_scores': 'keep_max_abs',
  'keep_min_abs_scores': 'keep_min_abs',
  'offset_subset': 'offset',
  'random_subset': 'random',
}


def check_policy(
  policy_name: str, options: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
  """Checks a policy's name and options, before any data is there.

  Args:
    policy_name: a name in POLICIES or ALIASES.
    options: the options given by the user, or None.

  Returns:
    The name in POLICIES, and every option of that policy with its value.

  Raises:
    DataDietError: an unknown name or option, or a value that is not allowed.
  """
  name = ALIASES.get(policy_name, policy_name)
  if name not in POLICIES:
    raise DataDietError(
      f'unknown selection policy {policy_name!r}; known: '
      f'{", ".join(POLICIES)}{closest(policy_name, (*POLICIES, *ALIASES))}'
    )
  specs = POLICIES[name].options
  values = {option: spec.default for option, spec in specs.items()}
  check_options(f'policy {name!r}', options or {}, specs)
  for option, value in (options or {}).items():
    if not specs[option].check.accepts(value):
      raise DataDietError(
        f'option {option!r} of policy {name!r} is {value!r}, but it has to be '
        f'{specs[option].allowed}'
      )
    values[option] = value
  return name, values
