"""Promises of `streaming.kafka.messages`: what an image, a prediction and a dead letter look like on a topic."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from streams import encode

from streaming.kafka.messages import Header, dead_letter_row, image_headers, prediction_row

AT = datetime(2026, 11, 23, 10, 30, 0, 123456, UTC)
ROW = {
    "id": "a",
    "origin": "file:/a",
    "prediction": "7",
    "confidence": 0.5,
    "probabilities": {"7": 0.5},
    "label": None,
    "needs_review": False,
    "model": "m",
    "produced_at": None,
    "predicted_at": "2026-11-23T10:30:00.5Z",
    "batch_id": 3,
    "labels": ["7", "8"],
}


def test_an_image_has_its_label_type_digest_and_time_as_headers() -> None:
    payload = encode("PNG")
    assert dict(image_headers(payload, "৭", AT)) == {
        "label": "৭".encode(),
        "content-type": b"image/png",
        "sha256": hashlib.sha256(payload).hexdigest().encode(),
        "produced-at": b"2026-11-23T10:30:00.123456Z",
        "schema": b"1",
    }


def test_the_time_is_told_in_utc() -> None:
    here = AT.astimezone(timezone(timedelta(hours=6)))
    assert dict(image_headers(b"", None, here))["produced-at"] == b"2026-11-23T10:30:00.123456Z"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "AVIF"])
def test_the_content_type_is_that_of_the_bytes(image_format: str) -> None:
    headers = dict(image_headers(encode(image_format), None, AT))
    assert headers["content-type"] == f"image/{image_format.lower()}".encode()


def test_what_is_not_known_has_no_header() -> None:
    assert dict(image_headers(b"words", None, AT)).keys() == {"sha256", "produced-at", "schema"}


def test_a_prediction_is_read_with_its_times() -> None:
    read = prediction_row(json.dumps(ROW).encode())
    assert read == {**ROW, "predicted_at": datetime(2026, 11, 23, 10, 30, 0, 500000, UTC)}


def test_a_prediction_of_an_earlier_version_has_no_labels() -> None:
    earlier = {name: value for name, value in ROW.items() if name != "labels"}
    assert prediction_row(json.dumps(earlier).encode())["labels"] is None


@pytest.mark.parametrize("labels", ["cat", [1], [None], {"cat": 1}])
def test_labels_that_are_no_list_of_names_are_no_prediction(labels: object) -> None:
    with pytest.raises(ValueError, match="not a prediction"):
        prediction_row(json.dumps({**ROW, "labels": labels}).encode())


@pytest.mark.parametrize(("name", "value"), [("prediction", ["7"]), ("id", {}), ("confidence", "1"), ("model", None)])
def test_a_prediction_has_a_value_of_the_right_kind_in_each_column(name: str, value: object) -> None:
    for other in ({**ROW, name: value}, {key: kept for key, kept in ROW.items() if key != name}):
        with pytest.raises(ValueError, match="not a prediction"):
            prediction_row(json.dumps(other).encode())


@pytest.mark.parametrize(
    "time", ["-0882-01-14T08:00:00Z", "+33658-09-27T01:46:40Z", "33658-09-27", "0000-01-01T00:00:00Z"]
)
def test_a_time_of_a_year_that_no_reader_holds_is_none(time: str) -> None:
    assert prediction_row(json.dumps(ROW | {"produced_at": time}).encode())["produced_at"] is None
    headers = {"origin": "o", "reason": "empty", "size": "0", "batch-id": "0", "failed-at": "2026-01-01T00:00:00Z"}
    given = [(name, value.encode()) for name, value in (headers | {"produced-at": time}).items()]
    assert dead_letter_row(b"a", b"", given)["produced_at"] is None


@pytest.mark.parametrize("value", [b"", b"7", b"\xff", b"[]", b'{"id": "a"}', b"[" * 100_000])
def test_what_is_no_prediction_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever is wrong with it
        prediction_row(value)


def test_a_dead_letter_is_read_from_key_value_and_headers() -> None:
    headers = [
        (Header.ORIGIN, b"kafka://in/0/5"),
        (Header.REASON, b"truncated"),
        (Header.DETAIL, b"PNG: 3 bytes"),
        (Header.SIZE, b"3"),
        (Header.FAILED_AT, b"2026-11-23T10:30:00.123456Z"),
        (Header.BATCH_ID, b"4"),
    ]
    assert dead_letter_row(b"in/0/5", b"abc", headers) == {
        "id": "in/0/5",
        "origin": "kafka://in/0/5",
        "reason": "truncated",
        "detail": "PNG: 3 bytes",
        "payload": b"abc",
        "size": 3,
        "sha256": None,
        "label": None,
        "produced_at": None,
        "failed_at": AT,
        "batch_id": 4,
    }


def test_a_message_without_the_headers_of_a_dead_letter_is_refused() -> None:
    with pytest.raises(ValueError, match="not a dead letter: no header 'origin'"):
        dead_letter_row(b"a", b"b", [])
