"""The commented `sparkdl.toml` that `sparkdl init` writes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from console.settings import is_setting, key_of

_WIDTH = 80
_FIRST = "stream"
_MANY = 10  # settings of a table from which on they have headings
_HEAD = """\
# Settings of sparkdl. Every command reads its table of this file, in the
# directory where it is started or by --config FILE.
#
# A flag takes precedence over the environment (SPARKDL_TRIGGER for a setting of
# stream, SPARKDL_TRAIN_RECIPE for one of train), which takes precedence over
# this file. `sparkdl COMMAND --help` describes all options.
#
# Each line below that starts with #name shows a default or an example. Remove
# the # to change the setting.
"""
_EXAMPLES: dict[str, Any] = {
    "against": "other/models",
    "archive_dir": "archive",
    "checkpoint": "checkpoint",
    "data": "images",
    "dir": "kafka",
    "export": "failed",
    "http": "8080",
    "image_column": "file",
    "kafka": "localhost:9092",
    "kafka_config": "kafka.properties",
    "kafka_dir": "kafka",
    "label_column": "label",
    "limit": 1000,
    "max_images_per_trigger": 500,
    "min_partitions": 4,
    "mlflow": "http://localhost:5000",
    "model": "models",
    "out": "report",
    "port": 9092,
    "rate": 100.0,
    "review_below": 0.9,
    "set": ["max_iter=100", "augmentations=4"],
    "sink": "parquet:predictions",
    "source": "incoming",
    "to": "incoming",
    "top_k": 10,
}
"""A value of each setting without a default."""


def make_template(commands: dict[str, Any]) -> str:
    """Return the text of a settings file with every setting, commented out.

    Parameters
    ----------
    commands
        The commands, and groups of them, of the command line by their names.
    """
    first = sorted(commands, key=lambda name: name != _FIRST)
    return "\n".join([_HEAD, *(line for name in first for line in _table(name, commands[name]))])


def _table(name: str, command: Any) -> Iterator[str]:
    path = f"sparkdl {name}"
    parts = {f"{path} {part}": each for part, each in getattr(command, "commands", {}).items()} or {path: command}
    settings = {key_of(each): each for where, part in parts.items() for each in part.params if is_setting(where, each)}
    groups: dict[str, dict[str, Any]] = {}
    for key, parameter in settings.items():
        groups.setdefault(getattr(parameter, "rich_help_panel", None) or "", {})[key] = parameter
    yield f"[{name}]"
    for heading, members in groups.items():
        if heading and len(settings) >= _MANY:
            yield f"# --- {heading} ---"
        for key, parameter in members.items():
            yield from textwrap.wrap(str(parameter.help), _WIDTH, initial_indent="# ", subsequent_indent="# ")
            yield f"#{key} = {_value(key, parameter)}"
    yield ""


def _value(key: str, parameter: Any) -> str:
    """Return the default as TOML, or an example where there is none."""
    value = parameter.default
    stated = getattr(parameter, "show_default", None)
    if value is None and key in _EXAMPLES:
        value = _EXAMPLES[key]
    elif value is None and isinstance(stated, str):  # of a setting of stream, whose option has no default
        value = int(stated) if stated.isdigit() else stated
    if parameter.is_flag:
        return "true" if value in (True, "yes") else "false"
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        value = [] if parameter.multiple else ""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
