"""Promises of `sparkdl.system.left_out`: what is left out is counted by reason and named."""

from __future__ import annotations

from sparkdl.system.left_out import LeftOut, Why


def test_each_reason_is_counted_and_its_first_names_are_shown() -> None:
    left_out = LeftOut()
    for name in ("a.part", "b.part", "c.part", "d.part"):
        left_out.add(Why.TEMPORARY, name)
    left_out.add(Why.NOT_IMAGE, "notes.txt")
    assert (left_out.total, left_out.count(Why.TEMPORARY), left_out.count(Why.HIDDEN)) == (5, 4, 0)
    assert str(left_out) == (
        "5 left out: 4 temporary or system names (a.part, b.part, c.part, ...), 1 not an image (notes.txt)"
    )


def test_nothing_left_out_is_false() -> None:
    assert not LeftOut()


def test_a_long_name_is_cut() -> None:
    left_out = LeftOut()
    left_out.add(Why.IGNORED, "x" * 5000)
    assert len(str(left_out)) < 200


def test_every_reason_has_words() -> None:
    left_out = LeftOut()
    for why in Why:
        left_out.add(why, "a")
    assert str(left_out).startswith(f"{len(Why)} left out: ")
