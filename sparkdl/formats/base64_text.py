"""Base64 text and data URLs (RFC 4648, RFC 2397), parsed strictly: invalid text is refused, not repaired."""

from __future__ import annotations

import binascii
import re

from sparkdl.images.rejection import Reason, Refused

_SPACE = b" \t\r\n"
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/_-]")
_HINTS = {
    b" ": "a space: was '+' changed by URL decoding?",
    b"%": "a percent sign: decode the URL encoding first",
    b'"': "a quotation mark: for a JSON text use --message json:FIELD",
    b"{": "a brace: for a JSON text use --message json:FIELD",
    b"=": "padding that is not at the end",
}


def decode_base64(text: bytes, place: str) -> bytes:
    """Return the bytes of base64 text (RFC 4648), or of a data URL in base64.

    The standard and the URL-safe alphabet are accepted, but not both in one text. Padding may be omitted completely.
    White space around the text and line ends in it are ignored. Any other character, wrong padding, and leftover bits
    that are not 0 are refused: the text was truncated or changed.

    Parameters
    ----------
    place
        Where the text was found, for error messages.

    Raises
    ------
    Refused
        If the text is not valid (`Reason.BAD_ENVELOPE`).
    """
    text = text.strip(_SPACE)
    if text[:5].lower() == b"data:":
        head, comma, text = text.partition(b",")
        if not comma or not head.lower().endswith(b";base64"):
            raise bad_envelope(f"{place} is a data URL without ';base64,'")
    text = text.translate(None, b"\r\n")
    if not text:
        raise bad_envelope(f"{place} is empty")
    body = text.rstrip(b"=")
    if found := _NOT_BASE64.search(body):
        hint = _HINTS.get(found[0], f"{found[0]!r}"[1:])
        raise bad_envelope(f"{place} is not base64: at character {found.start() + 1} it has {hint}")
    if b"-" in body or b"_" in body:
        if b"+" in body or b"/" in body:
            raise bad_envelope(f"{place} mixes the alphabets of base64 ('+/' and '-_')")
        body = body.translate(bytes.maketrans(b"-_", b"+/"))
    padding, rest = len(text) - len(body), len(body) % 4
    if rest == 1 or (padding and padding != -rest % 4):
        raise bad_envelope(f"{place} is not base64: its length or padding is wrong; it was cut or changed")
    payload = binascii.a2b_base64(body + b"=" * (-rest % 4))
    if rest and binascii.b2a_base64(payload[-rest + 1 :], newline=False)[:rest] != body[-rest:]:
        raise bad_envelope(f"{place} is not base64: its last character has bits left over; it was cut or changed")
    return payload


def bad_envelope(detail: str) -> Refused:
    """Return the refusal of an envelope that cannot be opened."""
    return Refused(Reason.BAD_ENVELOPE, detail)
