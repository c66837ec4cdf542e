"""`sparkdl kafka`: a local single-node Apache Kafka for development and tests."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.output import err, fetching, print_json
from console.signals import catch_stop_signals
from sparkdl.errors import SparkdlError

if TYPE_CHECKING:
    from streaming.kafka.local.broker import Broker

app = typer.Typer(help="Run a local single-node Apache Kafka, for development and tests.")
Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="SPARKDL_KAFKA_DIR",
        show_envvar=False,
        help="Directory of its settings, data and log [default: in the user's data directory].",
    ),
]
_POLL_SECONDS = 0.5  # between two checks of a broker in the foreground


@app.command()
def start(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="0 for a free port [default: the last one used, or 9092].", metavar="PORT"),
    ] = None,
    directory: Directory = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until Ctrl-C or SIGTERM, then stop it.")
    ] = False,
) -> None:
    """Start the broker in the background and print its address. Its topics are kept.

    The first start downloads Kafka (45 MB) from Maven Central or from SPARKDL_MAVEN_REPOSITORY.
    """
    broker = _broker(directory)
    with fetching("Kafka") as note:
        if foreground:
            _stay(broker, port, note)
            return
        already = broker.status().pid is not None
        address = broker.start(port, note)
    print(address, flush=True)
    words = "runs already" if already else "is running"
    err.print(f"Kafka {words} at {address}; stop it with: {_line('stop', directory)}", soft_wrap=True)


@app.command()
def stop(directory: Directory = None) -> None:
    """Stop the broker; its data is kept."""
    err.print("Kafka has stopped" if _broker(directory).stop() else "Kafka was not running")


@app.command()
def status(
    directory: Directory = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """Print the broker's address. Exit code 0 if it runs, 1 if it does not."""
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
