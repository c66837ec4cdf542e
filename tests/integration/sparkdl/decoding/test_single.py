"""Promises of `sparkdl.decode`: one image as training and streams decode it, in a separate process."""

from __future__ import annotations

import os

import numpy as np
import pytest
from pictures import RGB, SAMPLES, encode
from PIL import Image

from sparkdl import Limits, Rejected, decode
from sparkdl.decoding.decode import decode as decode_here
from sparkdl.decoding.isolation.client import decoder_client
from sparkdl.images.rejection import DEFAULT_LIMITS, Reason

LARGE = encode(Image.fromarray(RGB).resize((1300, 1000)), "PNG", compress_level=1)


@pytest.mark.parametrize("payload", [*SAMPLES.values(), LARGE], ids=[*SAMPLES, "large"])
def test_it_gives_the_pixels_of_a_stream(payload: bytes) -> None:
    expected = decode_here(payload, reduce=True)
    assert isinstance(expected, np.ndarray)
    for given in (payload, bytearray(payload), memoryview(payload)):
        np.testing.assert_array_equal(decode(given), expected)


@pytest.mark.parametrize("payload", [None, b"", b"not an image", SAMPLES["PNG"][:-20], b"BM"])
def test_what_cannot_be_decoded_has_a_reason(payload: bytes | None) -> None:
    expected = decode_here(payload)
    assert isinstance(expected, Rejected)
    assert decode(payload) == expected


def test_limits_hold() -> None:
    rejected = decode(SAMPLES["PNG"], Limits(max_pixels=100))
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.TOO_MANY_PIXELS


def test_the_image_is_decoded_in_another_process_which_is_kept() -> None:
    decode(SAMPLES["PNG"])
    client = decoder_client(DEFAULT_LIMITS)
    pid = client.pid
    assert pid is not None
    assert pid != os.getpid()
    decode(SAMPLES["JPEG"])
    assert client.pid == pid
