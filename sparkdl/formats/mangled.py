"""Images that were changed in transit: line ends, character sets, and bytes in front of them."""

from __future__ import annotations

import re

from sparkdl.formats.foreign import NameOf
from sparkdl.formats.text_payloads import HEAD, utf8

_LINE_ENDS = {
    b"\x89PNG\n\x1a\n": "CR LF became LF",
    b"\x89PNG\r\r\n\x1a\r\n": "LF became CR LF",
    b"\x89PNG\r\n\x1a\r\n": "LF became CR LF",
    b"\x89PNG\n\n\x1a\n": "CR became LF",
    b"\x89PNG\r\r\x1a\r": "LF became CR",
}
"""The signature of PNG after a transfer as text, which the signature is designed to reveal."""
_LOST_BIT = b"\tPNG\r\n\x1a\n"
_MIN_FOREIGN = 8
"""Characters above 127 that prove text; image bytes that are valid UTF-8 by chance have fewer."""
_REPLACEMENT = "�"
_REPLACED = re.compile(r"�PNG|.{0,40}(?:JFIF|Exif)|GIF8[79]a|RIFF.{4,8}WEBP", re.DOTALL)
_IMAGE_AFTER = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff[\xdb\xe0\xe1\xe2\xee]|GIF8[79]a|RIFF.{4}WEBP|\x00\x00\x00.ftyp(?:avif|avis|hei[cx])",
    re.DOTALL,
)
_PREFIX = 1024
_CONFLUENT_PREFIX = 5
_CONFLUENT_FIELDS = 64
"""Maximum bytes between the schema id and the image: a length in Avro, and also indexes in Protobuf."""


def mangled_detail(payload: bytes, name_of: NameOf) -> str | None:
    """Return what changed an image and what to do about it; None if no known change is found."""
    for signature, change in _LINE_ENDS.items():
        if payload.startswith(signature):
            return f"PNG image whose line ends were changed ({change}): transfer it as binary, not as text"
    if payload.startswith(_LOST_BIT):
        return "PNG image whose bytes were cut to 7 bits: transfer it as binary, not as text"
    return _recoded_detail(payload, name_of) or _prefixed_detail(payload, name_of)


def passed_through_text(payload: bytes) -> str | None:
    """Return the detail for an image whose bytes were decoded as text; None if they were not."""
    text = utf8(payload[:HEAD])
    if text is None or sum(character > "\x7f" for character in text) < _MIN_FOREIGN:
        return None
    if _REPLACEMENT in text:
        return "the bytes were decoded as UTF-8 text, which loses most of them: publish bytes, not a string"
    return "the bytes were encoded as UTF-8 text: publish bytes, not a string"


def _recoded_detail(payload: bytes, name_of: NameOf) -> str | None:
    if (name := name_of(payload[: 2 * _PREFIX : 2])) and not any(payload[1 : 2 * _PREFIX : 2][:16]):
        return f"{name} image in UTF-16, two bytes for each: publish bytes, not a string"
    text = utf8(payload[:HEAD])
    if text is None or text.isascii():
        return None
    for charset in ("latin-1", "cp1252"):
        if name := name_of(text.encode(charset, "replace")):
            return f"{name} image that was encoded as UTF-8 text: publish bytes, not a string"
    if _REPLACEMENT in text and (_REPLACED.match(text) or "\0" in text):
        return "image that was decoded as UTF-8 text, which loses most bytes: publish bytes, not a string"
    return None


def _prefixed_detail(payload: bytes, name_of: NameOf) -> str | None:
    match = _IMAGE_AFTER.search(payload, 0, _PREFIX)
    name = match and name_of(payload[match.start() : match.start() + 64])
    if not match or not name:
        return None
    before = match.start()
    if payload[0] == 0 and _CONFLUENT_PREFIX <= before <= _CONFLUENT_PREFIX + _CONFLUENT_FIELDS:
        schema = int.from_bytes(payload[1:_CONFLUENT_PREFIX], "big")
        return (
            f"Confluent wire format (schema {schema}) around a {name} image: "
            "publish the bytes of the image alone, with the byte array serializer"
        )
    return f"{name} image after {before} other bytes: publish the bytes of the image alone"
