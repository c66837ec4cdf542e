"""Labels of images."""

from __future__ import annotations

import os
import unicodedata

MAX_LABEL_LENGTH = 256
"""Maximum characters of a label: training refuses a longer label, and a stream reads only as many from a header."""


def normalize_label(label: str) -> str:
    """Return a label in Unicode's composed form (NFC).

    Some systems write the accented letters and vowel signs of file names in pieces (NFD). Two such spellings look alike
    and are one class.
    """
    return label if label.isascii() else unicodedata.normalize("NFC", label)


def label_of_folder(name: str) -> str:
    """Return the label for the name of a folder, in training and in a stream: valid Unicode in composed form.

    Bytes of the name that are not UTF-8 become escapes, such as \\xff.
    """
    return normalize_label(os.fsencode(name).decode("utf-8", "backslashreplace"))
