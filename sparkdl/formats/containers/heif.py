"""HEIF (ISO/IEC 23008-12), the container of AVIF and HEIC: the items, their codecs, sizes and extents.

The primary item is read: a coded picture, or a grid of coded items. An animated AVIF also has tracks; then the decoder
reads the first frame of a track.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sparkdl.formats.containers.boxes import Box, Reader, boxes, inner
from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.structure import CheckSize, reject_corrupt, reject_truncated, reject_unsupported
from sparkdl.images.rejection import Refused

_HEIC_BRANDS = rb"(?:hei[cxms]|hev[cxms])"
_GENERIC_BRANDS = rb"(?:mif[12]|msf1|miaf|MA1[AB])"
_COMPATIBLE = rb".{4}(?:.{4}){0,14}?"
_BRANDS = b".{4}ftyp(?:%b|" + _GENERIC_BRANDS + _COMPATIBLE + b"%b)"
AVIF_SIGNATURE = re.compile(_BRANDS % (rb"avi[fs]", rb"avi[fs]"), re.DOTALL)
HEIC_SIGNATURE = re.compile(_BRANDS % (_HEIC_BRANDS, _HEIC_BRANDS), re.DOTALL)
"""Formats by the major brand, or by the compatible brands if the major one only states HEIF."""

_CODECS = {"AVIF": frozenset({b"av01"}), "HEIC": frozenset({b"hvc1", b"hev1"})}
_METADATA = frozenset({b"Exif", b"mime"})
_DERIVED = frozenset({b"grid", b"iovl", b"iden"})
_CODEC_NAMES = {b"jpeg": "JPEG", b"avc1": "H.264", b"vvc1": "H.266", b"j2k1": "JPEG 2000", b"unci": "no codec"}
_TRACK = (b"mdia", b"minf", b"stbl", b"stsd")
_MAX_ITEMS = 65_536
_MAX_TRACKS = 100
_PADDING = 63
"""Pixels that HEVC encoders add to a picture and mark for cropping."""


@dataclass
class _Items:
    """The items of a file as described by `meta`, by item number."""

    primary: int | None = None
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The size in each property that states one, by the index of the property."""
    crops: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The sizes to which pictures are cropped, by the index of the property."""
    properties: dict[int, list[int]] = field(default_factory=dict)
    parts: dict[int, list[int]] = field(default_factory=dict)
    """The items that a derived item consists of."""


def scan_avif(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure of an AVIF; return the file with hidden EXIF and XMP."""
    _scan("AVIF", payload, check_size)
    return Picture(_without_metadata(payload))


def scan_heic(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure of a HEIC; return the file with hidden EXIF and XMP."""
    _scan("HEIC", payload, check_size)
    return Picture(_without_metadata(payload))


def _without_metadata(payload: bytes) -> bytes:
    """Return the file with hidden EXIF and XMP, because decoders refuse pictures with damaged metadata."""
    meta = next((box for box in boxes(payload, 0, len(payload)) if box.kind == b"meta"), None)
    entries = inner("HEIF", payload, meta, skip=4).get(b"iinf") if meta else None
    places = [at for _, kind, at in _item_kinds(payload, entries) if kind in _METADATA] if entries else []
    if not places:
        return payload
    changed = bytearray(payload)
    for at in places:
        changed[at : at + 4] = b"free"
    return bytes(changed)


def end_of_data(meta: bytes) -> int | None:
    """Return where the data of a file's items ends, from the box `meta` only; None if it does not state that."""
    try:
        locations = next((box for box in boxes(meta, 12, len(meta)) if box.kind == b"iloc"), None)
        extents = _extents(meta, locations, 0) if locations else {}
    except (IndexError, Refused):
        return None
    return max((start + length for places in extents.values() for start, length in places), default=None)


def _scan(name: str, payload: bytes, check_size: CheckSize) -> None:
    size = len(payload)
    top: dict[bytes, Box] = {}
    for box in boxes(payload, 0, size):
        top.setdefault(box.kind, box)
        if box.end > size and box.kind in (b"ftyp", b"meta", b"moov"):
            reject_truncated(f"{name}: {size} bytes, ends inside box {box.kind.decode('latin-1')}")
    meta, moov = top.get(b"meta"), top.get(b"moov")
    past_end = [box for box in top.values() if box.end > size]
    if meta is None and moov is None:
        if past_end or len(top) == 1:
            reject_truncated(f"{name}: {size} bytes, ends before the description of its items")
        reject_corrupt(f"{name}: no description of its items")
    try:
        if meta is not None:
            _check_items(name, payload, _items(name, payload, meta), check_size)
        if moov is not None:
            for width, height in _track_sizes(name, payload, moov):
                check_size(width, height)
    except IndexError:
        reject_corrupt(f"{name}: a box ends before its content does")
    if moov is not None and past_end:
        reject_truncated(f"{name}: {size} bytes, ends inside box {past_end[0].kind.decode('latin-1')}")
    if meta is None and name == "HEIC":
        reject_unsupported("HEIC: an image sequence without a still picture: publish frames of it as PNG or JPEG")


def _check_items(name: str, payload: bytes, items: _Items, check_size: CheckSize) -> None:
    primary = items.primary
    if primary is None or primary not in items.kinds:
        reject_corrupt(f"{name}: no primary image")
    properties = items.properties.get(primary, [])
    own = [items.sizes[place] for place in properties if place in items.sizes]
    if not own:
        reject_corrupt(f"{name}: the primary image has no size")
    crop = [items.crops[place] for place in properties if place in items.crops]
    check_size(*(crop or own)[0])
    kind = items.kinds[primary]
    parts = items.parts.get(primary, []) if kind in _DERIVED else [primary]
    codecs = {items.kinds.get(part, b"") for part in parts}
    if unknown := sorted(codecs - _CODECS[name]):
        codec = _CODEC_NAMES.get(unknown[0], unknown[0].decode("latin-1") or "nothing")
        reject_unsupported(f"{name}: the picture is coded as {codec}, which is not read: convert it to PNG or JPEG")
    if not codecs:
        reject_corrupt(f"{name}: the primary image is made of no parts")
    if name == "AVIF" and crop and crop[0] != own[0]:
        reject_unsupported("AVIF: a picture that is to be cropped (clap), which is not read: convert it to PNG or JPEG")
    for width, height in items.sizes.values():
        # The decoder may allocate each picture in a file: parts, alpha, thumbnails. Some are padded.
        check_size(width - min(_PADDING, width - 1), height - min(_PADDING, height - 1))
    size = len(payload)
    if any(start > size or length > size - start for extents in items.extents.values() for start, length in extents):
        reject_truncated(f"{name}: {size} bytes, the data of an item is past the end")
    if kind == b"grid":
        _check_grid(name, payload, items.extents.get(primary, []), check_size)


def _check_grid(name: str, payload: bytes, extents: list[tuple[int, int]], check_size: CheckSize) -> None:
    if not extents:
        reject_corrupt(f"{name}: a grid without description")
    start, length = extents[0]
    reader = Reader(payload, Box(b"grid", start, start + length))
    _, flags = reader.number(1), reader.number(1)
    reader.number(2)
    width = 4 if flags & 1 else 2
    check_size(reader.number(width), reader.number(width))


def _items(name: str, payload: bytes, meta: Box) -> _Items:
    items, found = _Items(), inner(name, payload, meta, skip=4)
    if b"pitm" in found:
        reader = Reader(payload, found[b"pitm"])
        items.primary = reader.number(4 if reader.version()[0] else 2)
    if b"iinf" in found:
        items.kinds = {number: kind for number, kind, _ in _item_kinds(payload, found[b"iinf"])}
    if b"iloc" in found:
        data = found.get(b"idat")
        items.extents = _extents(payload, found[b"iloc"], data.start if data else 0)
    if b"iref" in found:
        items.parts = dict(_parts(payload, found[b"iref"]))
    if b"iprp" in found:
        properties = inner(name, payload, found[b"iprp"])
        if b"ipco" in properties:
            for place, box in enumerate(boxes(payload, properties[b"ipco"].start, properties[b"ipco"].end), 1):
                reader = Reader(payload, box)
                if box.kind == b"ispe":
                    reader.version()
                    items.sizes[place] = reader.number(4), reader.number(4)
                elif box.kind == b"clap":
                    width, height = ((reader.number(4), reader.number(4)) for _ in range(2))
                    items.crops[place] = width[0] // max(width[1], 1), height[0] // max(height[1], 1)
        if b"ipma" in properties:
            items.properties = _associations(payload, properties[b"ipma"])
    return items


def _item_kinds(payload: bytes, box: Box) -> Iterator[tuple[int, bytes, int]]:
    """Yield the number and the kind of each item, and the offset of the kind."""
    reader = Reader(payload, box)
    skip = 6 if reader.version()[0] == 0 else 8
    for entry in boxes(payload, box.start + skip, box.end):
        if entry.kind == b"infe":
            reader = Reader(payload, entry)
            version, _ = reader.version()
            if version >= 2:
                number = reader.number(2 if version == 2 else 4)
                reader.number(2)
                yield number, reader.bytes(4), entry.start + (8 if version == 2 else 10)


def _extents(payload: bytes, box: Box, data: int) -> dict[int, list[tuple[int, int]]]:
    """Return the extents of each item's data in the file; extents inside another item are left out."""
    reader = Reader(payload, box)
    version, _ = reader.version()
    first, second = reader.number(1), reader.number(1)
    offset_bytes, length_bytes, base_bytes = first >> 4, first & 15, second >> 4
    index_bytes = second & 15 if version else 0
    found: dict[int, list[tuple[int, int]]] = {}
    total = 0  # if offsets and lengths have no bytes, an item of six bytes can have thousands of extents
    for _ in range(min(reader.number(4 if version == 2 else 2), _MAX_ITEMS)):
        number = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else 0
        reader.number(2)
        base = reader.number(base_bytes)
        count = reader.number(2)
        total += count
        if total > _MAX_ITEMS:
            reject_unsupported(f"HEIF: the data of the items is in more than {_MAX_ITEMS} places")
        for _ in range(count):
            reader.number(index_bytes)
            start, length = base + reader.number(offset_bytes), reader.number(length_bytes)
            if method < 2:
                found.setdefault(number, []).append((start + (data if method else 0), length))
    return found


def _parts(payload: bytes, box: Box) -> Iterator[tuple[int, list[int]]]:
    width = 2 if Reader(payload, box).version()[0] == 0 else 4
    for reference in boxes(payload, box.start + 4, box.end):
        if reference.kind == b"dimg":
            reader = Reader(payload, reference)
            number = reader.number(width)
            yield number, [reader.number(width) for _ in range(reader.number(2))]


def _associations(payload: bytes, box: Box) -> dict[int, list[int]]:
    reader = Reader(payload, box)
    version, flags = reader.version()
    found: dict[int, list[int]] = {}
    for _ in range(min(reader.number(4), _MAX_ITEMS)):
        number = reader.number(4 if version else 2)
        wide = flags & 1
        found[number] = [
            reader.number(2) & 0x7FFF if wide else reader.number(1) & 0x7F for _ in range(reader.number(1))
        ]
    return found


def _track_sizes(name: str, payload: bytes, moov: Box) -> Iterator[tuple[int, int]]:
    tracks = [box for box in boxes(payload, moov.start, moov.end) if box.kind == b"trak"]
    if len(tracks) > _MAX_TRACKS:
        reject_unsupported(f"{name}: more than {_MAX_TRACKS} tracks")
    for track in tracks:
        box: Box | None = track
        for kind in _TRACK:
            box = inner(name, payload, box).get(kind) if box else None
        for entry in boxes(payload, box.start + 8, box.end) if box else ():
            if entry.kind in _CODECS[name]:
                reader = Reader(payload, entry)
                reader.bytes(24)
                yield reader.number(2), reader.number(2)
