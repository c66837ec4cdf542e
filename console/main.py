"""The `sparkdl` command: its sub-commands, and errors as one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Collection
from typing import Annotated, Any

import typer

from console.command import GENERAL, add_command, make_group
from console.command_table import COMMANDS
from console.settings import place_of
from sparkdl import __version__
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.terminal import printable

# The base class of typer's errors about a command line, which typer does not export.
_UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]

_PROGRAM = "sparkdl"
_COMPLETE = "_SPARKDL_COMPLETE"
DONE, FAILED, REFUSED, STOPPED = 0, 1, 2, 130


def _print_version(asked: bool) -> None:
    if asked:
        print(f"sparkdl {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version.", rich_help_panel=GENERAL
        ),
    ] = False,
) -> None:
    """Hold the options of the command itself."""


def build(named: Collection[str]) -> Any:
    """Return the command; of its sub-commands only those that are named can run, the others are in the help alone."""
    app = make_group(
        _PROGRAM,
        "Image classification on Spark streams: train on labelled images, then classify images as they arrive.",
    )
    app.callback()(_options)
    for name, command in COMMANDS.items():
        if name not in named:
            app.command(name, help=command.summary, rich_help_panel=command.group)(lambda: None)
            continue
        module, _, attribute = command.place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, rich_help_panel=command.group)
        else:
            add_command(app, name, found, has_settings=command.has_settings)
    return typer.main.get_command(app)


def load_commands() -> dict[str, Any]:
    """Return all sub-commands that have settings, and groups of them, with their parameters."""
    named = [name for name, command in COMMANDS.items() if command.has_settings]
    commands: dict[str, Any] = build(named).commands
    return {name: commands[name] for name in named}


def main() -> None:
    """Run the command line; the entry point of `sparkdl`."""
    if os.environ.get(_COMPLETE):
        complete()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 the request was wrong, 130 interrupted."""
    arguments = arguments or ["--help"]
    try:
        code = build(arguments[:1]).main(arguments, prog_name=_PROGRAM, standalone_mode=False)
    except _UsageError as error:
        return _say(_explain(error), REFUSED)
    except RequestError as error:
        return _say(str(error), REFUSED)
    except SparkdlError as error:
        return _say(str(error), FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", STOPPED)
    except BrokenPipeError:
        # The reader of the output is gone (`| head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code if isinstance(code, int) else DONE


def complete() -> None:
    """Print what can follow the words of a command line, which a shell's script has put into the environment."""
    from typer.completion import get_completion_inspect_parameters

    get_completion_inspect_parameters()  # typer's way to register the shells
    words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()
    build(words[1:2]).main([], prog_name=_PROGRAM, complete_var=_COMPLETE)


def _explain(error: typer.BadParameter) -> str:
    """Return the message of an error about a parameter, which names the file or variable that holds the value."""
    if found := place_of(error):
        place, value = found
        return f"{place}: {' '.join(error.message.split()).removeprefix('Value error, ')}, received {value!r}"
    return " ".join(error.format_message().split()).replace(": Value error, ", ": ")


def _say(message: str, code: int) -> int:
    print(f"{_PROGRAM}: {printable(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
