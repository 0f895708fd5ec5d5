"""Tests of reading arrays of a folder of scores by what its manifest says."""

import numpy as np
import pytest
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts, score_arrays

SCORES = np.arange(5, dtype=np.float32)
IMPORTED = {'el2n': {'definition': 'x', 'imported': 'in-sample'}}


@pytest.fixture
def folder(tmp_path):
  artifacts.write_npy(tmp_path / 'el2n.npy', SCORES)
  return epath.Path(tmp_path)


@pytest.mark.parametrize(
  'manifest',
  [None, {}, {'checksums': {'el2n': artifacts.checksum(SCORES)}}],
)
def test_manifests_without_checksums_are_no_hindrance(folder, manifest):
  found = score_arrays.read(folder, 'el2n', 5, manifest)
  np.testing.assert_array_equal(found, SCORES)
  with pytest.raises(DataDietError, match='the data set has 4 examples'):
    score_arrays.read(folder, 'el2n', 4, manifest)
  with pytest.raises(DataDietError, match='el2n_std.npy does not exist'):
    score_arrays.read(folder, 'el2n_std', 5, manifest)


@pytest.mark.parametrize(
  'scores, remedy',
  [
    ({}, 'delete it to make it anew'),
    ({'el2n': {'definition': 'x'}}, 'delete it to make it anew'),
    (IMPORTED, 'import it anew into another folder'),
  ],
)
@pytest.mark.parametrize('damage', ['values', 'cut short'])
def test_a_damaged_array_is_said_to_be_made_anew_by_what_made_it(
  folder, damage, scores, remedy
):
  path = folder / 'el2n.npy'
  content = path.read_bytes()
  if damage == 'values':
    content = content[:-1] + bytes([content[-1] ^ 1])
  else:
    content = content[:-1]
  path.write_bytes(content)
  checksums = {'el2n': artifacts.checksum(SCORES)}
  manifest = {'scores': scores, 'checksums': checksums}
  with pytest.raises(DataDietError, match='el2n.npy is damaged') as error:
    score_arrays.read(folder, 'el2n', 5, manifest)
  assert remedy in str(error.value) and str(error.value).count(';') == 1
