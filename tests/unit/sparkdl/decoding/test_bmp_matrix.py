"""BMP: every header, depth, compression, order of rows and size of the colour table."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from bmp_files import HEADERS, packed, write_bmp
from pictures import Array, assert_near, pixels, rejected

from sparkdl.images.rejection import Reason

HEIGHT, WIDTH = 7, 13
RNG = np.random.default_rng(5)
COLOURS = RNG.integers(0, 256, (256, 3), np.uint8)
BLACK_AND_WHITE = np.array([[0] * 3, [255] * 3], np.uint8)
GRAYS = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)
PALETTES = {
    "full": lambda bits: COLOURS[: 1 << bits],
    "short": lambda bits: COLOURS[: max((1 << bits) - 1, 2)],
    "two grays": lambda _: BLACK_AND_WHITE,
    "grays": lambda bits: GRAYS[: 1 << bits],
}
INDEXED = [
    kind
    for kind in itertools.product((1, 2, 4, 8), HEADERS, (False, True), PALETTES)
    if not (kind[1] == 12 and (kind[2] or kind[3] in ("short", "two grays")))  # this header says neither
]
MASKS = {
    (16, 0, ()): (0x7C00, 0x3E0, 0x1F),
    (16, 3, (0xF800, 0x7E0, 0x1F)): (0xF800, 0x7E0, 0x1F),
    (16, 3, (0x7C00, 0x3E0, 0x1F)): (0x7C00, 0x3E0, 0x1F),
    (24, 0, ()): (0xFF0000, 0xFF00, 0xFF),
    (32, 0, ()): (0xFF0000, 0xFF00, 0xFF),
    (32, 3, (0xFF0000, 0xFF00, 0xFF)): (0xFF0000, 0xFF00, 0xFF),
    (32, 3, (0xFF000000, 0xFF0000, 0xFF00)): (0xFF000000, 0xFF0000, 0xFF00),
}
DIRECT = [
    kind for kind in itertools.product(MASKS, HEADERS, (False, True)) if kind[1] != 12 or not (kind[2] or kind[0][1])
]


def second_reader(payload: bytes) -> Array:
    read = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert read is not None
    return np.asarray(read)


@pytest.mark.parametrize(("bits", "header", "is_top_down", "palette"), INDEXED)
def test_indices_become_the_colours_of_the_table(bits: int, header: int, is_top_down: bool, palette: str) -> None:
    table = PALETTES[palette](bits)
    index = RNG.integers(0, len(table), (HEIGHT, WIDTH))
    rows = [packed(row, bits) for row in index]
    payload = write_bmp(rows, WIDTH, HEIGHT, bits, header=header, palette=table, is_top_down=is_top_down)
    expected = table[index][..., ::-1]
    is_gray = palette in ("grays", "two grays")
    assert np.array_equal(pixels(payload), expected[..., :1] if is_gray else expected)
    if bits != 2 and header in (12, 40, 108, 124):  # OpenCV reads no others
        assert np.array_equal(np.broadcast_to(pixels(payload), expected.shape), second_reader(payload))


@pytest.mark.parametrize(("kind", "header", "is_top_down"), DIRECT)
def test_direct_colours_are_scaled_to_8_bits_or_refused_by_name(
    kind: tuple[int, int, tuple[int, ...]], header: int, is_top_down: bool
) -> None:
    bits, compression, masks = kind
    values = RNG.integers(0, 1 << bits, (HEIGHT, WIDTH), np.uint64)
    rows = [b"".join(int(value).to_bytes(bits // 8, "little") for value in row) for row in values]
    stored = (*masks, 0) if masks and header > 52 else masks
    payload = write_bmp(
        rows, WIDTH, HEIGHT, bits, header=header, compression=compression, masks=stored, is_top_down=is_top_down
    )
    if header == 64 and compression == 3:
        assert rejected(payload).reason is Reason.UNSUPPORTED_FORMAT
        assert "Huffman" in rejected(payload).detail
        return
    channels = []
    for mask in MASKS[kind]:
        shift = (mask & -mask).bit_length() - 1
        top = mask >> shift
        channels.append(((values & np.uint64(mask)) >> np.uint64(shift)).astype(float) * 255 / top)
    expected = np.stack(channels[::-1], axis=-1)
    assert_near(pixels(payload), np.floor(expected), 1 if bits == 16 else 0)
    is_known = masks != (0xFF000000, 0xFF0000, 0xFF00)
    if (header == 40 and is_known) or (compression == 0 and header in ((108, 124) if bits == 16 else (12, 108, 124))):
        # OpenCV reads no others. Of 16 bits it moves the bits of each colour to the top of a byte.
        assert_near(pixels(payload), second_reader(payload), 7 if bits == 16 else 0)


# Run lengths


def encoded_runs(index: Array, bits: int, style: str) -> tuple[bytes, Array]:
    """Pixel data in run lengths from the bottom row, and the indices that it stands for."""
    data, meant = bytearray(), index.copy()
    for row in range(HEIGHT - 1, -1, -1):
        line = index[row]
        if style == "delta" and row == HEIGHT - 3:
            data += b"\0\2\5\0"
            meant[row, :5] = 0
            line = line[5:]
        if style == "empty row" and row == HEIGHT - 3:
            meant[row] = 0
            line = line[:0]
        if style == "short rows":
            meant[row, 9:] = 0
            line = line[:9]
        if style in ("literal", "delta") and len(line) >= 3:
            data += bytes([0, len(line)])
            body = bytes(line) if bits == 8 else packed(line, 4)
            data += body + bytes(len(body) % 2)
        else:
            for value in line:
                data += bytes([1, value if bits == 8 else value << 4 | 7])
        if style == "delta up" and row == HEIGHT - 2:
            data += b"\0\0\0\2\0\1"
            meant[row - 1] = 0
            for later in range(row - 2, -1, -1):
                for value in index[later]:
                    data += bytes([1, value if bits == 8 else value << 4])
                data += b"\0\0"
            break
        if style == "early end" and row == 2:
            meant[:row] = 0
            break
        data += b"\0\0"
    return bytes(data) + (b"" if style == "no end mark" else b"\0\1"), meant


STYLES = ("runs", "literal", "delta", "delta up", "empty row", "short rows", "early end", "no end mark")


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize("style", STYLES)
def test_run_lengths_give_the_indices_that_they_stand_for_and_the_first_colour_where_they_skip(
    bits: int, header: int, style: str
) -> None:
    table = COLOURS[: 1 << bits]
    index = RNG.integers(0, len(table), (HEIGHT, WIDTH), np.uint8)
    data, meant = encoded_runs(index, bits, style)
    payload = write_bmp(data, WIDTH, HEIGHT, bits, header=header, palette=table, compression=1 if bits == 8 else 2)
    assert np.array_equal(pixels(payload), table[meant][..., ::-1])
    if style in ("runs", "literal") and header != 56:
        assert np.array_equal(pixels(payload), second_reader(payload))


def test_runs_of_two_alternating_pixels_and_runs_over_the_edge() -> None:
    data = bytes([5, 0x12, 0, 0, 9, 0x34, 0, 1])
    payload = write_bmp(data, 5, 2, 4, palette=COLOURS[:16], compression=2)
    assert np.array_equal(pixels(payload), COLOURS[[[3, 4, 3, 4, 3], [1, 2, 1, 2, 1]]][..., ::-1])


@pytest.mark.parametrize("bits", [4, 8])
def test_run_lengths_that_end_before_the_last_row_are_truncated(bits: int) -> None:
    index = RNG.integers(0, 1 << bits, (HEIGHT, WIDTH), np.uint8)
    data, _ = encoded_runs(index, bits, "runs")
    for length in range(len(data) - 4):  # the last row's end, and the end mark, are not needed
        payload = write_bmp(data[:length], WIDTH, HEIGHT, bits, palette=COLOURS[: 1 << bits], compression=3 - bits // 4)
        assert rejected(payload).reason is Reason.TRUNCATED, length


def test_the_last_row_needs_no_padding() -> None:
    index = RNG.integers(0, 256, (HEIGHT, WIDTH))
    payload = write_bmp([bytes(row.tolist()) for row in index], WIDTH, HEIGHT, 8, palette=COLOURS)
    assert np.array_equal(pixels(payload[:-3]), pixels(payload))
    assert rejected(payload[:-4]).reason is Reason.TRUNCATED


def test_an_index_beyond_the_table_is_black() -> None:
    payload = write_bmp([bytes([0, 1, 2, 3])], 4, 1, 8, palette=np.array([[9, 8, 7], [200, 100, 50]]))
    assert pixels(payload).tolist() == [[[7, 8, 9], [50, 100, 200], [0, 0, 0], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("compression", "bits", "header", "name"),
    [
        (4, 24, 40, "JPEG"),
        (5, 24, 40, "PNG"),
        (6, 32, 40, "Windows CE"),
        (3, 1, 64, "Huffman"),
        (4, 24, 64, "RLE24"),
        (11, 32, 40, "CMYK"),
        (1, 4, 40, "RLE8 pixels of 4 bits"),
        (0, 64, 40, "64 bits"),
        (9, 8, 40, "number 9"),
    ],
)
def test_a_compression_that_is_not_read_is_named(compression: int, bits: int, header: int, name: str) -> None:
    payload = write_bmp([bytes(64)] * 4, 4, 4, bits, header=header, compression=compression)
    assert rejected(payload).reason is Reason.UNSUPPORTED_FORMAT
    assert name in rejected(payload).detail
