"""Completeness of a JPEG's scans: whether they contain every coefficient of every component."""

from __future__ import annotations

from collections.abc import Iterable

_COEFFICIENTS = 64
_PROGRESSIVE = 0xC2
_UNKNOWN = 255


def are_complete(frame: bytes, scans: Iterable[bytes]) -> bool:
    """Return whether the scans contain each coefficient of each component to the last bit.

    Parameters
    ----------
    frame
        The frame header: marker, length, precision, height, width, and three bytes for each component.
    scans
        The content of each SOS segment: components, first and last coefficient, missing bits before and after it.
    """
    if len(frame) < 10:
        return False
    identifiers = frame[10 : 10 + 3 * frame[9] : 3]
    missing = {identifier: [_UNKNOWN] * _COEFFICIENTS for identifier in identifiers}
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            return False
        first, last, low = scan[1 + 2 * count], scan[2 + 2 * count], scan[3 + 2 * count] & 15
        if frame[1] != _PROGRESSIVE:
            first, last, low = 0, _COEFFICIENTS - 1, 0
        for identifier in scan[1 : 1 + 2 * count : 2]:
            if identifier in missing:
                missing[identifier][first : last + 1] = [low] * len(missing[identifier][first : last + 1])
    return bool(missing) and not any(any(bits) for bits in missing.values())
