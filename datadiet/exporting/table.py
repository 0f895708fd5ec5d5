"""For pandas, DuckDB, Spark, ...: a Parquet table of all examples."""

import json
from pathlib import Path

from absl import logging

from datadiet.errors import DataDietError
from datadiet.exporting.findings import findings
from datadiet.exporting.subset import Subset
from datadiet.runtime import extras


def write_parquet(subset: Subset, path: Path, final: Path) -> None:
  """Writes one row an example of the whole train split, in canonical order.

  Columns: example_index and those of `findings`. Needs no images. The schema's
  metadata holds selection, fingerprint, step and, as JSON, test_ids where the
  workdir or the data says them.

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
  results, table = subset.results, findings(subset)
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
