"""Everything a stream can be told, with every default, in one frozen object."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from sparkdl.errors import RequestError
from sparkdl.images.rejection import DEFAULT_LIMITS
from streaming.settings_file import TOML, check_place, read_settings_file

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class LabelFrom(StrEnum):
    """Where an image's true class is read from, if it is known at all."""

    NONE = "none"
    PARENT = "parent"


class AfterRead(StrEnum):
    """What is done with a file once its micro-batch is complete."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


def _to_seconds(value: object) -> object:
    """Seconds of "1s", "500ms", "2m", "1h" or a number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip())
    if not match or (match[2] or "s") not in _UNITS:
        raise ValueError("expected a duration such as 500ms, 1s or 2m")
    return float(match[1]) * _UNITS[match[2] or "s"]


class StreamSettings(BaseSettings):
    """One stream: from where, by which model, to where.

    `read` takes each field from the keyword argument, else from the environment (`SPARKDL_` and its name), else from
    `sparkdl.toml` in the working directory, else it has its default.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="SPARKDL_", extra="ignore")

    source: str = Field(description="a directory to watch, or kafka://HOST:PORT/TOPIC")
    model: str = Field("models", description="a registry, a version, or a saved PipelineModel")
    sink: str = Field(description="parquet:DIR, delta:DIR, a directory, kafka://HOST:PORT/TOPIC or console")
    checkpoint: Path = Field(description="the directory of the stream's progress")
    available_now: bool = Field(False, description="process what is there, then end")
    trigger: Annotated[float, BeforeValidator(_to_seconds)] = Field(1.0, description="seconds between micro-batches")
    label_from: LabelFrom = Field(LabelFrom.NONE, description="where the true class is read from")
    max_images_per_trigger: int | None = Field(
        None, ge=1, description="images a micro-batch at the most; default: as many as take about 8 seconds"
    )
    settle: Annotated[float, BeforeValidator(_to_seconds)] = Field(
        10.0, description="seconds without change after which a file that does not end as its format ends is read"
    )
    after_read: AfterRead = Field(AfterRead.KEEP, description="what is done with files that were read")
    archive_dir: Path | None = Field(None, description="where files that were read are moved to")
    review_below: float | None = Field(
        None, ge=0, le=1, description="confidence below which a prediction needs review; default: the model's own"
    )
    max_bytes: int = Field(DEFAULT_LIMITS.max_bytes, ge=1, description="encoded bytes an image at the most")
    max_pixels: int = Field(DEFAULT_LIMITS.max_pixels, ge=1, description="pixels an image at the most")
    decode_timeout: Annotated[float, BeforeValidator(_to_seconds)] = Field(
        DEFAULT_LIMITS.timeout, gt=0, description="seconds that decoding one image may take"
    )
    kafka_config: Path | None = Field(None, description="a properties file of Kafka's clients, for TLS and logins")
    starting_offsets: str = Field("earliest", description="where a new stream begins: earliest, latest or JSON")
    min_partitions: int | None = Field(None, ge=1, description="tasks that read a micro-batch; default: one a core")
    fail_on_data_loss: bool = Field(True, description="stop if messages are gone that were not read yet")

    retries: int = Field(5, ge=0, description="times in a row that a stream that failed is started again")
    http: str | None = Field(None, description="[HOST:]PORT of /livez, /readyz and /metrics")

    _from_file: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def from_file(self) -> dict[str, Any]:
        """The settings that were taken from `sparkdl.toml`, as they stand there."""
        return self._from_file

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings

    @classmethod
    def read(cls, **given: Any) -> StreamSettings:
        """The settings, with arguments that are None taken as not given.

        Raises
        ------
        RequestError
            In one line: which setting is missing or out of range, or why `sparkdl.toml` is not read.
        """
        given = {name: value for name, value in given.items() if value is not None}
        set_already = given.keys() | EnvSettingsSource(cls)().keys()
        file = read_settings_file()
        taken = {name: file[name] for name in cls.model_fields if name in file and name not in set_already}
        try:
            settings = cls(**given, **taken)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            flag = f"{TOML}: {name}" if name in taken else "--" + name.replace("_", "-")
            if first["type"] == "missing":
                raise RequestError(f"{flag} is missing") from error
            message = first["msg"].removeprefix("Value error, ").lower()
            raise RequestError(f"{flag}: {message}, received {first['input']!r}") from error
        if taken:
            settings._from_file.update(taken)
            check_place(None if "://" in settings.source else Path(settings.source), Path(settings.model))
        return settings
