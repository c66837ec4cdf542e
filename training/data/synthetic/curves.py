"""Catmull-Rom curves through the pen paths of the digits."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.strokes import FORMS, Form

STEPS = 6
"""Curve samples between two control points."""


@dataclass(frozen=True)
class Path:
    """A form parsed for drawing.

    Attributes
    ----------
    share
        The form's frequency.
    poses
        float64 [poses, points, 2], centred on 0 and about 1 across.
    sharp, smooth
        float64 [samples, points]: matrices that, multiplied by the points, give the curve with sharp or round corners.
    strokes
        The samples of each stroke, pen down to pen up.
    """

    share: float
    poses: NDArray[np.float64]
    sharp: NDArray[np.float64]
    smooth: NDArray[np.float64]
    strokes: tuple[slice, ...]


def _basis(sizes: list[int], corners: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Catmull-Rom curve through strokes of these sizes as a matrix [samples, points].

    A corner has no tangent.
    """
    count = sum(sizes)
    t = np.linspace(0.0, 1.0, STEPS, endpoint=False)[:, None]
    # Cubic Hermite blending: start point, start tangent, end point, end tangent.
    h = (2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, 3 * t**2 - 2 * t**3, t**3 - t**2)
    one = np.eye(count)
    rows = []
    first = 0
    for size in sizes:
        last = first + size - 1
        for i in range(first, last):
            chord = one[i + 1] - one[i]
            out_tangent = chord if i == first or corners[i] else (one[i + 1] - one[i - 1]) / 2
            in_tangent = chord if i + 1 == last or corners[i + 1] else (one[i + 2] - one[i]) / 2
            rows.append(h[0] * one[i] + h[1] * out_tangent + h[2] * one[i + 1] + h[3] * in_tangent)
        rows.append(one[last : last + 1])
        first = last + 1
    return np.concatenate(rows)


def _parse(form: Form) -> Path:
    words = [[stroke.split() for stroke in pose.split("|")] for pose in form.poses]
    sizes = [len(stroke) for stroke in words[0]]
    corners = np.array([word.endswith("!") for stroke in words[0] for word in stroke])
    poses = np.array(
        [[word.rstrip("!").split(",") for stroke in pose for word in stroke] for pose in words], dtype=np.float64
    )
    lengths = [(size - 1) * STEPS + 1 for size in sizes]
    ends = np.cumsum(lengths)
    return Path(
        share=form.share,
        poses=poses / 100.0 - 0.5,
        sharp=_basis(sizes, corners),
        smooth=_basis(sizes, np.zeros_like(corners)),
        strokes=tuple(slice(int(end) - length, int(end)) for end, length in zip(ends, lengths, strict=True)),
    )


@functools.cache
def paths(digit: int) -> tuple[Path, ...]:
    """Return the forms of a digit 0 to 9, parsed for drawing; cached."""
    return tuple(_parse(form) for form in FORMS[digit])
