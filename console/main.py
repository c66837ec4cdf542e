"""The `sparkdl` command: its sub-commands, and errors as one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from sparkdl import __version__
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.terminal import printable

COMMANDS = {
    "train": "console.commands.train:train",
    "evaluate": "console.commands.evaluate:evaluate",
    "predict": "console.commands.predict:predict",
    "stream": "console.commands.stream:stream",
    "produce": "console.commands.produce:produce",
    "predictions": "console.commands.predictions:predictions",
    "models": "console.commands.models:app",
    "kafka": "console.commands.kafka:app",
    "demo": "console.commands.demo:demo",
}
"""Where each sub-command is, in the order of the help."""

# The base class of typer's errors about a command line, which typer does not export.
_UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]

DONE, FAILED, REFUSED, STOPPED = 0, 1, 2, 130


def _print_version(asked: bool) -> None:
    if asked:
        print(f"sparkdl {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options of the command itself."""


def _build(names: Iterable[str]) -> typer.Typer:
    """Return the command with some of its sub-commands; a module is imported for each of these."""
    app = typer.Typer(
        name="sparkdl",
        help="Image classification on Spark streams: train on labelled images, then classify images as they arrive.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        callback=_options,
    )
    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main() -> None:
    """Run the command line; the entry point of `sparkdl`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 the request was wrong, 130 interrupted."""
    arguments = arguments or ["--help"]
    named = arguments[:1]
    try:
        app = _build(named if named[0] in COMMANDS else () if named == ["--version"] else COMMANDS)
        code = typer.main.get_command(app).main(arguments, prog_name="sparkdl", standalone_mode=False)
    except _UsageError as error:
        return _say(" ".join(error.format_message().split()), REFUSED)
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


def _say(message: str, code: int) -> int:
    print(f"sparkdl: {printable(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
