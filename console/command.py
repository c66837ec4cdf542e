"""How commands are made: grouped options in the help, and the options that every command has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from console.examples import EXAMPLES
from console.output import set_quiet
from console.settings import load_settings, print_taken, variable_of

_SPACE = "\u00a0"  # keeps words together while lines are broken
_COLUMN = 26  # characters of the longest option that has its help beside it
_OPTIONS, _ARGUMENTS = "Options", "Arguments"
GENERAL = "General"
"""Heading of the options that every command has."""
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file to read instead of ./sparkdl.toml.",
        envvar="SPARKDL_CONFIG",
        is_eager=True,
        callback=load_settings,
        rich_help_panel=GENERAL,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only the result and errors.", rich_help_panel=GENERAL),
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Command(TyperCommand):
    """Command whose help has its options in groups, with defaults and environment variables, and examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: [], _OPTIONS: []}
        last: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            if getattr(parameter, "hidden", False):
                continue
            group = getattr(parameter, "rich_help_panel", None)
            if parameter.param_type_name == "argument":
                group = _ARGUMENTS
            rows = last if group == GENERAL or "--help" in parameter.opts else groups.setdefault(group or _OPTIONS, [])
            rows.append((_usage(parameter), _description(ctx.command_path, parameter)))
        groups[GENERAL] = last
        width = max((len(usage) for rows in groups.values() for usage, _ in rows if len(usage) <= _COLUMN), default=0)
        for name, rows in groups.items():
            if rows:
                with formatter.section(name):
                    formatter.write_dl([(f"{usage:{width}}", text) for usage, text in rows], col_max=_COLUMN)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if examples := EXAMPLES.get(ctx.command_path):
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")

    def get_help(self, ctx: Any) -> str:
        return str(super().get_help(ctx)).replace(_SPACE, " ")


class Group(TyperGroup):
    """Group of commands whose help has them under headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            groups.setdefault(command.rich_help_panel or "Commands", []).append((name, command.get_short_help_str(62)))
        width = max((len(name) for rows in groups.values() for name, _ in rows), default=0)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:{width}}", summary) for name, summary in rows])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        Command.format_options(self, ctx, formatter)  # type: ignore[arg-type]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        Command.format_epilog(self, ctx, formatter)  # type: ignore[arg-type]

    def get_help(self, ctx: Any) -> str:
        return str(super().get_help(ctx)).replace(_SPACE, " ")


def _usage(parameter: Any) -> str:
    """Return how a parameter is written."""
    if parameter.param_type_name == "argument":
        return f"{parameter.metavar or parameter.name.upper()}{'...' if parameter.nargs == -1 else ''}"
    short_first = sorted(parameter.opts, key=len)
    flags = ", ".join(short_first)
    if parameter.secondary_opts:
        flags += f" / {parameter.secondary_opts[0]}"
    return flags if parameter.is_flag else f"{flags} {parameter.metavar or 'VALUE'}"


def _description(command_path: str, parameter: Any) -> str:
    """Return the help of a parameter, with its default and its environment variable."""
    notes = []
    if parameter.required:
        notes.append("required")
    elif default := _default(parameter):
        notes.append(f"default: {default}")
    if variable := variable_of(command_path, parameter):
        notes.append(f"env:{_SPACE}{variable}")
    return " ".join([parameter.help or "", *(f"[{note}]" for note in notes)])


def _default(parameter: Any) -> str:
    if isinstance(stated := getattr(parameter, "show_default", None), str):
        return stated
    value = parameter.default
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return ("yes" if value else "no") if parameter.secondary_opts else ""
    return "" if value is None or callable(value) or isinstance(value, list | tuple) else str(value)


def make_group(name: str | None, help_text: str) -> typer.Typer:
    """Return a group without commands."""
    return typer.Typer(
        name=name,
        help=help_text,
        cls=Group,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=_CONTEXT,
    )


def add_command(app: typer.Typer, name: str, function: Callable[..., Any], *, has_settings: bool = True) -> None:
    """Add a command to a group, with `--config` if it has settings, and `--quiet`."""
    run = _with_general_options(function, has_settings=has_settings)
    app.command(name, cls=Command, context_settings=_CONTEXT)(run)


def command(app: typer.Typer, name: str) -> Callable[[_Function], _Function]:
    """Return a decorator that adds a function to a group as a command."""

    def add(function: _Function) -> _Function:
        add_command(app, name, function)
        return function

    return add


def _with_general_options(function: Callable[..., Any], *, has_settings: bool) -> Callable[..., Any]:
    """Return `function` with the options that every command has; it gets `config` only if it has such a parameter."""
    signature = inspect.signature(function, eval_str=True)
    takes_config = "config" in signature.parameters
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter("context", kind, annotation=typer.Context)]
    if has_settings and not takes_config:
        added.append(inspect.Parameter("config", kind, default=None, annotation=Config))
    added.append(inspect.Parameter("quiet", kind, default=False, annotation=Quiet))

    @functools.wraps(function)
    def run(*, context: typer.Context, quiet: bool, **given: Any) -> Any:
        set_quiet(quiet)
        if has_settings:
            print_taken(context, given["config"] if takes_config else given.pop("config"))
        return function(**given)

    parameters = [each.replace(kind=kind) for each in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*parameters, *added])  # type: ignore[attr-defined]
    return run
