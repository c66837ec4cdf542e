"""Promises of `sparkdl.formats.envelopes`: an image comes out byte for byte, or one line says what is wrong."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkdl.formats.base64_text import decode_base64
from sparkdl.formats.envelopes import MOST_VALUES, NO_ATTRIBUTES, Attributes, Envelope, open_messages
from sparkdl.images.rejection import Reason, Refused, Rejected

IMAGE = b"\x89PNG\r\n\x1a\n\xfb\xff\xfe\0"
TEXT = base64.b64encode(IMAGE).decode()
JSON_EVENT = Attributes("application/cloudevents+json; charset=UTF-8")


def envelope(form: str) -> Envelope:
    found = Envelope.parse(form)
    assert found is not None
    return found


def refusal(form: str, message: bytes, attributes: Attributes = NO_ATTRIBUTES) -> str:
    """The detail of a message that cannot be opened."""
    with pytest.raises(Refused) as caught:
        envelope(form).open(message, attributes)
    assert caught.value.rejected.reason is Reason.BAD_ENVELOPE
    return caught.value.rejected.detail


def outcome(form: str, message: bytes) -> bytes | Rejected:
    """The image in a message, or why it cannot be opened."""
    try:
        return bytes(envelope(form).open(message))
    except Refused as refused:
        return refused.rejected


# --- the names of forms --------------------------------------------------------------------------------------------


def test_raw_is_no_envelope() -> None:
    assert Envelope.parse("raw") is None


@pytest.mark.parametrize("form", ["json:image", "json:a.b.c", "base64", "cloudevents"])
def test_a_form_is_shown_as_it_is_written(form: str) -> None:
    assert str(envelope(form)) == form


@pytest.mark.parametrize("form", ["", "json", "json:", "json:a..b", "json:.a", "base64:", "base64:x", "avro", "RAW"])
def test_other_forms_are_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r"^expected raw, json:FIELD, base64 or cloudevents$"):
        Envelope.parse(form)


# --- what is opened ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json:a", "json:a.b.c", "base64", "cloudevents"])
@given(payload=st.binary(min_size=1))
def test_what_is_sealed_can_be_opened(form: str, payload: bytes) -> None:
    assert envelope(form).open(envelope(form).seal(payload, 'a "name"')) == payload


@given(
    payload=st.binary(min_size=1),
    width=st.integers(1, 80),
    urlsafe=st.booleans(),
    padded=st.booleans(),
    around=st.text(" \t\r\n", max_size=3),
)
def test_every_usual_way_to_write_base64_is_read(
    payload: bytes, width: int, urlsafe: bool, padded: bool, around: str
) -> None:
    text = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(payload).decode()
    text = text if padded else text.rstrip("=")
    lines = "\r\n".join(text[start : start + width] for start in range(0, len(text), width))
    assert decode_base64((around + lines + around).encode(), "x") == payload


@given(text=st.binary(max_size=12))
def test_base64_text_is_read_as_python_reads_it_or_refused(text: bytes) -> None:
    try:
        found = decode_base64(text, "x")
    except Refused:
        return
    bare = text.translate(bytes.maketrans(b"-_", b"+/"), b" \t\r\n")
    bare = bare.partition(b",")[2] if b"," in bare else bare
    assert base64.b64encode(found).rstrip(b"=") == bare.rstrip(b"=")


@pytest.mark.parametrize(
    "message",
    [
        {"a": {"b": TEXT}},
        {"a": {"b": f"data:image/png;base64,{TEXT}"}},
        {"a": {"b": f"DATA:;charset=x;BASE64,{TEXT}"}},
        {"a.b": "no", "a": {"b": TEXT, "c": {"b": "no"}}, "b": [1, 2.5, None, True, {"a": "no"}]},
    ],
)
def test_a_field_of_json_is_opened_wherever_it_is(message: object) -> None:
    assert envelope("json:a.b").open(json.dumps(message).encode()) == IMAGE


def test_a_byte_order_mark_changes_nothing() -> None:
    assert envelope("json:a").open(b"\xef\xbb\xbf" + json.dumps({"a": TEXT}).encode()) == IMAGE
    assert envelope("base64").open(b"\xef\xbb\xbf" + TEXT.encode()) == IMAGE


def test_escapes_and_other_scripts_are_json() -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in TEXT)
    assert envelope("json:ছবি").open(f'{{"x": "😀", "ছবি": "{escaped}"}}'.encode()) == IMAGE


def test_a_key_that_is_repeated_elsewhere_does_not_matter() -> None:
    assert envelope("json:a").open(f'{{"x": 1, "x": 2, "a": "{TEXT}"}}'.encode()) == IMAGE


def event(**more: object) -> bytes:
    return json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"} | more).encode()


@pytest.mark.parametrize("attributes", [NO_ATTRIBUTES, JSON_EVENT, Attributes("application/json")])
@pytest.mark.parametrize("data", [{"data_base64": TEXT}, {"data": TEXT}, {"data": f"data:;base64,{TEXT}"}])
def test_a_structured_cloudevent_is_opened(attributes: Attributes, data: dict[str, str]) -> None:
    assert envelope("cloudevents").open(event(**data), attributes) == IMAGE


@pytest.mark.parametrize("content_type", [None, "image/png", "application/json"])
def test_the_value_of_a_binary_cloudevent_is_the_image(content_type: str | None) -> None:
    assert envelope("cloudevents").open(IMAGE, Attributes(content_type, "1.0")) == IMAGE


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b'{"a": "' + TEXT.encode(), "not JSON: Unterminated string"),
        (b'{"a": "x"} {"a": "x"}', "not JSON: Extra data"),
        (b'{"a": "\x01"}', "not JSON: Invalid control character"),
        (b'{"a": "\xff"}', "not JSON: byte 8 is not valid UTF-8"),
        ('{"a": "x"}'.encode("utf-16-le"), "not JSON"),
        ('{"a": "x"}'.encode("utf-16"), "not JSON: byte 1 is not valid UTF-8"),
        (b"\0\0\0\0\x07{}", "byte 00, as what Confluent's serializers write"),
        (b'{"a": NaN}', "not JSON: NaN is not a value of JSON"),
        (b"[" * 100_000, "JSON that is nested too deeply"),
        (b"[" + b"0," * MOST_VALUES + b"0]", f"JSON of more than {MOST_VALUES} values"),
        (b'"text"', "the message is a text, expected an object with the field a"),
        (b"[]", "the message is an array, expected an object with the field a"),
        (b"1" * 10_000, "the message is a number, expected an object with the field a"),
        (b'{"b": 1}', "no field a in the JSON"),
        (b'{"a": "x", "a": "y"}', "the field a occurs 2 times in the JSON"),
        (b'{"a": null}', "a is null, expected base64 text"),
        (b'{"a": 1e999}', "a is a number, expected base64 text"),
        (b'{"a": [137, 80]}', "a is an array, expected base64 text"),
        (b'{"a": {"data": "x"}}', "a is an object, expected base64 text"),
        (b'{"a": true}', "a is true or false, expected base64 text"),
        (b'{"a": ""}', "a is empty"),
        ('{"a": "QUé="}'.encode(), "a is not base64: character 3 is not ASCII"),
        (b'{"a": "data:image/png,QUJD"}', "a is a data URL without ';base64,'"),
    ],
)
def test_what_is_wrong_with_json_is_said(message: bytes, detail: str) -> None:
    assert detail in refusal("json:a", message)


@pytest.mark.parametrize("form", ["json:a", "base64", "cloudevents"])
@pytest.mark.parametrize(("image", "name"), [(IMAGE, "PNG"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"GIF89a+_", "GIF")])
def test_an_image_without_an_envelope_is_named(form: str, image: bytes, name: str) -> None:
    assert refusal(form, image) == f"the message is the image itself ({name}): use --message raw"


def test_the_place_of_a_fault_is_a_path() -> None:
    assert refusal("json:a.b.c", b'{"a": {"b": 1}}') == "a.b is a number, expected an object with the field c"
    assert refusal("json:a.b", b'{"a": {"b": 1, "b": 2}}') == "the field a.b occurs 2 times in the JSON"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"\x89PNX", "at character 1 it has '\\x89'"),
        (b"QUJD QUJD", "at character 5 it has a space: was '+' changed by URL decoding?"),
        (b"QUJD%3D", "at character 5 it has a percent sign"),
        (b'"QUJD"', "at character 1 it has a quotation mark: for a JSON text use --message json:FIELD"),
        (b'{"a": 1}', "at character 1 it has a brace: for a JSON text use --message json:FIELD"),
        (b"QUI=QUI=", "at character 4 it has padding that is not at the end"),
        (b"+_+_", "the message mixes the alphabets of base64 ('+/' and '-_')"),
        (b"QUJDQ", "its length or padding is wrong"),
        (b"QUI==", "its length or padding is wrong"),
        (b"QUJD=", "its length or padding is wrong"),
        (b"====", "its length or padding is wrong"),
        (b"QUJ", "its last character has bits left over"),
        (b"QR==", "its last character has bits left over"),
        (b" \r\n ", "the message is empty"),
        (b"data:image/png;base64", "a data URL without ';base64,'"),
        ("QUJD".encode("utf-16-le"), "at character 2 it has '\\x00'"),
    ],
)
def test_what_is_wrong_with_base64_is_said(text: bytes, detail: str) -> None:
    assert detail in refusal("base64", text)


@pytest.mark.parametrize(
    ("message", "attributes", "detail"),
    [
        (event(), JSON_EVENT, "a CloudEvent with neither data nor data_base64"),
        (event(data=TEXT, data_base64=TEXT), JSON_EVENT, "a CloudEvent with both data and data_base64"),
        (event(data={"image": TEXT}), JSON_EVENT, "data is an object, expected base64 text"),
        (event(specversion="0.3", data=TEXT), JSON_EVENT, "a CloudEvent of specversion '0.3', expected '1.0'"),
        (event(specversion=1.0, data=TEXT), JSON_EVENT, "a CloudEvent of specversion a number, expected '1.0'"),
        (b'{"data_base64": "QUJD"}', NO_ATTRIBUTES, "no field specversion in the JSON"),
        (b"[" + event(data=TEXT) + b"]", NO_ATTRIBUTES, "a JSON array, not a CloudEvent: send one event in each"),
        (b"[]", Attributes("application/cloudevents-batch+json"), "a batch of CloudEvents"),
        (IMAGE, Attributes("application/cloudevents+avro"), "a CloudEvent as application/cloudevents+avro"),
        (b"\xff", JSON_EVENT, "not JSON: byte 1 is not valid UTF-8"),
        (b"\xff", NO_ATTRIBUTES, "not JSON: byte 1 is not valid UTF-8"),
        (IMAGE, Attributes("image/png", "0.3"), "a CloudEvent of specversion '0.3', expected '1.0'"),
    ],
)
def test_what_is_wrong_with_a_cloudevent_is_said(message: bytes, attributes: Attributes, detail: str) -> None:
    assert detail in refusal("cloudevents", message, attributes)


@given(message=st.binary(min_size=1), form=st.sampled_from(["json:a", "base64", "cloudevents"]))
def test_no_bytes_lead_to_another_error(message: bytes, form: str) -> None:
    found = outcome(form, message)
    assert isinstance(found, bytes) or found.reason is Reason.BAD_ENVELOPE


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(TEXT),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "specversion", "data"]), inner),
        max_leaves=8,
    ),
    form=st.sampled_from(["json:a", "json:a.b", "cloudevents"]),
)
def test_any_json_gives_the_image_of_its_field_or_a_reason(value: object, form: str) -> None:
    found, text = outcome(form, json.dumps(value).encode()), json.dumps(value)
    if isinstance(found, bytes):
        written = text.replace("-", "+").replace("_", "/").replace("\\n", "").replace("\\r", "")
        assert base64.b64encode(found).decode().rstrip("=") in written
    else:
        assert found.reason is Reason.BAD_ENVELOPE


# --- bounds --------------------------------------------------------------------------------------------------------


def test_messages_without_bytes_or_with_too_many_are_left_to_the_decoder() -> None:
    long, good = memoryview(b"x" * 101), memoryview(TEXT.encode())
    opened, rejected = open_messages(envelope("base64"), [None, memoryview(b""), long, good], None, 100)
    assert opened == [None, b"", long, IMAGE]
    assert rejected == {}


def test_each_message_has_its_own_attributes_and_its_own_verdict() -> None:
    messages = [memoryview(IMAGE), memoryview(IMAGE), memoryview(event(data=TEXT))]
    attributes = [Attributes(None, "1.0"), NO_ATTRIBUTES, NO_ATTRIBUTES]
    opened, rejected = open_messages(envelope("cloudevents"), messages, attributes, 1000)
    assert opened == [IMAGE, None, IMAGE]
    assert {row: refused.reason for row, refused in rejected.items()} == {1: Reason.BAD_ENVELOPE}


@pytest.mark.parametrize(
    "message",
    [
        b'{"a": "' + base64.b64encode(bytes(3 << 20)) + b'"}',
        b"[" + b"[]," * (MOST_VALUES // 2 - 1) + b"[]]" + b" " * (4 << 20),
        b"[" + b"{}," * (MOST_VALUES // 2 - 1) + b"{}]" + b" " * (4 << 20),
        b'{"a": "' + "😀".encode() * (1 << 20) + b'"}',
        b"1" * (4 << 20),
    ],
    ids=["an image", "arrays", "objects", "wide characters", "one number"],
)
def test_memory_is_a_few_times_the_message(message: bytes) -> None:
    tracemalloc.start()
    try:
        open_messages(envelope("json:a"), [memoryview(message)], None, len(message))
        assert tracemalloc.get_traced_memory()[1] < 9 * len(message)
    finally:
        tracemalloc.stop()
