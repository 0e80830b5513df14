"""Different values of a column, whichever way they are found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.outcomes.arrays import distinct

WHOLE = st.integers(-3, 40).map(float)
ODD = st.sampled_from([0.5, 1e9, float("inf"), -0.0])


@given(st.lists(st.one_of(WHOLE, ODD), max_size=60))
def test_the_different_values_are_those_of_numpy(values: list[float]) -> None:
    column = np.array(values, np.float64)
    assert distinct(column).tolist() == np.unique(column).tolist()


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_whole_numbers_keep_their_type(kind: type[np.int64]) -> None:
    column = np.array([3, 1, 3, 0, 2, 2, 7, 7], kind)
    found = distinct(column)
    assert found.tolist() == [0, 1, 2, 3, 7]
    assert found.dtype == kind
