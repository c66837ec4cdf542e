"""`sparkdl stream`: classify images as they arrive."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from console.command import Config
from console.options import IMAGES, KAFKA, MODEL, SPARK, Conf
from console.output import complain, err
from console.session import start_spark
from console.settings import print_stream_settings
from streaming.settings import StreamSettings

if TYPE_CHECKING:
    from streaming.job import StreamJob


_STREAM, _FILES, _OPERATION = "Stream", "Watched directory", "Operation"
_GROUPS = {
    _STREAM: ("source", "model", "sink", "checkpoint", "available_now", "trigger", "max_images_per_trigger"),
    IMAGES: ("max_bytes", "max_pixels", "decode_timeout"),
    _FILES: ("ignore", "label_from", "stable_after", "after_read", "archive_dir"),
    KAFKA: ("kafka_config", "message", "starting_offsets", "min_partitions", "fail_on_data_loss"),
    MODEL: ("review_below", "top_k", "mlflow"),
    _OPERATION: ("retries", "http", "debug"),
    SPARK: ("conf",),
}
"""The options under each heading of the help, in its order."""


def stream(*, debug: bool, conf: list[str] | None, config: Path | None, **given: Any) -> None:
    """Classify images as they arrive, until Ctrl-C or SIGTERM.

    The first signal ends the stream after the running micro-batch, a second one at once.
    """
    settings = StreamSettings.read(config, **{name: value for name, value in given.items() if value != []})
    print_stream_settings(settings)
    from streaming.checkpoint.lock import CheckpointLock

    # First of all, so that a second stream is refused before it has loaded anything. For a checkpoint that is not there
    # yet later: a request that is refused leaves nothing behind.
    known = CheckpointLock.is_known(settings.checkpoint)
    lock = CheckpointLock.acquire(settings.checkpoint, tell=err.print) if known else None

    from streaming.plan import prepare

    plan = prepare(settings)  # what can be refused without Spark is refused before it is started
    lock = lock or CheckpointLock.acquire(settings.checkpoint, tell=err.print)

    from sparkdl.errors import SparkdlError
    from streaming.failures import with_causes
    from streaming.monitoring.health import STARTING, Health
    from streaming.monitoring.log import BatchLog
    from streaming.monitoring.metrics import Metrics
    from streaming.monitoring.server import serve

    log, metrics = BatchLog(debug=debug, quiet=err.quiet), Metrics()
    job: StreamJob | None = None

    def load() -> None:
        import streaming.job  # noqa: F401 - with what it imports

        with suppress(SparkdlError):  # the job loads it again, and fails as any job does
            _ = plan.fused_classifier

    def health() -> Health:
        return Health(True, False, STARTING, plan.model.name) if job is None else job.health()

    # Probes are answered from the beginning: a start may take longer than a probe waits.
    with serve(settings.http, health, metrics) if settings.http is not None else nullcontext() as http_address:
        if http_address is not None:
            log.answers(http_address)
        spark = start_spark(conf or (), plan.connectors, plan.spark_conf, meanwhile=load)
        from streaming.job import StreamJob

        job = StreamJob(spark, plan, log, metrics, lock=lock)
        stop_on_signals(job)
        job.start()
        try:
            job.wait()
        except SparkdlError as error:
            if debug and isinstance(error.__cause__, Exception):
                complain(with_causes(error.__cause__), keep="\n\t")
            raise


def _parameters() -> Iterator[inspect.Parameter]:
    """The command's options: one for each of `StreamSettings`, with its description and default, and three more."""
    kind = inspect.Parameter.KEYWORD_ONLY
    fields = StreamSettings.model_fields
    debug = typer.Option("--debug", help="Print the whole stack trace of a failure.", rich_help_panel=_OPERATION)
    others = {"debug": Annotated[bool, debug], "conf": Conf}
    for group, names in _GROUPS.items():
        for name in names:
            if name in fields:
                yield _parameter(name, fields[name], group)
            else:
                yield inspect.Parameter(name, kind, default=False if name == "debug" else None, annotation=others[name])
    yield inspect.Parameter("config", kind, default=None, annotation=Config)


def _parameter(name: str, field: FieldInfo, group: str) -> inspect.Parameter:
    """An option that is None where it is not given; `StreamSettings` parses and checks what is."""
    flag = f"--{name.replace('_', '-')}"
    is_switch = isinstance(field.default, bool)
    flags = [f"{flag}/--no-{name.replace('_', '-')}" if field.default is True else flag] if is_switch else [flag]
    metavar = None if is_switch else _metavar(name, field)
    option = typer.Option(
        *flags,
        help=(field.description or "") + (" [required]" if field.is_required() else ""),
        metavar=metavar,
        show_default=_default(field, is_duration=metavar == "DURATION") or False,
        rich_help_panel=group,
    )
    kind = bool if is_switch else list[str] if isinstance(field.default, tuple) else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _default(field: FieldInfo, *, is_duration: bool) -> str:
    if field.default is True:
        return "yes"
    if field.default in (None, (), False, PydanticUndefined):
        return ""
    return f"{field.default:g}s" if is_duration else str(field.default)


_METAVARS = {
    "source": "ADDRESS",
    "sink": "ADDRESS",
    "model": "MODEL",
    "mlflow": "URI",
    "checkpoint": "DIR",
    "archive_dir": "DIR",
    "kafka_config": "FILE",
    "message": "FORM",
    "starting_offsets": "OFFSETS",
    "http": "[HOST:]PORT",
    "max_bytes": "N",
    "max_pixels": "N",
    "top_k": "N",
}


def _metavar(name: str, field: FieldInfo) -> str:
    """How the value is written."""
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
        return "|".join(field.annotation)
    if isinstance(field.default, tuple):
        return "PATTERN"
    if any(isinstance(constraint, BeforeValidator) for constraint in field.metadata):
        return "DURATION"
    kinds = (("Path", "PATH"), ("int", "N"), ("float", "NUMBER"))
    return _METAVARS.get(name) or next((text for kind, text in kinds if kind in str(field.annotation)), "TEXT")


stream.__signature__ = inspect.Signature(list(_parameters()))  # type: ignore[attr-defined]


def stop_on_signals(job: StreamJob) -> None:
    """The first SIGINT or SIGTERM stops `job` after its micro-batch; the second ends the process with 130."""
    seen = 0

    def handle(number: int, frame: object) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(130)
        job.stop()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
