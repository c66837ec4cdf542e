"""Seeded damage to valid images."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from valid_files import Endian, chunk, valid

from sparkdl.images.rejection import Reason

PREDICTED = "prediction"
NOT_ADMITTED = frozenset(map(str, (Reason.EMPTY, Reason.TOO_MANY_BYTES, Reason.TOO_MANY_PIXELS)))
DAMAGED = frozenset(map(str, (Reason.UNSUPPORTED_FORMAT, Reason.TRUNCATED, Reason.CORRUPT))) | {"too_many_pixels"}
ANY = DAMAGED | {PREDICTED}
"""The allowed results of a damaged image whose format does not reveal all damage."""


class Hostile(NamedTuple):
    """A payload, its kind of attack, and its allowed results: reasons or `PREDICTED`."""

    kind: str
    name: str
    payload: bytes
    expected: frozenset[str]


# Each damage is a function of a generator, the image and another image.

Damage = Callable[[random.Random, bytes, bytes], bytes]
_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def flip(rng: random.Random, image: bytes, _: bytes) -> bytes:
    damaged = bytearray(image)
    for _n in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def flip_header(rng: random.Random, image: bytes, _: bytes) -> bytes:
    damaged = bytearray(image)
    for _n in range(rng.randint(1, 4)):
        damaged[rng.randrange(min(64, len(damaged)))] = rng.randrange(256)
    return bytes(damaged)


def cut(rng: random.Random, image: bytes, _: bytes) -> bytes:
    return image[: rng.randrange(len(image) - 1)]


def splice(rng: random.Random, image: bytes, other: bytes) -> bytes:
    return image[: rng.randrange(len(image))] + other[rng.randrange(len(other)) :]


def number(rng: random.Random, image: bytes, _: bytes) -> bytes:
    """Replace a field of 2 or 4 bytes by an extreme value."""
    width = rng.choice((2, 4))
    order: Endian = rng.choice(("little", "big"))
    place = rng.randrange(max(min(len(image), 400) - width, 1))
    value = (rng.choice(_NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, order)
    return image[:place] + value + image[place + width :]


def overwrite(rng: random.Random, image: bytes, _: bytes) -> bytes:
    length, place = rng.randint(1, 64), rng.randrange(len(image))
    run = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return image[:place] + run + image[place + length :]


def duplicate_part(rng: random.Random, image: bytes, _: bytes) -> bytes:
    parts = parts_of(image)
    place = rng.randrange(len(parts))
    parts[place:place] = [parts[place]] * rng.randint(1, 5)
    return b"".join(parts)


def shuffle_parts(rng: random.Random, image: bytes, _: bytes) -> bytes:
    first, *rest = parts_of(image)
    rng.shuffle(rest)
    return b"".join([first, *rest])


def drop_part(rng: random.Random, image: bytes, _: bytes) -> bytes:
    parts = parts_of(image)
    del parts[rng.randrange(len(parts))]
    return b"".join(parts) or b"\0"


def flip_behind_checksum(rng: random.Random, image: bytes, other: bytes) -> bytes:
    """Flip bits inside one PNG chunk and correct its checksum, so that the damage reaches the decompressor."""
    if not image.startswith(b"\x89PNG"):
        return flip(rng, image, other)
    parts = parts_of(image)
    place = rng.choice([n for n, part in enumerate(parts) if n and len(part) > 12])
    data = bytearray(parts[place][8:-4])
    for _n in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    parts[place] = chunk(parts[place][4:8], bytes(data))
    return b"".join(parts)


DAMAGES: tuple[Damage, ...] = (
    flip,
    flip_header,
    cut,
    splice,
    number,
    overwrite,
    duplicate_part,
    shuffle_parts,
    drop_part,
    flip_behind_checksum,
)


def parts_of(image: bytes) -> list[bytes]:
    """Return the chunks, segments or blocks of an image, signature first; equal pieces if the format has none."""
    if image.startswith(b"\x89PNG"):
        return [image[:8], *_walk(image, 8, lambda at: 12 + int.from_bytes(image[at : at + 4], "big"))]
    if image.startswith(b"RIFF"):
        return [
            image[:12],
            *_walk(image, 12, lambda at: 8 + (int.from_bytes(image[at + 4 : at + 8], "little") + 1) // 2 * 2),
        ]
    if image[4:8] == b"ftyp":
        return list(_walk(image, 0, lambda at: max(int.from_bytes(image[at : at + 4], "big"), 8)))
    if image.startswith(b"\xff\xd8"):
        pieces = image[2:].split(b"\xff\xdb")
        return [image[:2], pieces[0], *(b"\xff\xdb" + piece for piece in pieces[1:])]
    if image[:4] == b"II*\0" and len(image) > 8:
        start = int.from_bytes(image[4:8], "little")
        count = int.from_bytes(image[start : start + 2], "little")
        entries = [image[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
        return [image[: start + 2], *entries, image[start + 2 + 12 * count :]]
    size = max(len(image) // 8, 1)
    return [image[at : at + size] for at in range(0, len(image), size)]


def _walk(image: bytes, start: int, length: Callable[[int], int]) -> Iterator[bytes]:
    while start < len(image):
        end = start + length(start)
        yield image[start:end]
        start = end


def expected_of(damage: Damage, name: str) -> frozenset[str]:
    """Return the allowed results of a damaged image; a cut is damage only in TIFF, where it may hit a directory."""
    if damage is cut:
        whole = frozenset({"truncated", "unsupported_format", "empty", PREDICTED})
        return ANY | whole if name.startswith("TIFF") else whole
    return ANY


def mutations(seed: int, count: int) -> Iterator[Hostile]:
    """Yield `count` damaged images, each format and each kind of damage in turn."""
    rng, images = random.Random(seed), valid()
    names = sorted(images)
    for number_of in range(count):
        damage = DAMAGES[number_of % len(DAMAGES)]
        name, other = rng.choice(names), rng.choice(names)
        payload = damage(rng, images[name], images[other])
        if payload == images[name]:
            continue
        yield Hostile(f"fuzz: {damage.__name__}", name, payload, expected_of(damage, name))
