"""Arrow arrays of numbers, booleans, strings and bytes, built from their buffers.

`pyarrow.array` first imports pandas, if installed, to check for pandas objects. Each Python worker of a stream would
keep pandas in memory only for that check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_MAX_BYTES = np.iinfo(np.int32).max  # bytes of text or binary data in one Arrow array


def number_array(
    values: NDArray[Any], valid: NDArray[np.bool_] | None = None, kind: pa.DataType | None = None
) -> pa.Array:
    """Return an array of N numbers.

    Parameters
    ----------
    values
        Integers or floats [N].
    valid
        bool [N], false where the array is null; None for no nulls.
    kind
        The Arrow type of `values`, if it differs from the numpy type: timestamps are integers.
    """
    kind = kind or pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [_bits(valid), pa.py_buffer(np.ascontiguousarray(values))])


def nullable_array(values: Sequence[int | None], kind: pa.DataType) -> pa.Array:
    """Return an array of a 64-bit `kind`, from integers or None for null."""
    valid = np.array([value is not None for value in values], bool)
    return number_array(np.array([value or 0 for value in values], np.int64), valid, kind)


def string_array(values: Sequence[str | None]) -> pa.StringArray:
    """Return an array of strings, with null for None."""
    return _pieces([None if value is None else value.encode() for value in values], pa.string())


def binary_array(values: Sequence[bytes | None]) -> pa.BinaryArray:
    """Return an array of bytes, with null for None."""
    return _pieces(values, pa.binary())


def _pieces(values: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    ends = np.cumsum([0, *(len(value or b"") for value in values)], dtype=np.int64)
    if ends[-1] > _MAX_BYTES:
        raise OverflowError(f"{len(values)} values of {ends[-1]} bytes: one Arrow array has at most {_MAX_BYTES}")
    valid = np.array([value is not None for value in values], bool)
    data = pa.py_buffer(b"".join(value or b"" for value in values))
    return pa.Array.from_buffers(kind, len(values), [_bits(valid), pa.py_buffer(ends.astype(np.int32)), data])


def bool_array(flags: NDArray[np.bool_]) -> pa.BooleanArray:
    """Return an array of booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, _bits(flags)])


def _bits(flags: NDArray[np.bool_] | None) -> pa.Buffer | None:
    return None if flags is None else pa.py_buffer(np.packbits(flags, bitorder="little"))
