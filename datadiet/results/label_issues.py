"""Reads the table of the label audit."""

import pandas as pd
from etils import epath

from datadiet.errors import DataDietError
from datadiet.results import reading
from datadiet.workdir.tables import LABEL_ISSUES_COLUMNS

_TRUE = ('1', '1.0', 'true')


def read(
  path: epath.Path, class_names: list[str], num_examples: int | None
) -> pd.DataFrame:
  """The table as a DataFrame; without rows if there is none.

  Args:
    path: of the table.
    class_names: in label order.
    num_examples: of the train split; None if it is not known.

  Returns:
    Indexed by `example_index`, the most suspicious first: id, given_label,
    given_label_name, suggested_label (missing where none is suggested),
    suggested_label_name, suspicion, probability (missing where none was
    computed), rank and is_issue (bool).

  Raises:
    DataDietError: if it is damaged.
  """
  columns = list(LABEL_ISSUES_COLUMNS)
  if not path.exists():
    return pd.DataFrame(columns=columns).set_index('example_index')
  text = dict.fromkeys(
    ('id', 'suggested_label', 'probability', 'is_issue'), str
  )
  table = reading.read_csv(path, dtype=text)
  # Older audits gave no probability.
  if 'probability' not in table:
    table['probability'] = ''
  # The names of classes are for people; they are not read.
  needed = {name for name in columns if not name.endswith('_name')}
  if missing := sorted(needed - {*table.columns}):
    raise DataDietError(f'{path} lacks the columns {", ".join(missing)}')
  last = (num_examples or len(table)) - 1
  if not table['example_index'].between(0, last).all():
    raise DataDietError(f'{path} has an example_index outside 0 to {last}')
  suggested = pd.to_numeric(table['suggested_label'])
  table['suggested_label'] = suggested.astype('Int32')
  table['probability'] = pd.to_numeric(table['probability'])
  table['is_issue'] = table['is_issue'].str.lower().isin(_TRUE)
  for column in ('given_label', 'suggested_label'):
    table[f'{column}_name'] = [
      '' if pd.isna(label) else class_names[label] for label in table[column]
    ]
  return table[columns].set_index('example_index')
