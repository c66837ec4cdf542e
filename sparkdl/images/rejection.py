"""Rejection of images: the closed list of reasons, the limits, and a rejection as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from sparkdl.errors import RequestError

MAX_DETAIL = 200
DEAD_LETTER_LIST = "dead-letters.jsonl"
"""The list of exported dead letters next to their files, with one JSON object per line."""


class Reason(StrEnum):
    """The closed list of reasons why an encoded image becomes a dead letter; `MEANINGS` explains each reason."""

    EMPTY = "empty"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    DECODER_CRASHED = "decoder_crashed"
    DECODER_TIMEOUT = "decoder_timeout"
    MODEL_ERROR = "model_error"
    BAD_ENVELOPE = "bad_envelope"


MEANINGS = MappingProxyType(
    {
        Reason.EMPTY: "there are no bytes: the payload is null or has length 0",
        Reason.TOO_MANY_BYTES: "the encoded image is longer than `Limits.max_bytes`; it was not decoded",
        Reason.TOO_MANY_PIXELS: "width x height is above `Limits.max_pixels`, or the pixels did not fit in memory",
        Reason.UNSUPPORTED_FORMAT: "not PNG, JPEG, BMP, GIF, TIFF, WebP, AVIF or HEIC, or an unsupported variant",
        Reason.TRUNCATED: "a valid beginning whose structure requires more bytes",
        Reason.CORRUPT: "complete, but a checksum is wrong, or the structure or the pixel data is inconsistent",
        Reason.DECODER_CRASHED: "the process that decoded the image died or sent an invalid answer",
        Reason.DECODER_TIMEOUT: "decoding took longer than its time limit, which the detail states",
        Reason.MODEL_ERROR: "the image was decoded, but the model failed on it",
        Reason.BAD_ENVELOPE: "the JSON, base64 text or CloudEvent that should contain the image cannot be opened",
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the resources for one encoded image.

    At its peak, decoding takes 3 to 14 bytes of memory per pixel, up to 22 for WebP and samples of 64 bits, in addition
    to the payload: at most about 1.2 GB with the defaults. The defaults allow pictures of phones and cameras up to 50
    megapixels.

    Raises `RequestError` for a number below 1, and for a time that is not above 0.

    Examples
    --------
    >>> from sparkdl import Limits, decode
    >>> decode(bytes(2_000_000), Limits(max_bytes=1_000_000)).detail
    'more than the 1000000 allowed bytes'
    """

    max_bytes: int = 32 * 1024 * 1024
    """Maximum payload in bytes."""
    max_pixels: int = 50_000_000
    """Maximum width x height, read from the header before any pixel is decoded.

    Above 178,956,970, Pillow's own limit, WebP is always rejected. A TIFF may have 8 bytes of samples per pixel for
    this number of pixels.
    """
    timeout: float = 30.0
    """Maximum time for one image in seconds, if it is decoded in a separate process."""
    shrinks: bool = False
    """Whether slow images shorten the time limit of later images; see `sparkdl.decoding.isolation.time_limit`."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels"):
            if (value := getattr(self, name)) < 1:
                raise RequestError(f"{name}: expected at least 1, received: {value}")
        if not self.timeout > 0:
            raise RequestError(f"timeout: expected more than 0 seconds, received: {self.timeout}")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The reason why an encoded image was rejected. `detail` is one printable line of at most 200 characters.

    Examples
    --------
    >>> from sparkdl import decode
    >>> decode(b"").reason
    <Reason.EMPTY: 'empty'>
    """

    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        # The detail may quote untrusted bytes; it is written to logs, terminals and Kafka headers.
        line = "".join(c if c.isprintable() else "?" for c in " ".join(self.detail[: 4 * MAX_DETAIL].split()))
        object.__setattr__(self, "detail", line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 3] + "...")


class Refused(Exception):  # noqa: N818 - a control flow exception that `decode` catches, not an error for callers
    """Ends the decoding of one payload; `decode` converts it to a `Rejected`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason, detail)
