"""Labels of images."""

from __future__ import annotations

MAX_LABEL_LENGTH = 256
"""Characters of a label: training refuses a longer one, a stream reads no more of a message's header."""
