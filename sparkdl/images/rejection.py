"""Rejection of images: the closed list of reasons, the limits, and a rejection as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from sparkdl.errors import RequestError

MAX_DETAIL = 200
DEAD_LETTER_LIST = "dead-letters.jsonl"
"""The list of exported dead letters, one JSON object a line, beside their files."""


class Reason(StrEnum):
    """The closed list of reasons for which an encoded image ends as a dead letter; `MEANINGS` says what each means."""

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
        Reason.TOO_MANY_BYTES: "the encoded image is longer than `Limits.max_bytes`; it was not looked into",
        Reason.TOO_MANY_PIXELS: "width x height is above `Limits.max_pixels`, or the pixels did not fit in memory",
        Reason.UNSUPPORTED_FORMAT: "not PNG, JPEG, BMP, GIF, TIFF, WebP, AVIF or HEIC, or a variant that is not read",
        Reason.TRUNCATED: "a valid start whose own structure says that more bytes should follow",
        Reason.CORRUPT: "complete, but a checksum, the structure or the pixel data contradicts itself",
        Reason.DECODER_CRASHED: "the process that decoded the image died or made no sense while doing so",
        Reason.DECODER_TIMEOUT: "decoding took longer than it was allowed; the detail has the limit that held",
        Reason.MODEL_ERROR: "the image was decoded, but the model failed on it",
        Reason.BAD_ENVELOPE: "the JSON, base64 text or CloudEvent that should hold the image cannot be opened",
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one encoded image may cost.

    Decoding takes at its peak 3 to 14 bytes of memory a pixel, up to 22 for WebP and samples of 64 bits, besides the
    payload: with the defaults at most about 1.2 GB. They allow the pictures of phones and cameras up to 50 megapixels.

    Raises `RequestError` for a number below 1, and for a time that is not above 0.
    """

    max_bytes: int = 32 * 1024 * 1024
    """Maximum payload, bytes."""
    max_pixels: int = 50_000_000
    """Maximum width x height, read from the header before any pixel is decoded.

    Above 178,956,970, Pillow's own limit, WebP is rejected in any case. A TIFF may have 8 bytes of samples a pixel for
    this number of pixels.
    """
    timeout: float = 30.0
    """Maximum time for one image, seconds, where it is decoded in a separate process."""
    shrinks: bool = False
    """Whether slow images shorten the time limit of those that follow; see `sparkdl.decoding.isolation.time_limit`."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels"):
            if (value := getattr(self, name)) < 1:
                raise RequestError(f"{name}: expected at least 1, received: {value}")
        if not self.timeout > 0:
            raise RequestError(f"timeout: expected more than 0 seconds, received: {self.timeout}")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why an encoded image was rejected. `detail` is one printable line of at most 200 characters."""

    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        # The detail may quote bytes from outside; it goes to logs, terminals and Kafka headers.
        line = "".join(c if c.isprintable() else "?" for c in " ".join(self.detail[: 4 * MAX_DETAIL].split()))
        object.__setattr__(self, "detail", line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 3] + "...")


class Refused(Exception):  # noqa: N818 - a verdict that travels up to `decode`, not an error for callers
    """Ends the reading of one payload; `decode` turns it into a `Rejected`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason, detail)
