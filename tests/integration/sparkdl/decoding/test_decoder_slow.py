"""Promises of the decoder client about slow and crashing images: they hold the good ones for a stated time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import pytest
from isolated import DIGITS, assert_digits, results_of, views
from liar import TAKEN, liar
from slow_pictures import many_scans, short_runs

from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.decoding.isolation.time_limit import AdaptiveTimeout
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Reason, Rejected

TIMEOUT = 1.5


@pytest.fixture
def streaming() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits(timeout=TIMEOUT, shrinks=True))
    yield made
    made.close()


def mixed(bad: Sequence[bytes]) -> list[bytes]:
    """Each of `bad` before a good one."""
    return [payload for index, image in enumerate(bad) for payload in (image, DIGITS[index % 10])]


def rejected(results: Sequence[Pixels | Rejected]) -> list[Rejected]:
    return [result for result in results if isinstance(result, Rejected)]


@pytest.mark.parametrize(("slow", "count"), [(many_scans(), 20), (short_runs(), 6)], ids=["many scans", "short runs"])
def test_slow_images_hold_the_good_ones_for_a_stated_time(streaming: DecoderClient, slow: bytes, count: int) -> None:
    payloads = mixed([slow] * count)
    least = AdaptiveTimeout(TIMEOUT).min_limit(len(slow))
    streaming.decode(views(DIGITS))
    began = time.monotonic()
    results = results_of(streaming.decode(views(payloads)))
    assert time.monotonic() - began < 1.5 * TIMEOUT + 1.2 * count * least + 5
    assert_digits(results[1::2], payloads[1::2])
    late = rejected(results)
    assert len(late) == count
    assert {refusal.reason for refusal in late} == {Reason.DECODER_TIMEOUT}
    assert late[0].detail == f"not decoded within {TIMEOUT:g} s"
    shortened = re.fullmatch(
        rf"not decoded within ([\d.]+) s, instead of {TIMEOUT:g} s, since images before it were slow", late[-1].detail
    )
    assert shortened
    assert (
        round(least, 2) <= float(shortened[1]) < 2
    )  # a strike is forgiven with time, and a busy machine takes its time


def test_in_a_batch_each_image_has_all_of_its_time() -> None:
    patient = DecoderClient(Limits(timeout=0.4))
    try:
        results = results_of(patient.decode(views([many_scans()] * 4)))
    finally:
        patient.close()
    assert [refusal.detail for refusal in rejected(results)] == ["not decoded within 0.4 s"] * 4


def test_an_image_that_crashes_its_decoder_costs_milliseconds() -> None:
    decoder = DecoderClient(Limits(), program=liar("crashes", confined=True))
    payloads = mixed([TAKEN] * 50)
    try:
        decoder.decode(views(DIGITS))
        began = time.monotonic()
        results = results_of(decoder.decode(views(payloads)))
        assert time.monotonic() - began < 50 * 0.15
    finally:
        decoder.close()
    assert_digits(results[1::2], payloads[1::2])
    words = "the decoder ended by SIGSEGV, alone again: the decoder ended by SIGSEGV"
    assert rejected(results) == [Rejected(Reason.DECODER_CRASHED, words)] * 50
