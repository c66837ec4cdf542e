"""Labels of images."""

from __future__ import annotations

import unicodedata

MAX_LABEL_LENGTH = 256
"""Characters of a label: training refuses a longer one, a stream reads no more of a message's header."""


def normalize_label(label: str) -> str:
    """Return a label in Unicode's composed form (NFC).

    Some systems write the accented letters and vowel signs of file names in pieces (NFD). Two such spellings look alike
    and are one class.
    """
    return label if label.isascii() else unicodedata.normalize("NFC", label)
