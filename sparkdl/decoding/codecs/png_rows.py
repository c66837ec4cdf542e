"""Detection of PNG files whose pixel data ends before the last row; the decoder leaves the rest black silently."""

from __future__ import annotations

from PIL import Image

from sparkdl.formats.containers.png_chunks import chunks
from sparkdl.formats.containers.png_data import data_size, has_bytes


def lacks_rows(image: Image.Image, payload: bytes) -> bool:
    """Return whether the pixel data of a PNG that passed `scan_png`, loaded as `image`, ends before the last row."""
    # Missing rows are zero. Some complete pictures also end with a zero row; only they need the full count.
    last_row = image.resize(
        (image.width, 1), Image.Resampling.NEAREST, (0, image.height - 1, image.width, image.height)
    )
    if "interlace" not in image.info and last_row.tobytes().strip(b"\0"):
        return False
    stream = (payload[chunk.start : chunk.stop] for chunk in chunks(payload) if chunk.kind == b"IDAT")
    return not has_bytes(stream, data_size(payload[16:29]))
