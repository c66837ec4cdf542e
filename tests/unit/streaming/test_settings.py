"""Promises of `streaming.settings`: where a setting is taken from, and one line for what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from refusals import refused

from sparkdl.errors import RequestError
from sparkdl.images.rejection import DEFAULT_LIMITS
from streaming.settings import AfterRead, LabelFrom, StreamSettings

NEEDED = {"source": "in", "sink": "out", "checkpoint": "checkpoint"}


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, with no setting in the environment."""
    for name in StreamSettings.model_fields:
        monkeypatch.delenv(f"SPARKDL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(**given: Any) -> str:
    with pytest.raises(RequestError) as caught:
        StreamSettings.read(**{**NEEDED, **given})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_three_settings_are_enough() -> None:
    settings = StreamSettings.read(**NEEDED)
    assert (settings.source, settings.sink, settings.checkpoint) == ("in", "out", Path("checkpoint"))
    assert settings.model == "models"
    assert settings.trigger == 1.0
    assert settings.label_from is LabelFrom.NONE
    assert not settings.available_now
    assert (settings.stable_after, settings.after_read, settings.archive_dir) == (10, AfterRead.KEEP, None)
    assert (settings.max_bytes, settings.max_pixels) == (DEFAULT_LIMITS.max_bytes, DEFAULT_LIMITS.max_pixels)
    assert settings.decode_timeout == DEFAULT_LIMITS.timeout == 30


def test_the_argument_goes_before_the_environment_before_the_file_before_the_default(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert StreamSettings.read(**NEEDED).max_images_per_trigger is None
    (working_directory / "sparkdl.toml").write_text("max_images_per_trigger = 1\nreview_below = 0.9\n")
    assert StreamSettings.read(**NEEDED).max_images_per_trigger == 1
    monkeypatch.setenv("SPARKDL_MAX_IMAGES_PER_TRIGGER", "2")
    assert StreamSettings.read(**NEEDED).max_images_per_trigger == 2
    settings = StreamSettings.read(**NEEDED, max_images_per_trigger=3)
    assert (settings.max_images_per_trigger, settings.review_below) == (3, 0.9)


def test_the_trigger_is_a_duration_or_realtime() -> None:
    assert StreamSettings.read(**NEEDED, trigger="500ms").trigger == 0.5
    realtime = StreamSettings.read(**NEEDED, trigger="realtime")
    assert (realtime.trigger, realtime.is_realtime) == ("realtime", True)
    assert refusal(trigger="real-time") == (
        "--trigger: expected a duration such as 500ms, 1s or 2m, or realtime, received 'real-time'"
    )


def test_the_form_of_messages_is_checked(working_directory: Path) -> None:
    assert StreamSettings.read(**NEEDED).message == "raw"
    assert StreamSettings.read(**NEEDED, message="json:a.b").message == "json:a.b"
    assert refusal(message="avro") == "--message: expected raw, json:FIELD, base64 or cloudevents, received 'avro'"
    (working_directory / "sparkdl.toml").write_text('message = "json"\n')
    assert refusal() == "sparkdl.toml: message: expected raw, json:FIELD, base64 or cloudevents, received 'json'"


def test_a_form_of_messages_is_not_for_directories() -> None:
    with pytest.raises(RequestError, match=r"^--message base64 is for sources on Kafka: omit it"):
        StreamSettings.read(**NEEDED, message="base64").make_source()
    StreamSettings.read(**NEEDED, message="raw").make_source()


def test_an_argument_of_none_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKDL_TRIGGER", "500ms")
    assert StreamSettings.read(**NEEDED, trigger=None).trigger == 0.5


def test_every_setting_can_come_from_the_file(working_directory: Path) -> None:
    (working_directory / "sparkdl.toml").write_text(
        'source = "in"\nsink = "out"\ncheckpoint = "c"\nlabel_from = "parent"\ntrigger = "2m"\navailable_now = true\n'
    )
    settings = StreamSettings.read()
    assert (settings.source, settings.label_from, settings.trigger) == ("in", LabelFrom.PARENT, 120)
    assert settings.available_now


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("500ms", 0.5), ("1s", 1), ("1.5 s", 1.5), ("2m", 120), ("1h", 3600), ("3", 3), (0, 0), (0.25, 0.25)],
)
def test_a_duration_has_a_unit_or_is_in_seconds(given: object, seconds: float) -> None:
    assert StreamSettings.read(**NEEDED, trigger=given).trigger == seconds
    assert seconds == 0 or StreamSettings.read(**NEEDED, decode_timeout=given).decode_timeout == seconds


def test_patterns_are_a_list_or_separated_by_commas(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert StreamSettings.read(**NEEDED).ignore == ()
    (working_directory / "sparkdl.toml").write_text('ignore = ["*.bak", "a,b"]')
    assert StreamSettings.read(**NEEDED).ignore == ("*.bak", "a,b")
    monkeypatch.setenv("SPARKDL_IGNORE", "*.bak, raw/")
    assert StreamSettings.read(**NEEDED).ignore == ("*.bak", "raw/")
    assert StreamSettings.read(**NEEDED, ignore=["a,b"]).ignore == ("a,b",)


def test_a_pattern_that_is_none_and_patterns_for_a_topic_are_refused() -> None:
    with refused("--ignore", "'!x'"):
        StreamSettings.read(**NEEDED, ignore=["!x"]).make_source()
    with refused("--ignore is for directories"):
        StreamSettings.read(**(NEEDED | {"source": "kafka://localhost:9092/topic"}), ignore=["x"]).make_source()


@pytest.mark.parametrize("given", ["", "fast", "1 day", "-1s", "1s2", "s"])
def test_another_duration_is_refused_with_examples(given: str) -> None:
    expected = "expected a duration such as 500ms, 1s or 2m"
    assert refusal(trigger=given) == f"--trigger: {expected}, or realtime, received {given!r}"
    assert refusal(stable_after=given) == f"--stable-after: {expected}, received {given!r}"


@pytest.mark.parametrize("name", ["source", "sink", "checkpoint"])
def test_what_is_missing_is_named_as_the_option_it_is(name: str) -> None:
    assert refusal(**{name: None}) == f"--{name} is missing"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"review_below": 1.5}, "--review-below: input should be less than or equal to 1, received 1.5"),
        ({"max_images_per_trigger": 0}, "--max-images-per-trigger: input should be greater than or equal to 1"),
        ({"max_bytes": "many"}, "--max-bytes: expected an integer, received"),
        ({"max_pixels": -1}, "--max-pixels: input should be greater than or equal to 1, received -1"),
        ({"decode_timeout": "0s"}, "--decode-timeout: input should be greater than 0, received 0.0"),
        ({"stable_after": "soon"}, "--stable-after: expected a duration such as 500ms, 1s or 2m, received 'soon'"),
        ({"after_read": "burn"}, "--after-read: input should be 'keep', 'archive' or 'delete', received 'burn'"),
        ({"label_from": "child"}, "--label-from: input should be 'none' or 'parent', received 'child'"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_option(given: dict[str, Any], words: str) -> None:
    assert refusal(**given).startswith(words)


def test_a_value_of_the_environment_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKDL_REVIEW_BELOW", "high")
    assert refusal().startswith("SPARKDL_REVIEW_BELOW: expected a number")


@pytest.mark.parametrize("content", [b"trigger = ", b"source = 'in'\nsource = 'in'\n", b"source = '\xff'"])
def test_a_file_that_is_no_toml_is_refused_by_name(working_directory: Path, content: bytes) -> None:
    (working_directory / "sparkdl.toml").write_bytes(content)
    assert refusal().startswith("sparkdl.toml: ")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        StreamSettings.read(**NEEDED).source = "elsewhere"  # type: ignore[misc]
