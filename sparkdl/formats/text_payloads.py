"""Text in place of an image: base64, JSON, markup, addresses; recognized from the first few KiB.

Only the beginning is decoded, so the cost does not depend on the size of the payload.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from sparkdl.formats.foreign import NameOf

HEAD = 4096
"""Bytes that are examined."""
_SHOWN = 40
_BASE64_HEAD = 512
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/_-]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]{16,}={0,2}\s*")
_HEX = re.compile(rb"(?:\\\\?x|0x)?((?:[0-9A-Fa-f]{2}\s?){12,})")
# The quoted text after a name; decoding it shows whether it is the beginning of an image in base64.
_JSON_TEXT = re.compile(rb'"([^"\\]{1,64})"\s*:\s*"(?:data:[\w/+.-]{1,40};base64,)?([A-Za-z0-9+/_-]{16,256})')
_PROLOG = rb"(?:<\?xml[^>]*>|(?><!--.*?-->)|\s)*+"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class TextKind:
    """One kind of text: the detail of its rejection, and how it begins."""

    detail: str
    pattern: re.Pattern[bytes]


def _begins(detail: str, pattern: bytes) -> TextKind:
    return TextKind(detail, re.compile(pattern, re.IGNORECASE | re.DOTALL))


_KINDS = (
    _begins("data URL: publish the decoded bytes, or use --message base64", rb"data:[\w/+.-]*[;,]"),
    _begins("Git LFS pointer: run 'git lfs pull' to have the image", rb"version https://git-lfs"),
    _begins("text of a Python bytes object: publish the bytes, not str() of them", rb"b(?:'|\")(?:\\x|[\x20-\x7e])"),
    _begins("text of a bytearray: publish the bytes, not str() of them", rb"bytearray\(b"),
    _begins("SVG drawing: draw it as PNG", _PROLOG + rb"(?><!DOCTYPE svg[^>]*>\s*)?<svg[\s:>]"),
    _begins(
        "HTML page, perhaps an error page: see what the address of the image answers",
        _PROLOG + rb"<(?:!doctype html|html|head|body|title|h1|p|div|script)[\s>]",
    ),
    _begins("XML error message: see what the address of the image answers", rb"(?:<\?xml[^>]*>\s*)?<Error[\s>]"),
    _begins("XML: publish the bytes of the image", rb"<\?xml|<[A-Z][\w:-]*[\s>/]"),
    _begins("HTTP response: publish its body alone", rb"HTTP/\d"),
    _begins(
        "MIME message or form data: publish the image in it alone",
        rb"--[^\s]{2,70}\r?\nContent-|MIME-Version:|Content-Type:",
    ),
    _begins("address of an image: publish the bytes that are there", rb"[a-z][a-z0-9+]{1,8}://\S+\s*\Z"),
    _begins(
        "path of an image: publish the bytes of that file",
        rb"[^\n]{1,1000}\.(?:png|jpe?g|jfif|gif|bmp|tiff?|webp|avif|hei[cf])\s*\Z",
    ),
)


def text_detail(payload: bytes, name_of: NameOf) -> str | None:
    """Return what kind of text a payload is and what to do about it; None if it is not text."""
    if payload.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _utf16_detail(payload)
    head = payload[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head or not is_text(head):
        return None
    if head[:1] in (b"{", b"["):
        return _json_detail(head, name_of)
    for kind in _KINDS:
        if kind.pattern.match(head):
            return kind.detail
    return _encoded_detail(head, name_of) or f"text: publish the bytes of the image; it begins {_shown(head)}"


def is_text(head: bytes) -> bool:
    """Whether bytes, possibly cut inside a character, are UTF-8 without control characters."""
    return utf8(head) is not None and not _CONTROL.search(head)


def utf8(head: bytes) -> str | None:
    """Return bytes as text, without an incomplete last character; None if they are not UTF-8."""
    try:
        return head.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data" or error.start < len(head) - 3:
            return None
        return head[: error.start].decode()


def _encoded_detail(head: bytes, name_of: NameOf) -> str | None:
    quoted = head.strip(b"\"' \r\n\t")
    if _BASE64.match(quoted) and (name := _name_in_base64(quoted, name_of)):
        return f"base64 text of a {name} image: publish the decoded bytes, or use --message base64"
    if (match := _HEX.match(quoted)) and (name := name_of(bytes.fromhex(match[1].decode()[:_BASE64_HEAD]))):
        return f"hexadecimal text of a {name} image: publish the decoded bytes"
    return None


def _name_in_base64(text: bytes, name_of: NameOf) -> str | None:
    digits = _NOT_BASE64.sub(b"", text[:_BASE64_HEAD]).translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return name_of(base64.b64decode(digits[: len(digits) // 4 * 4]))
    except binascii.Error:
        return None


def _json_detail(head: bytes, name_of: NameOf) -> str:
    if b'"specversion"' in head:
        return "JSON of a CloudEvent: publish the bytes of the image, or use --message cloudevents"
    for field, text in _JSON_TEXT.findall(head):
        if name := _name_in_base64(text, name_of):
            where = field.decode("utf-8", "replace")
            return (
                f"JSON with a {name} image in base64: publish its bytes, or use --message json:FIELD (here {where!r})"
            )
    return "JSON: publish the bytes of the image, or use --message json:FIELD if a field has them in base64"


def _utf16_detail(payload: bytes) -> str | None:
    order = "utf-16-le" if payload.startswith(b"\xff\xfe") else "utf-16-be"
    text = payload[2:66].decode(order, "replace")
    return "text in UTF-16: publish the bytes of the image" if text.isprintable() and text.isascii() else None


def _shown(head: bytes) -> str:
    text = utf8(head[: _SHOWN * 4]) or ""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
