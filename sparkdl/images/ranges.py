"""Range rule: conversion of numbers of more than 8 bits to 8 bits, robust against single outlying pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkdl.images.pixels import Pixels

Values = npt.NDArray[Any]

OUTLIERS = 1000
"""One value per this many may be outside the range on either side, and at least one if there are 16 values or more."""
_FEW_VALUES = 16
_DEPTHS = (8, 10, 12, 14)
"""Possible depths, in bits, of data in a larger container; deeper data uses the depth of the container."""
_LEAST_BRIGHT = 16.0
"""The robust maximum from which floating-point values count as 0 to 255. Below it they are stretched: as 0 to 255 such
a picture would be black, so it probably uses another range."""
_OVERSHOOT = 0.125
"""Share of the ranges 0 to 1 and 0 to 255 by which floating-point values may exceed them, as after filters."""
_USUAL_NO_DATA = (-32768.0, -9999.0)
_NO_DATA_BEYOND = 3e38
_CHUNK = 1 << 18  # values


@dataclass(frozen=True, slots=True)
class Scale:
    """Mapping of values to 0 to 255.

    Attributes
    ----------
    low, factor
        A value becomes (value - low) x factor.
    rounds
        Whether the result is rounded; otherwise it is rounded down.
    shift
        For unsigned integers, instead: the value is divided by 2 to the power of `shift` and rounded down.
    ignored
        Values that mean "no data"; they become 0, like NaN and infinities.
    """

    low: float = 0.0
    factor: float = 1.0
    rounds: bool = True
    shift: int | None = None
    ignored: tuple[float, ...] = ()

    def apply(self, values: Values) -> Pixels:
        """Return `values`, of any shape, as uint8 of the same shape; values outside the range are clipped."""
        scaled = np.empty(values.shape, np.uint8)
        flat = scaled.reshape(-1)
        for start, chunk in _chunks(values):
            flat[start : start + len(chunk)] = self._of(chunk)
        return scaled

    def _of(self, chunk: Values) -> Pixels:
        eight: Pixels
        if self.shift is not None:
            eight = np.minimum(chunk >> self.shift, 255).astype(np.uint8)
        else:
            with np.errstate(all="ignore"):
                numbers = (chunk.astype(np.float64) - self.low) * self.factor
                eight = np.clip(np.floor(numbers + 0.5 if self.rounds else numbers), 0, 255).astype(np.uint8)
        if self.ignored or chunk.dtype.kind == "f":
            eight[~_valid(chunk, self.ignored)] = 0
        return eight


def scale_of(values: Values, *, depth: int | None = None, no_data: float | None = None) -> Scale:
    """Choose the scale of a picture from all of its values.

    The range is that of the valid values without outliers: one value in 1,000 at either end, and at least one (if there
    are 16 values or more). Invalid values are NaN, infinities, values beyond 3e38, `no_data`, and in signed and
    floating-point data -32768 and -9999, each if only outliers are below it.

    | values without outliers                              | become                                       |
    | ---------------------------------------------------- | -------------------------------------------- |
    | floating point, 0 to 1 (an eighth beyond is clipped) | x 255, rounded                               |
    | floating point, up to 16                             | stretched                                    |
    | 0 to 255 (floating point: an eighth beyond)          | as they are, rounded                         |
    | 0 to 1,023; to 4,095; to 16,383                      | / 4; / 16; / 64, rounded down                |
    | 0 to 65,535                                          | / 256, rounded down                          |
    | unsigned, the upper three quarters of 32 or 64 bits  | the high byte                                |
    | any other, negative values among them                | stretched: the least becomes 0, the greatest 255 |

    Parameters
    ----------
    values
        Of any shape and numeric type of more than 8 bits, or int8; colours only, no alpha.
    depth
        The depth in bits that the file states. It is used if the values without outliers fit; 16 keeps the high byte
        of dark pictures too.
    no_data
        The value that the file states for "no data".
    """
    ignored: tuple[float, ...] = () if no_data is None else (no_data,)
    if values.dtype.kind == "u":
        return _unsigned(values, depth, ignored)
    low, high, ignored = _robust_range(values, ignored)
    is_float = values.dtype.kind == "f"
    beyond = _OVERSHOOT if is_float else 0.0
    if is_float and -beyond <= low and high <= 1 + beyond:
        return Scale(factor=255.0, ignored=ignored)
    if -255 * beyond <= low and high <= 255 * (1 + beyond) and (not is_float or high >= _LEAST_BRIGHT):
        return Scale(ignored=ignored)
    if low >= 0 and high <= 65535 and (not is_float or high >= _LEAST_BRIGHT):
        bits = next((bits for bits in _DEPTHS if high < 1 << bits), 16)
        return Scale(factor=2.0 ** (8 - bits), rounds=False, ignored=ignored)
    return Scale(low=low, factor=255 / max(high - low, 1e-300), ignored=ignored)


def alpha_scale(alpha: Values, colours: Scale) -> Scale:
    """Return the scale of alpha: that of the colours' depth if alpha fits into it, otherwise that of 16 bits."""
    assert colours.shift is not None  # set for unsigned integers of 16 bits
    chosen = scale_of(np.ascontiguousarray(alpha), depth=colours.shift + 8)
    return Scale(shift=8 if chosen.shift is None or chosen.shift > colours.shift else colours.shift)


def _unsigned(values: Values, depth: int | None, ignored: tuple[float, ...]) -> Scale:
    counts = (
        sum(int(np.count_nonzero(_valid(chunk, ignored))) for _, chunk in _chunks(values)) if ignored else values.size
    )
    allowed = _outliers(counts)

    def fits(bits: int) -> bool:
        above = 0
        for _, chunk in _chunks(values):
            larger = chunk > values.dtype.type((1 << bits) - 1)
            above += int(np.count_nonzero(larger & _valid(chunk, ignored) if ignored else larger))
            if above > allowed:
                return False
        return True

    container = 8 * values.dtype.itemsize
    if depth is not None and 8 <= depth <= container and fits(depth):
        return Scale(shift=depth - 8, ignored=ignored)
    bits = container
    if container > 16 and not fits(16):
        if not fits(container - 2):
            return Scale(shift=container - 8, ignored=ignored)
        low, high, ignored = _robust_range(values, ignored)
        return Scale(low=low, factor=255 / max(high - low, 1e-300), ignored=ignored)
    bits = 16
    for smaller in reversed(_DEPTHS):  # a picture that uses all bits is recognized at the first depth
        if not fits(smaller):
            break
        bits = smaller
    return Scale(shift=bits - 8, ignored=ignored)


def _robust_range(values: Values, ignored: tuple[float, ...]) -> tuple[float, float, tuple[float, ...]]:
    """Return the smallest and largest valid value without outliers, and the values that mean "no data"."""
    flat = values.reshape(-1)
    valid = np.concatenate([_valid(chunk, ignored) for _, chunk in _chunks(flat)])
    known = flat.copy() if valid.all() else flat[valid]
    del valid
    if values.dtype.kind != "u":
        for sentinel in _USUAL_NO_DATA:
            stored = _as_stored(sentinel, known.dtype)
            missing = known == stored
            count = int(np.count_nonzero(missing))
            if count and np.count_nonzero(known < stored) <= _outliers(known.size - count):
                ignored = (*ignored, sentinel)
                known = known[~missing]
    if not known.size:
        return 0.0, 0.0, ignored
    outliers = _outliers(known.size)
    known.partition((outliers, known.size - 1 - outliers))
    return float(known[outliers]), float(known[-1 - outliers]), ignored


def _outliers(count: int) -> int:
    return max(count // OUTLIERS, 1 if count >= _FEW_VALUES else 0)


def _valid(chunk: Values, ignored: tuple[float, ...]) -> npt.NDArray[np.bool_]:
    if chunk.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            valid = np.abs(chunk.astype(np.float64, copy=False)) < _NO_DATA_BEYOND
    else:
        valid = np.ones(chunk.shape, np.bool_)
    for value in ignored:
        valid &= chunk != _as_stored(value, chunk.dtype)
    return np.asarray(valid, np.bool_)


def _as_stored(value: float, dtype: np.dtype[Any]) -> float:
    """Return the value as stored in `dtype`: -3.4028234663852886e+38 in text is a float32."""
    if dtype.kind != "f":
        return value
    with np.errstate(over="ignore"):
        return float(dtype.type(value))


def _chunks(values: Values) -> Iterator[tuple[int, Values]]:
    flat = values.reshape(-1)  # a view: pictures are contiguous
    for start in range(0, flat.size, _CHUNK):
        yield start, flat[start : start + _CHUNK]
