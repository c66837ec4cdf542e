"""Size check of an encoded protobuf message, before a parser allocates objects for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10  # bytes


@dataclass(frozen=True)
class Bounds:
    """Limits of a message.

    Attributes
    ----------
    parts
        Nested messages and strings at every depth: an empty one has 2 bytes, and takes about 100 bytes when parsed.
    numbers
        Bytes of packed integers: a number has 1 byte or more, and takes 8 bytes when parsed.
    fields
        Total fields, which limits the time of the check.
    """

    parts: int
    numbers: int
    fields: int


class ExceededError(Exception):
    """A message exceeds its bounds."""


def check_size(content: bytes, kind: Any, bounds: Bounds) -> None:
    """Check a message field by field; fields that are not messages are skipped.

    Parameters
    ----------
    content
        The encoded message.
    kind
        The message's descriptor.

    Raises
    ------
    ExceededError
        If it exceeds `bounds`.
    ValueError
        If it is not a protobuf message, or is truncated.
    """
    fields = parts = numbers = 0
    waiting = [(kind, 0, len(content))]
    schemas: dict[str, dict[int, Any]] = {}
    while waiting:
        descriptor, position, end = waiting.pop()
        schema = schemas.get(descriptor.full_name)
        if schema is None:
            schema = schemas[descriptor.full_name] = dict(descriptor.fields_by_number)
        while position < end:
            fields += 1
            tag, position = _varint(content, position, end)
            wire = tag & 7
            if wire == _VARINT:
                _, position = _varint(content, position, end)
            elif wire == _BYTES:
                length, position = _varint(content, position, end)
                field = schema.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    parts += 1
                    waiting.append((field.message_type, position, position + length))
                elif field is not None and field.cpp_type == field.CPPTYPE_STRING:
                    parts += 1
                else:
                    numbers += length if field is not None and _grows(field) else 0
                position += length
            elif wire in (_FIXED64, _FIXED32):
                position += 8 if wire == _FIXED64 else 4
            else:
                raise ValueError(f"a field of wire type {wire}")
            if position > end:
                raise ValueError("a field that extends beyond the end")
            if parts > bounds.parts or numbers > bounds.numbers or fields > bounds.fields:
                raise ExceededError


def _grows(field: Any) -> bool:
    """Whether packed numbers take more memory than their bytes in the message."""
    return field.cpp_type not in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE)


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = shift = 0
    for position in range(position, min(end, position + _MAX_VARINT_BYTES)):  # noqa: B020 - where the number ends
        byte = content[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise ValueError("a number without an end")
