"""Sanitizing of untrusted text, such as file names, for terminals and logs."""

from __future__ import annotations

import re

# Control characters, which a terminal executes; line separators; direction marks, which make one name look like
# another; and code points that are not characters. Not the joiners, because Bengali needs them.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(words: str, keep: str = "") -> str:
    r"""Return `words` with an escape, such as `\x1b` or `\u202e`, for each character that is not printable.

    Parameters
    ----------
    keep
        Characters that are not escaped, such as a line end.
    """
    return _HARMFUL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), words)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable_json(text: str) -> str:
    """Return an equivalent JSON text with escapes for characters that are not printable."""
    return _HARMFUL.sub(lambda match: match[0] if match[0] in "\n" else f"\\u{ord(match[0]):04x}", text)
