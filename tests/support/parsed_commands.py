"""A command line of `sparkdl`, parsed but not run."""

from __future__ import annotations

from typing import Any

from console.main import build
from console.settings import key_of


def context_of(arguments: list[str]) -> Any:
    """Return typer's context of the last command that the arguments name."""
    app = build(arguments[:1])
    context = app.make_context("sparkdl", list(arguments))
    while commands := getattr(context.command, "commands", None):
        words: list[str] = list(context._protected_args) + list(context.args)
        context = commands[words[0]].make_context(words[0], words[1:], parent=context)
    return context


def parse(*arguments: str) -> dict[str, Any]:
    """Return the options of a command line, by their names in the settings file.

    The values are those of the flag, the environment, the settings file or the default.
    """
    context = context_of(list(arguments))
    return {
        key_of(option): context.params.get(option.name)
        for option in context.command.params
        if option.param_type_name == "option"
    }
