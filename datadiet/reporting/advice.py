"""The last line of a report: which method to use, in a sentence."""

from typing import Any

from datadiet.results import Results

# Up to this fraction kept, keeping the hardest falls behind random in the
# papers that docs/which_method.md cites.
_SMALL_FRACTION = 0.3
# More suspected labels than this are worth a word.
_NOISY_SHARE = 0.02


def advice(results: Results, summary: dict[str, Any]) -> str:
  """What docs/which_method.md says of sizes such as those of a workdir.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
  """
  sentences = []
  issues = results.label_issues
  share = issues['is_issue'].mean() if len(issues) else 0.0
  if share > _NOISY_SHARE:
    sentences.append(
      f'{100 * share:.1f} % of the labels may be wrong, and the hardest '
      'examples are full of these: repair them or leave them out first.'
    )
  fractions = [
    row['fraction']
    for row in summary['accuracy']
    if row['fraction'] is not None and row['fraction'] < 1
  ]
  if fractions and min(fractions) <= _SMALL_FRACTION:
    sentences.append(
      'With a third and less kept, published comparisons have coverage (ccs) '
      'and a new random draw each epoch (rs2) above the hardest examples.'
    )
  else:
    sentences.append(
      'With half and more kept, published comparisons have the hardest '
      'examples (forgetting, el2n) and coverage (ccs) about equal, where '
      'networks train long.'
    )
  sentences.append('Which method to use when: docs/which_method.md.')
  return ' '.join(sentences)
