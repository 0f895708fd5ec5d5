"""The settings of the inspection: `config.inspect`."""

import dataclasses

from datadiet.inspection.embedding_map import MAPS
from datadiet.settings import checks, setting


@dataclasses.dataclass(frozen=True)
class InspectSettings:
  """What images are compared by."""

  embeddings_path: str = setting(
    '',
    checks.text,
    'A .npy of [N, d] numbers to compare images by, in the order of '
    "example_index; '' for the features of the first run's network.",
    path=True,
  )
  test_embeddings_path: str = setting(
    '',
    checks.text,
    'Likewise of the test split, [M, d]; beside embeddings_path alone.',
    path=True,
  )
  map: str = setting(
    'pca',
    checks.one_of(lambda: MAPS),
    'How the map of the report is made of embeddings; umap is slow.',
  )
