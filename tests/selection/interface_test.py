"""What a policy is given."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection.interface import SelectionInputs


def test_an_array_is_given_by_its_name_or_refused():
  scores = np.array([0.5, 0.25])
  inputs = SelectionInputs(np.zeros(2, np.int32), 1, scores)
  np.testing.assert_array_equal(inputs.array('scores'), scores)
  with pytest.raises(DataDietError, match='features, but there are none'):
    inputs.array('features')
