"""For pandas, DuckDB, Spark, ...: a Parquet table of all examples."""

import json
from pathlib import Path

import numpy as np
from absl import logging

from datadiet.errors import DataDietError
from datadiet.exporting.subset import Subset
from datadiet.runtime import extras


def write_parquet(subset: Subset, path: Path, final: Path) -> None:
  """Writes one row an example of the whole train split, in canonical order.

  Columns: example_index, id, label, label_name; kept, whether the selection
  has it; all mean scores (float32); and where labels were audited, suspicion,
  is_issue, suggested_label and suggested_label_name (null where none is). Needs
  no images. The schema's metadata holds selection, fingerprint, step and, as
  JSON, test_ids where the workdir or the data says them.

  Raises:
    DataDietError: if the library pyarrow is not installed, or nothing was
      scored.
  """
  del final
  try:
    import pyarrow as pa
    import pyarrow.parquet
  except ImportError as error:
    raise extras.missing_library('the format parquet', 'pyarrow') from error
  results = subset.results
  table = results.scores_at(subset.step)
  if not len(table):
    raise DataDietError(
      f'{results.workdir.root} has no scores yet; run the stages train and '
      'score'
    )
  is_kept = np.zeros(len(table), bool)
  is_kept[subset.example_index] = True
  names = np.array(results.dataset['class_names'])
  table.insert(2, 'label_name', names[table['label']])
  table.insert(3, 'kept', is_kept)
  if len(results.label_issues):
    issues = results.label_issues.reindex(table.index)
    suggested = issues['suggested_label']
    table['suspicion'] = issues['suspicion'].astype(np.float32)
    table['is_issue'] = issues['is_issue'].eq(True)
    table['suggested_label'] = suggested
    named = issues['suggested_label_name']
    table['suggested_label_name'] = named.mask(suggested.isna())
  arrow = pa.Table.from_pandas(table.reset_index(), preserve_index=False)
  facts = {
    'selection': subset.name,
    'fingerprint': results.dataset['fingerprint'],
    'step': str(subset.step if subset.step is not None else results.steps[-1]),
  }
  test_ids = _test_ids(subset)
  if test_ids is not None:
    facts['test_ids'] = json.dumps(test_ids)
  arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, **facts})
  pyarrow.parquet.write_table(arrow, path)


def _test_ids(subset: Subset) -> list[str] | None:
  """The test split's ids; None if neither workdir nor data is available."""
  try:
    return subset.test_ids
  except DataDietError as error:
    logging.warning(
      'The table does not have the ids of the test split: %s', error
    )
    return None
