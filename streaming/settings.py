"""The settings of a stream and their defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
)

from sparkdl.errors import RequestError
from sparkdl.formats.envelopes import FORMS as MESSAGE_FORMS
from sparkdl.formats.envelopes import RAW, Envelope
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits
from sparkdl.inference.top_k import ALL_CLASSES, FEW_CLASSES, entries_kept
from sparkdl.models.mlflow.address import FORMS as MODEL_FORMS
from streaming.kafka.client_config import ClientConfig
from streaming.settings_file import TOML, check_keys, check_place, read_settings_file
from streaming.sinks.base import Sink
from streaming.sinks.factory import FORMS as SINK_FORMS
from streaming.sinks.factory import parse_sink
from streaming.sources.base import AfterRead, LabelFrom, Source
from streaming.sources.directory.source import STABLE_AFTER
from streaming.sources.factory import FORMS as SOURCE_FORMS
from streaming.sources.factory import parse_source

ENV_PREFIX = "SPARKDL_"
TABLE = "stream"
"""The table of a settings file with the settings of a stream, which may also be at the top level."""
_EXPECTED = {
    "int_parsing": "expected an integer",
    "float_parsing": "expected a number",
    "bool_parsing": "expected true or false",
}
"""The message for each type of pydantic error; other types keep pydantic's own message."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _to_seconds(value: object) -> object:
    """Return the seconds of "1s", "500ms", "2m", "1h" or a number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip())
    if not match or (match[2] or "s") not in _UNITS:
        raise ValueError("expected a duration such as 500ms, 1s or 2m")
    return float(match[1]) * _UNITS[match[2] or "s"]


REALTIME = "realtime"
"""The trigger of Spark's real-time mode."""


def _to_trigger(value: object) -> object:
    """Return the seconds of a duration, or `REALTIME`."""
    if value == REALTIME:
        return value
    try:
        return _to_seconds(value)
    except ValueError as error:
        raise ValueError(f"expected a duration such as 500ms, 1s or 2m, or {REALTIME}") from error


Duration = Annotated[float, BeforeValidator(_to_seconds)]
"""A duration in seconds; a text with a unit is converted."""


def _to_patterns(value: object) -> object:
    """Return the patterns in a text with commas, the form of an environment variable; other values are unchanged."""
    return [pattern.strip() for pattern in value.split(",")] if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_to_patterns)]
"""Patterns of file names."""


def _check_message(form: str) -> str:
    Envelope.parse(form)
    return form


class StreamSettings(BaseModel):
    """One stream: its source, model, sink and checkpoint, and how it runs.

    `read` looks for each field in this order: the keyword argument, the environment variable (`SPARKDL_` and the name
    of the field), the settings file, the default. `sparkdl stream` has an option for each field.

    `source` and `sink` are addresses, or your own objects (`streaming.sources.base.Source`,
    `streaming.sinks.base.Sink`).

    Examples
    --------
    >>> from streaming.settings import StreamSettings
    >>> settings = StreamSettings.read(source="incoming", sink="parquet:out", checkpoint="progress", trigger="500ms")
    >>> settings.trigger
    0.5
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: Annotated[str | InstanceOf[Source], PlainSerializer(str)] = Field(
        description=f"Where images come from: {SOURCE_FORMS}."
    )
    model: str = Field("models", description=MODEL_FORMS)
    mlflow: str | None = Field(None, description="MLflow server of the model; by default MLFLOW_TRACKING_URI.")
    sink: Annotated[str | InstanceOf[Sink], PlainSerializer(str)] = Field(
        description=f"Where results go: {SINK_FORMS}."
    )
    checkpoint: Path = Field(description="Directory of the stream's checkpoint.")
    available_now: bool = Field(False, description="Classify the images that are there now, then exit.")
    trigger: Annotated[float | Literal["realtime"], BeforeValidator(_to_trigger)] = Field(
        1.0, description="Time between micro-batches, such as 500ms; or realtime, from Kafka to Kafka."
    )
    label_from: LabelFrom = Field(LabelFrom.NONE, description="parent: the name of a file's folder is its true class.")
    max_images_per_trigger: int | None = Field(
        None, ge=1, description="Maximum images per micro-batch; by default as many as take about 8 s."
    )
    stable_after: Duration = Field(
        STABLE_AFTER, description="Time without a change before a file without a recognizable end is read."
    )
    after_read: AfterRead = Field(AfterRead.KEEP, description="What to do with files that were read.")
    archive_dir: Path | None = Field(None, description="Directory that --after-read archive moves files to.")
    ignore: Patterns = Field(
        (), description="Pattern of file names to ignore, such as '*.bak' or 'raw/'; can be repeated."
    )
    review_below: float | None = Field(
        None, ge=0, le=1, description="Confidence below which a prediction needs review; by default the model's own."
    )
    top_k: int | None = Field(
        None,
        ge=1,
        description=f"Classes to keep in probabilities; by default all of up to {ALL_CLASSES}, else {FEW_CLASSES}.",
    )
    max_bytes: int = Field(DEFAULT_LIMITS.max_bytes, ge=1, description="Maximum size of an encoded image, in bytes.")
    max_pixels: int = Field(DEFAULT_LIMITS.max_pixels, ge=1, description="Maximum size of an image, in pixels.")
    decode_timeout: Duration = Field(DEFAULT_LIMITS.timeout, gt=0, description="Maximum time to decode one image.")
    kafka_config: Path | None = Field(None, description="Properties file for Kafka clients, with TLS and credentials.")
    starting_offsets: str = Field("earliest", description="Where a new stream starts: earliest, latest or JSON.")
    min_partitions: int | None = Field(
        None, ge=1, description="Minimum number of tasks that read a micro-batch; by default one per core."
    )
    fail_on_data_loss: bool = Field(True, description="Fail if Kafka has deleted messages that were not read.")
    message: Annotated[str, AfterValidator(_check_message)] = Field(
        RAW, description=f"Encoding of the image in a message: {MESSAGE_FORMS}."
    )
    retries: int = Field(5, ge=0, description="Maximum restarts in a row after a failure.")
    http: str | None = Field(None, description="Address that serves /livez, /readyz and /metrics; by default none.")

    _from_file: dict[str, Any] = PrivateAttr(default_factory=dict)
    _file: str = PrivateAttr(default=TOML)

    @property
    def from_file(self) -> dict[str, Any]:
        """The settings that were read from the settings file, as written there."""
        return self._from_file

    @property
    def file(self) -> str:
        """The path of the settings file."""
        return self._file

    @property
    def is_realtime(self) -> bool:
        """Whether the stream runs in Spark's real-time mode."""
        return self.trigger == REALTIME

    @property
    def limits(self) -> Limits:
        """The limits of an image; slow images shorten the time limit of those that follow."""
        return Limits(self.max_bytes, self.max_pixels, self.decode_timeout, shrinks=True)

    def entries_kept(self, classes: Sequence[str] | None) -> int | None:
        """Return how many classes `probabilities` has for a model of `classes`; None for all."""
        return self.top_k if self.top_k is not None else entries_kept(classes)

    @cached_property
    def kafka_client(self) -> ClientConfig:
        """The settings of Kafka clients, in the file `kafka_config`.

        Raises
        ------
        RequestError
            If the file cannot be read, or a value is unknown or inconsistent.
        """
        return ClientConfig.read(self.kafka_config)

    def make_source(self) -> Source:
        """Return the source: the object, or the source at its address.

        Raises
        ------
        RequestError
            If the address has no known form, or a setting does not apply to this kind of source.
        """
        source = self.source if isinstance(self.source, Source) else parse_source(self.source, **self._options())
        if self.message != RAW and source.envelope is None:
            raise RequestError(f"--message {self.message} is for sources on Kafka: omit it, a file is the image itself")
        return source

    def make_sink(self) -> Sink:
        """Return the sink: the object, or the sink at its address.

        Raises
        ------
        RequestError
            If the address has no known form, or a setting does not apply to this kind of sink.
        """
        return self.sink if isinstance(self.sink, Sink) else parse_sink(self.sink, **self._options())

    def _options(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return fields | {"kafka_client": self.kafka_client}  # an invalid file is refused even if no address uses it

    @classmethod
    def read(cls, file: Path | None = None, /, **given: Any) -> StreamSettings:
        """Return the settings; arguments that are None count as not given.

        Parameters
        ----------
        file
            The settings file; by default `sparkdl.toml` in the working directory, if there is one. Its table `stream`
            and its top level hold settings of a stream; other tables are ignored.

        Raises
        ------
        RequestError
            If a setting is missing or out of range, or the file cannot be read or has an unknown setting; one line says
            which and why.
        """
        name = TOML if file is None else str(file)
        written = _stream_values(read_settings_file(file), name, list(cls.model_fields))
        given = {key: value for key, value in given.items() if value is not None}
        variables = {key: os.environ[_variable(key)] for key in cls.model_fields if _variable(key) in os.environ}
        taken = {key: value for key, (_, value) in written.items() if key not in given and key not in variables}
        try:
            settings = cls(**{**taken, **variables, **given})
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            place = "--" + key.replace("_", "-")
            if key in taken:
                place = written[key][0]
            elif key in variables and key not in given:
                place = _variable(key)
            if first["type"] == "missing":
                raise RequestError(f"{place} is missing") from error
            if first["type"] == "value_error":  # our own
                message = first["msg"].removeprefix("Value error, ")
            else:
                message = _EXPECTED.get(first["type"]) or first["msg"].lower()
            raise RequestError(f"{place}: {message}, received {first['input']!r}") from error
        settings._file = name
        if taken:
            settings._from_file.update({key: taken[key] for key in cls.model_fields if key in taken})
            if file is None:
                watched = str(settings.source)
                check_place([] if "://" in watched else [Path(watched)], Path(settings.model))
        return settings


def _variable(key: str) -> str:
    return ENV_PREFIX + key.upper()


def _stream_values(file: dict[str, Any], name: str, known: list[str]) -> dict[str, tuple[str, Any]]:
    """Return the place and the value of each setting of a stream in a settings file."""
    top = {key: value for key, value in file.items() if not isinstance(value, dict)}
    table = file.get(TABLE, {})
    if not isinstance(table, dict):
        raise RequestError(f"{name}: expected [{TABLE}] to be a table")
    check_keys(name, top, known)
    check_keys(f"{name}: [{TABLE}]", table, known)
    if both := top.keys() & table.keys():
        raise RequestError(f"{name}: {min(both)} is both at the top level and in [{TABLE}]: remove one")
    return {key: (f"{name}: {key}", value) for key, value in top.items()} | {
        key: (f"{name}: [{TABLE}] {key}", value) for key, value in table.items()
    }
