"""`sparkdl demo`: train, stream, produce and show, in one go; ends by itself."""

from __future__ import annotations
