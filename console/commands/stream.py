"""`sparkdl stream`: classify images as they arrive."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from console.options import Conf, print_file_settings
from console.output import err
from console.session import start_spark
from streaming.settings import StreamSettings

if TYPE_CHECKING:
    from streaming.job import StreamJob


def stream(*, debug: bool, conf: list[str] | None, **given: Any) -> None:
    """Classify images as they arrive. Each option can also be set as SPARKDL_NAME or in sparkdl.toml.

    Ctrl-C or SIGTERM ends the stream after the running micro-batch; a second one ends it at once.
    """
    settings = StreamSettings.read(**{name: value for name, value in given.items() if value != []})
    print_file_settings(settings)
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

    log, metrics = BatchLog(debug=debug), Metrics()
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
                err.print(with_causes(error.__cause__))
            raise


def _parameters() -> Iterator[inspect.Parameter]:
    """The command's options: one for each of `StreamSettings`, with its description and default, and two more."""
    for name, field in StreamSettings.model_fields.items():
        yield _parameter(name, field)
    debug = typer.Option("--debug", help="Print all that Spark says of a failure.")
    yield inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, debug])
    yield inspect.Parameter("conf", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Conf)


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """An option that is None where it is not given; `StreamSettings` parses and checks what is."""
    flag = f"--{name.replace('_', '-')}"
    is_switch = isinstance(field.default, bool)
    flags = [f"{flag}/--no-{name.replace('_', '-')}" if field.default is True else flag] if is_switch else [flag]
    text, metavar = field.description or "", None if is_switch else _metavar(field)
    if field.default is True:
        text += " [default: yes]"
    if not is_switch and field.default not in (None, (), PydanticUndefined):
        text += f" [default: {f'{field.default:g}s' if metavar == 'DURATION' else field.default}]"
    option = typer.Option(*flags, help=text, metavar=metavar)
    kind = bool if is_switch else list[str] if isinstance(field.default, tuple) else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _metavar(field: FieldInfo) -> str:
    """How the value is written."""
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
        return "|".join(field.annotation)
    if isinstance(field.default, tuple):
        return "PATTERN"
    if any(isinstance(constraint, BeforeValidator) for constraint in field.metadata):
        return "DURATION"
    kinds = (("Path", "PATH"), ("int", "INTEGER"), ("float", "NUMBER"))
    return next((metavar for kind, metavar in kinds if kind in str(field.annotation)), "TEXT")


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
