"""`sparkdl kafka`: a local single-node Apache Kafka for development and tests."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.command import command, make_group
from console.output import err, print_json
from console.progress import fetching
from console.signals import catch_stop_signals
from sparkdl.errors import SparkdlError

if TYPE_CHECKING:
    from streaming.kafka.local.broker import Broker

app = make_group("kafka", "Run a local single-node Apache Kafka broker, for development and tests.")
Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="SPARKDL_KAFKA_DIR",
        metavar="DIR",
        show_default="in the user's data directory",
        help="Directory of its settings, data and log.",
    ),
]
_POLL_SECONDS = 0.5  # between two checks of a broker in the foreground


@command(app, "start")
def start(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port, or 0 for a free one.",
            show_default="the last one used, or 9092",
            metavar="PORT",
        ),
    ] = None,
    directory: Directory = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Run until Ctrl-C or SIGTERM, then stop the broker.")
    ] = False,
) -> None:
    """Start the broker in the background and print its address.

    Topics are kept between starts. The first start downloads Kafka (45 MB) from Maven Central, or from the repository
    in SPARKDL_MAVEN_REPOSITORY.
    """
    broker = _broker(directory)
    with fetching("Kafka") as note:
        if foreground:
            _stay(broker, port, note)
            return
        already = broker.status().pid is not None
        address = broker.start(port, note)
    print(address, flush=True)
    words = "is already running" if already else "is running"
    err.print(f"Kafka {words} at {address}; stop it with: {_line('stop', directory)}", soft_wrap=True)


@command(app, "stop")
def stop(directory: Directory = None) -> None:
    """Stop the broker. Its data is kept."""
    err.print("Kafka has stopped" if _broker(directory).stop() else "Kafka was not running")


@command(app, "status")
def status(
    directory: Directory = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Print the address of the broker. The exit code is 0 if it is running, 1 if it is not."""
    broker = _broker(directory)
    found = broker.status()
    if as_json:
        print_json(
            {
                "running": found.running,
                "address": found.address if found.running else None,
                "pid": found.pid,
                "directory": str(broker.directory),
                "log": str(broker.log),
            }
        )
    elif found.running:
        print(found.address)
    if found.running:
        words = f"is running: process {found.pid}, data in {broker.directory}"
    elif found.pid is not None:
        words = f"does not answer at {found.address}: process {found.pid}, see {broker.log}"
    else:
        words = f"is not running; start it with: {_line('start', directory)}"
    err.print(f"Kafka {words}", soft_wrap=True)
    if not found.running:
        raise typer.Exit(1)


def _broker(directory: Path | None) -> Broker:
    from streaming.kafka.local.broker import Broker, default_directory

    return Broker(directory or default_directory())


def _line(command: str, directory: Path | None) -> str:
    """Return the command to type next."""
    return f"sparkdl kafka {command}" + (f" --dir {shlex.quote(str(directory))}" if directory else "")


def _stay(broker: Broker, port: int | None, note: Callable[[int, int], None]) -> None:
    """Run the broker until the first SIGINT or SIGTERM."""
    with catch_stop_signals() as is_over, broker.running(port, note) as address:
        print(address, flush=True)
        err.print(f"Kafka is running at {address}; Ctrl-C stops it", soft_wrap=True)
        while not is_over():
            time.sleep(_POLL_SECONDS)
            if broker.status().pid is None:
                raise SparkdlError(f"the broker has ended: see {broker.log}")
    err.print("Kafka has stopped")
