"""Every combination of numbers, bits, codecs and layouts of a TIFF is right to the last bit, or refused by name."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import Array
from tiff_files import LOSSLESS, Page, write

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Reason, Rejected

HEIGHT, WIDTH = 21, 37
RNG = np.random.default_rng(7)
BASE = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
NOISE = RNG.integers(0, 1 << 63, (HEIGHT, WIDTH, 3), np.uint64)

UNSIGNED = (1, 2, 4, 8, 10, 12, 14, 16, 32, 64)
NUMBERS = [
    *(("u", bits) for bits in (*UNSIGNED, 3, 6, 24)),
    *(("i", bits) for bits in (8, 16, 32, 64)),
    *(("f", bits) for bits in (16, 32, 64)),
]
RGB_NUMBERS = [("u", bits) for bits in (4, 8, 10, 12, 14, 16, 32, 64)] + [("i", 16), ("f", 16), ("f", 32), ("f", 64)]
LAYOUTS: list[dict[str, Any]] = [{}, {"strip": 5}, {"tile": (16, 32)}]
ORDERS = ("<", ">")
REFUSAL = re.compile(
    r"TIFF: (gray|RGB) of (unsigned|signed|floating point) \d+-bit samples; save it as PNG, or as TIFF with .*"
    r"|TIFF: the (horizontal|floating point) predictor on (unsigned|signed|floating point) \d+-bit samples with "
    r"(no|LZW|Deflate|PackBits|LZMA|Zstandard) compression; save it as PNG, or as TIFF with .*"
)


def stored(number: str, bits: int, channels: int) -> tuple[Array, Array]:
    """Samples whose upper bits are `BASE`, and the picture that they are."""
    base, noise = BASE[..., :channels], NOISE[..., :channels]
    if number == "f":
        return (base / 255).astype(f"f{bits // 8}"), base
    if number == "i":
        return (base >> 1 if bits == 8 else base).astype(f"i{bits // 8}"), base >> 1 if bits == 8 else base
    if bits < 8:
        return base >> (8 - bits), (base >> (8 - bits)) * (255 / ((1 << bits) - 1))
    size = np.dtype(f"u{1 if bits == 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8}")
    low = noise & np.uint64((1 << (bits - 8)) - 1)
    return (base.astype(np.uint64) << np.uint64(bits - 8) | low).astype(size), base


def combinations(photometric: int, planars: tuple[bool, ...]) -> Iterator[tuple[str, Page, str, bool, Array]]:
    channels, numbers = (1, NUMBERS) if photometric == 1 else (3, RGB_NUMBERS)
    crossed = itertools.product(numbers, LOSSLESS, (1, 2, 3), ORDERS, LAYOUTS, planars, (False, True))
    for (number, bits), codec, predictor, order, layout, planar, big in crossed:
        if predictor > 1 and (number, bits) in (("u", 3), ("u", 6), ("u", 24)):
            continue
        can_predict = bits in (8, 16, 32, 64) and (predictor == 2 or number == "f")
        if big and predictor > 1 and not can_predict:
            continue  # refused by the predictor alone
        samples, picture = stored(number, bits, channels)
        page = Page(
            samples,
            photometric,
            LOSSLESS[codec],
            predictor=predictor if can_predict else 1,
            planar=planar,
            bits=bits,
            tags={} if can_predict or predictor == 1 else {317: (3, [predictor])},
            **layout,
        )
        name = f"{number}{bits} {codec} predictor {predictor} {order} {layout} planar={planar} big={big}"
        yield name, page, order, big, picture


@pytest.mark.parametrize(
    ("photometric", "planars", "right", "refused"), [(1, (False,), 2268, 1428), (2, (False, True), 2592, 2364)]
)
def test_each_combination_is_right_to_the_last_bit_or_refused_by_name(
    photometric: int, planars: tuple[bool, ...], right: int, refused: int
) -> None:
    outcomes: Counter[str] = Counter()
    wrong = []
    for name, page, order, big, picture in combinations(photometric, planars):
        decoded = decode(write(page, order=order, big=big))
        if isinstance(decoded, Rejected):
            outcomes["refused"] += 1
            if decoded.reason is not Reason.UNSUPPORTED_FORMAT or not REFUSAL.fullmatch(decoded.detail):
                wrong.append(f"{name}: {decoded}")
        else:
            outcomes["right"] += 1
            if not np.array_equal(decoded, picture[..., ::-1]):
                wrong.append(name)
    assert wrong == []
    assert outcomes == {"right": right, "refused": refused}


def test_a_second_reader_reads_the_files_of_the_matrix_as_they_were_meant() -> None:
    compared = 0
    every = itertools.chain(combinations(1, (False,)), combinations(2, (False, True)))
    for name, page, order, big, _ in itertools.islice(every, 0, None, 11):
        payload = write(page, order=order, big=big)
        if 317 in page.tags or page.bits in (3, 6, 24) or isinstance(decode(payload), Rejected):
            continue  # a predictor that its samples cannot have
        with tifffile.TiffFile(io.BytesIO(payload)) as file:
            read = file.pages[0].asarray(maxworkers=1)  # type: ignore[union-attr]
        samples = np.moveaxis(read, 0, -1) if page.planar else read
        assert np.array_equal(samples.reshape(page.samples.shape), page.samples), name
        compared += 1
    assert compared > 250
