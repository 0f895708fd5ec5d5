"""The table of docs/scores.md, made from the registry of scores.

    python -m tools.scores_table    rewrites it

tests/scoring/registry_test.py compares the two.
"""

from datadiet.scoring.registry import SCORES
from tools import house

PAGE = house.REPOSITORY / 'docs' / 'scores.md'
_HEAD = (
  '| score | definition | harder is | from | source |',
  '| --- | --- | --- | --- | --- |',
)
_ENDS = {'harder': 'higher', 'easier': 'lower', 'neither': 'neither end'}


def table() -> str:
  """The table in Markdown: a row for each score, in the registry's order."""
  rows = []
  for name, score in SCORES.items():
    end = _ENDS[score.higher_is]
    cells = (f'`{name}`', score.definition, end, score.kind, score.source)
    escaped = (cell.replace('|', r'\|') for cell in cells)
    rows.append(f'| {" | ".join(escaped)} |')
  return '\n'.join([*_HEAD, *rows]) + '\n'


def updated(page: str) -> str:
  """A page with the table that is in it made anew."""
  before, rest = page.split(_HEAD[0], 1)
  _, after = rest.split('\n\n', 1)
  return f'{before}{table()}\n{after}'


if __name__ == '__main__':
  PAGE.write_text(updated(PAGE.read_text()))
