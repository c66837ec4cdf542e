"""The format of Kafka messages: an encoded image as input, a prediction or a dead letter as output.

Input: the value is the encoded image, the key is its name, and the headers, named by `Header`, are optional. A message
with only a value is valid. Output: the key is the `id` of the row. The value of a prediction is its row as JSON; the
value of a dead letter is the original bytes, and headers hold the rest of its row.

This module uses neither a Kafka client nor Spark.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sparkdl.formats.signatures import identify
from sparkdl.images.rejection import Refused

SCHEMA = "1"
DEAD_LETTERS_SUFFIX = ".dead-letters"
JSON_TYPE = "application/json"

Headers = list[tuple[str, bytes]]

_PREDICTION: dict[str, Any] = {
    "id": str,
    "origin": str,
    "prediction": str,
    "confidence": float | int,
    "probabilities": dict,
    "label": str | None,
    "needs_review": bool,
    "model": str,
    "produced_at": str | None,
    "predicted_at": str,
    "batch_id": int,
    "labels": list | None,
}
"""The JSON type of each column of `streaming.schemas.PREDICTION`. Messages are checked because any writer to the topic
can write anything.
"""

_ANOTHER_YEAR = re.compile(r"(0000|-\d{4,}|\+?\d{5,})-\d\d-\d\d")
"""Dates as Spark and Java write them in years that Python cannot represent."""


class Header(StrEnum):
    """Header names; the values are UTF-8."""

    LABEL = "label"
    CONTENT_TYPE = "content-type"
    SHA256 = "sha256"
    PRODUCED_AT = "produced-at"
    SCHEMA = "schema"
    # For dead letters only:
    ORIGIN = "origin"
    REASON = "reason"
    DETAIL = "detail"
    SIZE = "size"
    FAILED_AT = "failed-at"
    BATCH_ID = "batch-id"


def image_headers(payload: bytes, label: str | None, produced_at: datetime, content_type: str | None = None) -> Headers:
    """Return the headers of an encoded image, or of a message that contains one.

    Parameters
    ----------
    label
        The true class, None if it is not known.
    produced_at
        A time with a time zone.
    content_type
        The media type of the message; None for that of the image.
    """
    values = {
        Header.LABEL: label,
        Header.CONTENT_TYPE: content_type or _content_type(payload),
        Header.SHA256: hashlib.sha256(payload).hexdigest(),
        Header.PRODUCED_AT: produced_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        Header.SCHEMA: SCHEMA,
    }
    return [(name.value, value.encode()) for name, value in values.items() if value is not None]


def _content_type(payload: bytes) -> str | None:
    try:
        return f"image/{identify(payload).name.lower()}"
    except Refused:
        return None


def prediction_row(value: bytes) -> dict[str, Any]:
    """Return the prediction row (`streaming.schemas.PREDICTION`) in the value of a message.

    Raises
    ------
    ValueError
        If the value is not the JSON of a prediction.
    """
    try:
        row = json.loads(value)
    except RecursionError as error:
        raise ValueError("not a prediction: JSON that is nested too deeply") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), kind) for name, kind in _PREDICTION.items()):
        raise ValueError("not a prediction")
    row.setdefault("labels", None)  # messages of earlier versions lack it
    if not all(isinstance(label, str) for label in row["labels"] or ()):
        raise ValueError("not a prediction")
    row["produced_at"], row["predicted_at"] = _stated_time(row["produced_at"]), _time(row["predicted_at"])
    return row


def dead_letter_row(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Return the dead-letter row (`streaming.schemas.DEAD_LETTER`) in a message.

    Raises
    ------
    ValueError
        If the headers are not those of a dead letter.
    """
    named = {name: value.decode() for name, value in headers if value is not None}
    try:
        return {
            "id": (key or b"").decode(),
            "origin": named[Header.ORIGIN],
            "reason": named[Header.REASON],
            "detail": named.get(Header.DETAIL),
            "payload": value,
            "size": int(named[Header.SIZE]),
            "sha256": named.get(Header.SHA256),
            "label": named.get(Header.LABEL),
            "produced_at": _stated_time(named.get(Header.PRODUCED_AT)),
            "failed_at": _time(named[Header.FAILED_AT]),
            "batch_id": int(named[Header.BATCH_ID]),
        }
    except KeyError as error:
        raise ValueError(f"not a dead letter: no header {error.args[0].value!r}") from error


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _stated_time(value: str | None) -> datetime | None:
    """Return a time that the producer stated; None if its year is not in 1 to 9999."""
    return None if value is not None and _ANOTHER_YEAR.match(value) else _time(value)
