"""Sanitize text from outside, such as file names, for terminals and logs."""

from __future__ import annotations

import re

# Control characters, which a terminal obeys; what ends a line; what turns the direction of writing, so that one name
# looks like another; and what is no character at all. Not the joiners, which Bengali is written with.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(words: str, keep: str = "") -> str:
    r"""Return `words` with each character that is not printable as its escape, `\x1b` or `\u202e`.

    Parameters
    ----------
    keep
        Characters that are left as they are, such as the end of a line.
    """
    return _HARMFUL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), words)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable_json(text: str) -> str:
    """Return an equal JSON text in which characters that are not printable are escaped."""
    return _HARMFUL.sub(lambda match: match[0] if match[0] in "\n" else f"\\u{ord(match[0]):04x}", text)
