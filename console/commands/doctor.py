"""`sparkdl doctor`: check the installation and the services, and say what to type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from console.options import KAFKA, OUTPUT, KafkaConfig
from console.output import err, out, print_json
from sparkdl.errors import RequestError
from sparkdl.system.terminal import printable

if TYPE_CHECKING:
    from console.checks.base import Check, Finding

_STYLES = {"ok": "green", "warn": "yellow", "missing": "bold red"}


def doctor(
    kafka: Annotated[
        str | None,
        typer.Option(
            help="Broker that must answer.",
            metavar="HOST:PORT",
            show_default="the local broker, if it is running",
            rich_help_panel=KAFKA,
        ),
    ] = None,
    kafka_config: KafkaConfig = None,
    kafka_directory: Annotated[
        Path | None,
        typer.Option(
            "--kafka-dir",
            envvar="SPARKDL_KAFKA_DIR",
            metavar="DIR",
            help="Directory of the local broker.",
            rich_help_panel=KAFKA,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Check the installation and the services that sparkdl uses.

    Each check is ok, warn (optional) or missing (needed). The exit code is 1 if something is missing, otherwise 0.
    """
    from console.checks.base import Question, State, run_checks
    from console.checks.table import CHECKS

    if kafka is not None and (":" not in kafka or not kafka.rpartition(":")[2].isdigit()):
        raise RequestError(f"expected --kafka HOST:PORT, received {kafka!r}")
    findings = run_checks(CHECKS, Question(kafka, kafka_config, kafka_directory))
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    if as_json:
        checks = [
            {"name": check.name, "needed": check.is_needed, **_as_dict(finding)}
            for check, finding in zip(CHECKS, findings, strict=True)
        ]
        print_json({"ok": not counts[State.MISSING], "checks": checks})
    else:
        _print(CHECKS, findings)
        err.print(f"{counts[State.OK]} ok, {counts[State.WARN]} warnings, {counts[State.MISSING]} missing")
    if counts[State.MISSING]:
        raise typer.Exit(1)


def _as_dict(finding: Finding) -> dict[str, str]:
    return {"state": finding.state.value, "value": finding.value, "advice": finding.advice}


def _print(checks: Sequence[Check], findings: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check, finding in zip(checks, findings, strict=True):
        style = _STYLES[finding.state.value]
        found = Text(printable(finding.value))
        if finding.advice:
            found.append(f"\n{printable(finding.advice)}", "bold")
        table.add_row(Text(finding.state.value, style), check.name, found)
    out.print(table)
