"""Decoding of one image in the decoder process: `sparkdl.decode`."""

from __future__ import annotations

from sparkdl.decoding.isolation.client import decoder_client
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits, Rejected


def decode(payload: bytes | bytearray | memoryview | None, limits: Limits = DEFAULT_LIMITS) -> Pixels | Rejected:
    """Decode one encoded image as in training and streams.

    The image is decoded in a separate process with limited memory and time. The first call starts the process, and
    later calls reuse it. To decode many images, use `sparkdl.read_images`.

    Parameters
    ----------
    payload
        The encoded image.
    limits
        What the image may cost.

    Returns
    -------
    uint8 [height, width, channels], channels 1 (gray) or 3 (BGR), of at most a megapixel (see
    `sparkdl.images.pixels.downscale`); or the reason why the image cannot be decoded. No image raises an error.

    Raises
    ------
    SparkdlError
        If the decoder process cannot be started.

    Examples
    --------
    >>> from sparkdl import decode
    >>> decode(b"BM")
    Rejected(reason=<Reason.TRUNCATED: 'truncated'>, detail='BMP: 2 bytes, ends inside the signature')
    """
    view = None if payload is None else memoryview(payload).cast("B")
    decoded = decoder_client(limits).decode([view])
    return decoded.rejected[0] if decoded.rejected else decoded.images()[0]
