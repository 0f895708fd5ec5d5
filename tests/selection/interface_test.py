"""What a policy is given."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection.interface import Policy, SelectionInputs
from datadiet.selection.rs2 import RandomEachEpoch


def test_an_array_is_given_by_its_name_or_refused():
  scores = np.array([0.5, 0.25])
  inputs = SelectionInputs(np.zeros(2, np.int32), 1, scores)
  np.testing.assert_array_equal(inputs.array('scores'), scores)
  with pytest.raises(DataDietError, match='features, but there are none'):
    inputs.array('features')


def test_a_subset_that_changes_while_training_needs_nothing():
  given = {'nested': False, 'summary': 'mine', 'source': ''}
  assert not Policy(epochs=RandomEachEpoch, **given).needs
  with pytest.raises(DataDietError, match='have to be empty, not seed'):
    Policy(epochs=RandomEachEpoch, needs=frozenset({'seed'}), **given)
