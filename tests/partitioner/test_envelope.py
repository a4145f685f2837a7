"""The lower envelope against looking at every line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_partitioner.envelope import Envelope, Line

numbers = st.one_of(st.integers(0, 20).map(float), st.floats(1e-6, 1e6))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), st.lists(numbers, max_size=10))
def test_the_lowest_line_is_never_above_any_other(pairs, places):
    envelope = Envelope([Line(a, b, i) for i, (a, b) in enumerate(pairs)])
    for x in (0.0, *places, *envelope.meets):
        found = envelope.lowest(x)
        least = min(a + b * x for a, b in pairs)
        assert found.intercept + found.slope * x == pytest.approx(least, rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_lines_and_the_places_where_they_meet_are_in_order(pairs):
    envelope = Envelope([Line(a, b, i) for i, (a, b) in enumerate(pairs)])
    slopes = [line.slope for line in envelope.lines]
    assert slopes == sorted(set(slopes), reverse=True)
    assert list(envelope.meets) == sorted(envelope.meets)
    assert len(envelope.meets) == len(envelope.lines) - 1


def test_of_equal_lines_the_first_stays():
    assert Envelope([Line(1.0, 2.0, "a"), Line(1.0, 2.0, "b")]).lowest(5).item == "a"


def test_an_envelope_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Envelope([])
