"""The last line of a report: which method to use, in a few sentences.

All that it goes by stands here: from where on it says what. The evidence for
each sentence is in docs/which_method.md; options of the methods are left to
`select.policies=auto`.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from datadiet.reporting.summary import percent
from datadiet.results import Results

# More suspected labels than this share are worth a word.
_NOISY_SHARE = 0.02
# Classes that differ in size by this factor and more are, too.
_UNEQUAL = 3.0
# Up to which fraction kept, what is said of it.
_BY_SIZE = (
  (
    0.15,
    'With about a tenth kept, others have coverage (ccs) and a new random draw '
    'each epoch (rs2) above random, and the hardest examples far below it.',
  ),
  (
    0.4,
    'With about a third kept, coverage (ccs) and a new random draw each epoch '
    '(rs2) are level with random, and the hardest examples far below it, where '
    'networks train short.',
  ),
  (
    0.6,
    'With about half kept, the hardest examples (forgetting, el2n) are above '
    'random where networks train long and below it where they train short; '
    'coverage (ccs) is level with the better one.',
  ),
  (
    1.0,
    'With two thirds and more kept, others have the hardest examples '
    '(forgetting, el2n) and coverage (ccs) about equal, where networks train '
    'long.',
  ),
)
_BY_PURPOSE = (
  'select.policies=auto takes ccs, and rs2 for a cheaper training; to label '
  'less: zcore or k_center; to clean up: the audit (docs/which_method.md).'
)


def advice(
  results: Results,
  summary: dict[str, Any],
  comparison: Collection[dict[str, Any]] = (),
) -> str:
  """What was measured in a workdir, and what is known of such as it.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
    comparison: from `build_grid`.
  """
  fractions = [
    row['fraction']
    for row in summary['accuracy']
    if row['fraction'] is not None and row['fraction'] < 1
  ]
  sentences = (
    _measured(comparison),
    _of_labels(results),
    _of_classes(results),
    _of_size(fractions),
    _BY_PURPOSE,
  )
  return ' '.join(filter(None, sentences))


def _measured(comparison: Collection[dict[str, Any]]) -> str:
  """The verdicts of the grid, if there is one."""
  if not comparison:
    return ''
  best = [
    f'{group["best"]} with {percent(group["fraction"], 1)} kept'
    for group in comparison
    if group['best']
  ]
  if not best:
    return (
      'Measured here (grid.html), no method is above all others beyond chance.'
    )
  return (
    'Measured here (grid.html), which goes before what others measured, best '
    f'beyond chance: {", ".join(best)}.'
  )


def _of_labels(results: Results) -> str:
  issues = results.label_issues
  share = issues['is_issue'].mean() if len(issues) else 0.0
  if share <= _NOISY_SHARE:
    return ''
  return (
    f'{100 * share:.1f} % of the labels may be wrong, and the hardest '
    'examples are full of these: repair them or leave them out first.'
  )


def _of_classes(results: Results) -> str:
  sizes = np.bincount(results.scores['label'])
  sizes = sizes[sizes > 0]
  if not len(sizes) or sizes.max() < _UNEQUAL * sizes.min():
    return ''
  return (
    f'The largest class has {sizes.max() / sizes.min():.0f} times as many '
    'examples as the smallest, which policies over all classes may empty: '
    'select.budget=proportional keeps the balance, difficulty and worst_class '
    'give more to what is learned worse.'
  )


def _of_size(fractions: Collection[float]) -> str:
  """What is known of the smallest size, at which the choice matters most."""
  if not fractions:
    return ''
  return next(words for limit, words in _BY_SIZE if min(fractions) <= limit)
