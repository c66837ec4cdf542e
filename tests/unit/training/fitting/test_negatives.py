"""Promises of `training.fitting.inknet.negatives`: ink that shows no character, different each time."""

from __future__ import annotations

import numpy as np
import pytest

from training.fitting.inknet.negatives import make_negatives

SQUARES = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_there_are_as_many_as_were_asked_for(count: int) -> None:
    made = make_negatives(SQUARES, count, np.random.default_rng(1))
    assert (made.shape, made.dtype) == ((count, 32, 32), np.uint8)


def test_the_same_seed_makes_the_same_and_another_others() -> None:
    first, again, other = (make_negatives(SQUARES, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({picture.tobytes() for picture in first}) == 20


def test_no_character_is_among_them() -> None:
    characters = {square.tobytes() for square in SQUARES}
    made = make_negatives(SQUARES, 300, np.random.default_rng(3))
    assert not characters & {picture.tobytes() for picture in made}
    assert (np.ptp(made.reshape(300, -1).astype(int), axis=1) > 0).mean() > 0.9


def test_the_characters_themselves_are_left_as_they_are() -> None:
    before = SQUARES.copy()
    make_negatives(SQUARES, 40, np.random.default_rng(4))
    assert np.array_equal(SQUARES, before)
