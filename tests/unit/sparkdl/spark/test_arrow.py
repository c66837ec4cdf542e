"""Arrow arrays made from buffers are those that pyarrow makes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkdl.spark import arrow

TIME = pa.timestamp("us", "UTC")


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts(values: list[str | None]) -> None:
    made = arrow.string_array(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))


@given(st.lists(st.none() | st.binary()))
def test_payloads(values: list[bytes | None]) -> None:
    made = arrow.binary_array(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.binary()))


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_optional_integers_and_times(values: list[int | None]) -> None:
    for kind in (pa.int64(), TIME):
        made = arrow.nullable_array(values, kind)
        made.validate(full=True)
        assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.float64])
@given(st.lists(st.tuples(st.integers(-100, 100), st.booleans())))
def test_numbers(kind: type[np.generic], pairs: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in pairs], kind)
    valid = np.array([there for _, there in pairs], bool)
    assert arrow.number_array(values).equals(pa.array(values))
    made = arrow.number_array(values, valid)
    made.validate(full=True)
    assert made.equals(pa.array(values, mask=~valid))


def test_every_second_number_of_an_array() -> None:
    assert arrow.number_array(np.arange(10)[::2]).to_pylist() == [0, 2, 4, 6, 8]


def test_more_than_an_array_can_have_is_refused() -> None:
    megabyte = bytes(1 << 20)
    with pytest.raises(OverflowError, match="one Arrow array has at most 2147483647"):
        arrow.binary_array([megabyte] * 2049)
