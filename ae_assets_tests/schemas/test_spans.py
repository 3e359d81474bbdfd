"""What lies within a length of time before a record."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.schemas.spans import largest_within


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=70), st.data())
def test_the_largest_of_slices_is_that_of_each_slice(values, data):
    places = st.integers(0, len(values))
    slices = [sorted(pair) for pair in data.draw(st.lists(st.tuples(places, places), max_size=9))]
    since, until = (np.array([one[side] for one in slices], np.int64) for side in (0, 1))
    expected = [max(values[begin:end], default=-np.inf) for begin, end in slices]
    assert largest_within(np.array(values), since, until).tolist() == expected
