"""A codec with two faults, planted into the decoders of a stream whose `PYTHONPATH` begins with this directory.

An image whose bytes end with `CRASH` makes its decoder read address 0; one that ends with `SLOW` keeps it busy for
`SECONDS`. Python imports this module at its start.
"""

from __future__ import annotations

import sys

CRASH, SLOW = b"planted: crash", b"planted: slow"
SECONDS = 40.0

if "sparkdl.decoding.isolation.server" in sys.orig_argv:
    import ctypes
    import time
    from typing import Any

    from sparkdl.decoding import decode as decoding

    sound = decoding.decode

    def faulty(payload: bytes | None, *arguments: Any, **options: Any) -> Any:
        if payload and payload.endswith(CRASH):
            ctypes.string_at(0)
        if payload and payload.endswith(SLOW):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                pass
        return sound(payload, *arguments, **options)

    decoding.decode = faulty
