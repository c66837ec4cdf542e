"""Envelopes: an encoded image inside a message of another format (JSON, base64 text, CloudEvents).

All functions are pure. Messages are untrusted, so all work on them is bounded: it takes a few times the length of the
message in memory, and JSON with more than `MOST_VALUES` values is not parsed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

from sparkdl.formats.base64_text import bad_envelope, decode_base64
from sparkdl.formats.signatures import identify
from sparkdl.images.rejection import Refused, Rejected

RAW = "raw"
"""The form of a message that is the image itself, without an envelope."""
FORMS = "raw, json:FIELD, base64 or cloudevents"
ATTRIBUTES = "attributes"
"""The column with the `Attributes` of a message, if its envelope has them."""
MOST_VALUES = 1 << 17
"""The maximum number of values in the JSON of a message."""

_SPEC_VERSION = "1.0"
_JSON_EVENT, _EVENT, _EVENT_BATCH = (
    "application/cloudevents+json",
    "application/cloudevents",
    "application/cloudevents-batch",
)
_SIGNATURE = 64  # bytes, longer than any signature
_NUMBER = object()
"""Replaces the numbers of parsed JSON, whose values are not needed."""


class Form(StrEnum):
    """The forms of envelopes."""

    JSON = "json"
    BASE64 = "base64"
    CLOUDEVENTS = "cloudevents"


class Attributes(NamedTuple):
    """Envelope attributes in the headers of a message (CloudEvents); None for a missing header."""

    content_type: str | None = None
    spec_version: str | None = None


NO_ATTRIBUTES = Attributes()


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a message contains an encoded image.

    Attributes
    ----------
    form
        The kind of envelope.
    path
        The names of the fields that lead to the image, outermost first; for `Form.JSON` only.
    """

    form: Form
    path: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Envelope | None:
        """Return the envelope for `--message TEXT`; None for `raw`.

        Raises
        ------
        ValueError
            If there is no such form.
        """
        form, separator, field = text.partition(":")
        if text == RAW:
            return None
        if form == Form.JSON and all(path := tuple(field.split("."))):
            return cls(Form.JSON, path)
        if form in (Form.BASE64, Form.CLOUDEVENTS) and not separator:
            return cls(Form(form))
        raise ValueError(f"expected {FORMS}")

    @property
    def has_attributes(self) -> bool:
        """Whether opening a message requires its headers."""
        return self.form is Form.CLOUDEVENTS

    @property
    def content_type(self) -> str:
        """The media type of a sealed message."""
        return _MEDIA_TYPES[self.form]

    def open(self, message: bytes | memoryview, attributes: Attributes = NO_ATTRIBUTES) -> bytes | memoryview:
        """Return the encoded image in a message.

        Raises
        ------
        Refused
            If the message is not an envelope of this form (`Reason.BAD_ENVELOPE`).
        """
        try:
            return _OPENERS[self.form](message, self.path, attributes)
        except Refused as refusal:
            is_event = attributes.spec_version is not None or (attributes.content_type or "").startswith(_EVENT)
            if not is_event and (name := _image_format(message)):
                raise bad_envelope(f"the message is the image itself ({name}): use --message raw") from None
            raise refusal from None

    def seal(self, payload: bytes, name: str) -> bytes:
        """Return a message of this form that contains an encoded image.

        Parameters
        ----------
        name
            The name of the image, used as the `subject` of a CloudEvent.
        """
        text = base64.b64encode(payload).decode()
        if self.form is Form.BASE64:
            return text.encode()
        if self.form is Form.CLOUDEVENTS:
            event = {"specversion": _SPEC_VERSION, "id": uuid4().hex, "source": "sparkdl", "type": "sparkdl.image"}
            return json.dumps(event | {"subject": name, "data_base64": text}).encode()
        value: Any = text
        for field in reversed(self.path):
            value = {field: value}
        return json.dumps(value).encode()

    def __str__(self) -> str:
        return f"{self.form}:{'.'.join(self.path)}" if self.path else str(self.form)


def open_messages(
    envelope: Envelope,
    messages: Sequence[memoryview | None],
    attributes: Sequence[Attributes] | None,
    max_bytes: int,
) -> tuple[list[memoryview | None], dict[int, Rejected]]:
    """Return the encoded image in each message, None if there is none, and the rejections of messages by index.

    Messages that are null, empty, or longer than `max_bytes` are returned unchanged: the decoder rejects them.

    Parameters
    ----------
    attributes
        The attributes of each message; None if the envelope has none.
    """
    opened: list[memoryview | None] = []
    rejected: dict[int, Rejected] = {}
    for row, message in enumerate(messages):
        if message is None or not 0 < len(message) <= max_bytes:
            opened.append(message)
            continue
        try:
            opened.append(memoryview(envelope.open(message, attributes[row] if attributes else NO_ATTRIBUTES)))
        except Refused as refusal:
            opened.append(None)
            rejected[row] = refusal.rejected
    return opened, rejected


def _open_base64(message: bytes | memoryview, path: tuple[str, ...], attributes: Attributes) -> bytes:
    return decode_base64(bytes(message).removeprefix(b"\xef\xbb\xbf"), "the message")


def _open_json(message: bytes | memoryview, path: tuple[str, ...], attributes: Attributes) -> bytes:
    value: object = _parse(message)
    for depth, name in enumerate(path):
        value = _member(value, name, ".".join(path[:depth]), ".".join(path[: depth + 1]))
    return _payload(value, ".".join(path))


def _open_cloudevent(message: bytes | memoryview, path: tuple[str, ...], attributes: Attributes) -> bytes | memoryview:
    media_type = (attributes.content_type or "").partition(";")[0].strip().lower()
    if media_type.startswith(_EVENT_BATCH):
        raise bad_envelope("a batch of CloudEvents: send one event in each message")
    if media_type.startswith(_EVENT) and media_type not in (_JSON_EVENT, _EVENT):
        raise bad_envelope(f"a CloudEvent as {media_type}: send it as JSON or in the binary mode")
    if not media_type.startswith(_EVENT) and attributes.spec_version is not None:
        _check_version(attributes.spec_version)
        return message
    event = _parse(message)
    if isinstance(event, list):
        raise bad_envelope("a JSON array, not a CloudEvent: send one event in each message")
    _check_version(_member(event, "specversion", "", "specversion"))
    assert isinstance(event, _Object)
    names = {key for key, _ in event.pairs} & {"data", "data_base64"}
    if len(names) != 1:
        raise bad_envelope(
            f"a CloudEvent with {'both data and data_base64' if names else 'neither data nor data_base64'}"
        )
    (name,) = names
    return _payload(_member(event, name, "", name), name)


def _check_version(version: object) -> None:
    if version != _SPEC_VERSION:
        said = f"{version!r}" if isinstance(version, str) else _kind(version)
        raise bad_envelope(f"a CloudEvent of specversion {said}, expected '{_SPEC_VERSION}'")


_OPENERS: dict[Form, Callable[[bytes | memoryview, tuple[str, ...], Attributes], bytes | memoryview]] = {
    Form.JSON: _open_json,
    Form.BASE64: _open_base64,
    Form.CLOUDEVENTS: _open_cloudevent,
}
_MEDIA_TYPES = {Form.JSON: "application/json", Form.BASE64: "text/plain", Form.CLOUDEVENTS: _JSON_EVENT}


class _Object:
    """A JSON object with all its pairs, because parsers differ on which value of a duplicate key they keep."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _parse(message: bytes | memoryview) -> object:
    """Return the JSON value of a message, with `_Object` for objects and `_NUMBER` for numbers."""
    content = bytes(message)
    if content[0] == 0 and content[5:6] in (b"{", b"["):
        raise bad_envelope("not JSON: it begins with byte 00, as what Confluent's serializers write; send plain JSON")
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise bad_envelope(f"JSON of more than {MOST_VALUES} values: send less data with the image")
    try:
        return json.loads(
            content.decode().removeprefix("\ufeff"),
            object_pairs_hook=_Object,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise bad_envelope(f"not JSON: byte {error.start + 1} is not valid UTF-8") from error
    except json.JSONDecodeError as error:
        raise bad_envelope(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise bad_envelope("JSON that is nested too deeply") from error


def _image_format(message: bytes | memoryview) -> str | None:
    """Return the name of the image format whose signature the message begins with."""
    try:
        return identify(bytes(message[:_SIGNATURE])).name
    except Refused:
        return None


def _number(text: str) -> object:
    return _NUMBER


def _constant(text: str) -> object:
    raise bad_envelope(f"not JSON: {text} is not a value of JSON")


def _member(value: object, name: str, parent: str, place: str) -> object:
    """Return the value of field `name` of an object; `parent` and `place` are the paths to the object and the field."""
    if not isinstance(value, _Object):
        raise bad_envelope(f"{parent or 'the message'} is {_kind(value)}, expected an object with the field {name}")
    found = [member for key, member in value.pairs if key == name]
    if not found:
        raise bad_envelope(f"no field {place} in the JSON")
    if len(found) > 1:
        raise bad_envelope(f"the field {place} occurs {len(found)} times in the JSON")
    return found[0]


def _payload(value: object, place: str) -> bytes:
    if not isinstance(value, str):
        raise bad_envelope(f"{place} is {_kind(value)}, expected base64 text")
    try:
        return decode_base64(value.encode("ascii"), place)
    except UnicodeEncodeError as error:
        raise bad_envelope(f"{place} is not base64: character {error.start + 1} is not ASCII") from error


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if value is _NUMBER:
        return "a number"
    kinds = {bool: "true or false", str: "a text", list: "an array", _Object: "an object"}
    return kinds[type(value)]
