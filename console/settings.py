"""Options of a command from the environment and from the settings file.

The value of an option is looked up in this order: the flag, the environment variable, the table of the command in the
settings file, the default. `streaming.settings` does the same for `sparkdl stream`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from console.command_table import COMMANDS
from console.output import complain, err
from sparkdl.errors import RequestError
from sparkdl.system.terminal import printable

if TYPE_CHECKING:
    from streaming.settings import StreamSettings

_STREAM = "stream"
_NOT_SETTINGS = {"conf", "config", "debug", "help", "quiet"}
_PLACES = "console.settings"
"""The key in a context's `meta` of the places of values, by the name of the parameter."""


_ONE_OFF = {"sparkdl models import", "sparkdl models export"}
"""Commands whose options describe one file; only their registry is a setting."""


def key_of(parameter: Any) -> str:
    """Return the name of an option in the settings file: its longest flag, with underscores."""
    flag: str = max(parameter.opts, key=len)
    return flag.lstrip("-").replace("-", "_")


def is_setting(command_path: str, parameter: Any) -> bool:
    """Whether a parameter can be set by the environment and the settings file."""
    if parameter.param_type_name != "option" or key_of(parameter) in _NOT_SETTINGS:
        return False
    if command_path in _ONE_OFF and key_of(parameter) != "models":
        return False
    return (name := _name(command_path)) in COMMANDS and COMMANDS[name].has_settings


def variable_of(command_path: str, parameter: Any) -> str | None:
    """Return the environment variable of an option, None if it has none.

    It is `SPARKDL_COMMAND_OPTION`, for `sparkdl stream` `SPARKDL_OPTION`.
    """
    if parameter.envvar:
        return str(parameter.envvar)
    if not is_setting(command_path, parameter):
        return None
    name = _name(command_path)
    return "_".join(["SPARKDL", *([] if name == _STREAM else [name]), key_of(parameter)]).upper()


def _name(command_path: str) -> str:
    """Return the name of a sub-command, which is the name of its table: `kafka` for `sparkdl kafka start`."""
    return command_path.split()[1] if " " in command_path else ""


def load_settings(context: typer.Context, file: Path | None) -> Path | None:
    """Take defaults of a command from the environment and the settings file: the callback of `--config`.

    Raises
    ------
    RequestError
        If the file cannot be read, or has an unknown table or setting.
    """
    if context.resilient_parsing:
        return file
    from streaming.settings_file import TOML, read_settings_file

    path, table = context.command_path, _name(context.command_path)
    name = TOML if file is None else str(file)
    content = read_settings_file(file)
    _check_tables(name, content)
    if table == _STREAM:  # StreamSettings.read takes the rest
        return file
    options = {key_of(each): each for each in context.command.params if is_setting(path, each)}
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for key, value in _table(context, name, content).items():
        if option := options.get(key):
            places[str(option.name)] = place = f"{name}: [{table}] {key}"
            values[str(option.name)] = _checked(option, value, place)
    for option in options.values():
        variable = variable_of(path, option)
        if variable and not option.envvar and (text := os.environ.get(variable)):
            places[str(option.name)] = variable
            values[str(option.name)] = [part.strip() for part in text.split(",")] if _is_list(option) else text
    context.default_map = values
    context.meta[_PLACES] = places
    return file


def _check_tables(name: str, content: Mapping[str, Any]) -> None:
    from streaming.settings_file import check_keys

    tables = [key for key, value in content.items() if isinstance(value, dict)]
    check_keys(name, tables, [key for key, command in COMMANDS.items() if command.has_settings], "table")


def _table(context: typer.Context, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of a command, whose keys are options of it or, in a group, of its siblings."""
    from streaming.settings_file import check_keys

    table = _name(context.command_path)
    written = content.get(table, {})
    if not isinstance(written, dict):
        raise RequestError(f"{name}: expected the table [{table}], received {table} = {written!r}")
    if "conf" in written:
        raise RequestError(f"{name}: [{table}] conf: a Spark setting can start programs: use the flag --conf")
    group = context.parent.command if context.parent else None
    path = context.command_path.split()
    members = getattr(group, "commands", {}) if len(path) > 2 else {}
    siblings = {" ".join([*path[:2], name]): one for name, one in members.items()} or {" ".join(path): context.command}
    known = {key_of(each): None for where, one in siblings.items() for each in one.params if is_setting(where, each)}
    check_keys(f"{name}: [{table}]", written, list(known))
    return written


def _checked(option: Any, value: Any, place: str) -> Any:
    """Return a value of the file as the option takes it; what is left to the option is the type of a scalar."""
    if _is_list(option):
        if isinstance(value, dict):
            return [f"{key}={part}" for key, part in value.items()]
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return value
        raise RequestError(f'{place}: expected a list of texts such as ["a", "b"], received {value!r}')
    if option.is_flag and not isinstance(value, bool):
        raise RequestError(f"{place}: expected true or false, received {value!r}")
    if not option.is_flag and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise RequestError(f"{place}: expected a text or a number, received {value!r}")
    return value if option.is_flag else str(value)


def _is_list(option: Any) -> bool:
    return bool(option.multiple)


def place_of(error: Any) -> tuple[str, Any] | None:
    """Return where the value was found that an error of typer is about, and the value; None for the command line."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or parameter is None or parameter.name is None:
        return None
    source = context.get_parameter_source(parameter.name)
    if source is None or source.name != "DEFAULT_MAP":
        return None
    place = context.meta.get(_PLACES, {}).get(parameter.name)
    return None if place is None else (place, context.default_map[parameter.name])


def print_taken(context: typer.Context, file: Path | None) -> None:
    """Print the values that a command took from the settings file, and refuse a file that came with its input."""
    from streaming.settings_file import TOML, check_place

    name = TOML if file is None else str(file)
    places: dict[str, str] = context.meta.get(_PLACES, {})
    taken = {
        place.removeprefix(f"{name}: "): context.params[parameter]
        for parameter, place in places.items()
        if place.startswith(f"{name}: ") and _is_from_file(context, parameter)
    }
    if not taken:
        return
    said = ", ".join(f"{place.partition('] ')[2]} = {_shown(value)}" for place, value in taken.items())
    err.print(printable(f"settings from {Path.cwd() / name}: {said}"), soft_wrap=True)
    if file is None:
        images = [context.params.get("data"), *(context.params.get("paths") or ())]
        model = context.params.get("models") or context.params.get("model")
        named = [Path(each) for each in images if each and "://" not in str(each)]
        check_place(named, None if model is None else Path(model), "the images")


def _is_from_file(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "DEFAULT_MAP"


def _shown(value: Any) -> str:
    return repr(str(value)) if isinstance(value, Path | Enum) else repr(value)


def print_stream_settings(settings: StreamSettings) -> None:
    """Print the settings that were read from the settings file, and which of them delete files or use the network.

    The latter is also printed with `--quiet`.
    """
    if not settings.from_file:
        return
    taken = ", ".join(f"{name} = {value!r}" for name, value in settings.from_file.items())
    err.print(printable(f"settings from {Path.cwd() / settings.file}: {taken}"), soft_wrap=True)
    for consequence in _consequences(settings):
        complain(f"  by {settings.file}, {consequence}")


def _consequences(settings: StreamSettings) -> Iterator[str]:
    from sparkdl.models.mlflow.address import is_mlflow
    from streaming.kafka.address import is_kafka
    from streaming.monitoring.server import is_loopback, parse_http
    from streaming.sources.base import AfterRead

    taken = settings.from_file.keys()
    if settings.after_read is AfterRead.DELETE and taken & {"after_read", "source"}:
        yield f"files below {settings.source} are deleted once they are read (after_read)"
    if settings.after_read is AfterRead.ARCHIVE and taken & {"after_read", "source", "archive_dir"}:
        yield f"files below {settings.source} are moved to {settings.archive_dir} once they are read (after_read)"
    if "source" in taken and is_kafka(str(settings.source)):
        yield f"images are read over the network from {settings.source} (source)"
    if "sink" in taken and is_kafka(str(settings.sink)):
        yield f"predictions and unreadable images are sent over the network to {settings.sink} (sink)"
    if taken & {"model", "mlflow"} and is_mlflow(settings.model):
        yield f"the model {settings.model} is fetched from an MLflow server and followed there (model, mlflow)"
    if "kafka_config" in taken:
        yield f"Kafka clients log in with {settings.kafka_config} (kafka_config)"
    if "http" in taken and settings.http is not None:
        host, port = parse_http(settings.http)
        who = "this machine" if is_loopback(host) else "any machine that can reach it"
        yield f"health and metrics are served to {who} on {host}, port {port} (http)"
