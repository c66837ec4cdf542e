"""The parts of the documentation that are generated from the code: tables and listings in Markdown."""

from __future__ import annotations

import ast
import html
import inspect
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from console import main as command_line
from console.command_table import COMMANDS
from streaming.monitoring.metrics import Metrics
from streaming.settings import StreamSettings

ROOT = Path(__file__).parents[2]
PACKAGES = ("sparkdl", "training", "streaming", "producer", "console")


def cell(text: object) -> str:
    """Return a text as a table cell."""
    return str(text).replace("|", "\\|").replace("<", "&lt;")


def as_code(text: str) -> str:
    """Return a text as code in a table cell; in Markdown itself, a cell cannot have a vertical bar in code."""
    if "|" not in text:
        return f"`{text}`"
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---------------------------------------------------------------- the command


def command_reference() -> str:
    """Return a section for each sub-command: what it does, its arguments and its options."""
    return "\n\n".join(_sections(_command(), "sparkdl"))


def _command() -> Any:
    """Return `sparkdl` with all its sub-commands."""
    return command_line.build(COMMANDS)


def _sections(command: Any, name: str) -> Iterator[str]:
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        for sub, child in subcommands.items():
            yield from _sections(child, f"{name} {sub}")
        return
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield f"## `{name}`\n\n{_help_of(command)}\n\n```text\n{usage}\n```"
    records = [
        (p.param_type_name, p.get_help_record(context)) for p in command.params if not getattr(p, "hidden", False)
    ]
    for kind in ("argument", "option"):
        rows = [_row(*record) for kind_of, record in records if kind_of == kind and record]
        if rows:
            yield table([kind, "default", "meaning"], rows)


def flags_of_commands() -> dict[str, set[str]]:
    """Return the flags of each sub-command, by its full name."""
    flags: dict[str, set[str]] = {}

    def collect(command: Any, name: str) -> None:
        for sub, child in getattr(command, "commands", {}).items():
            collect(child, f"{name} {sub}")
        if not hasattr(command, "commands"):
            flags[name] = {
                flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)
            }
            flags[name] = {flag for flag in flags[name] if flag.startswith("--")} | {"--help"}

    collect(_command(), "sparkdl")
    return flags


def _help_of(command: Any) -> str:
    """Return the help text; examples, which are set off by a backspace, become code."""
    paragraphs = inspect.cleandoc(command.help or "").replace("\f", "").split("\n\n")
    return "\n\n".join(
        f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```" if paragraph.startswith("\b") else paragraph
        for paragraph in paragraphs
    )


def _row(names: str, text: str) -> list[str]:
    """Return option, default and meaning of one line of the help."""
    details = dict(re.findall(r"[\[;] ?(env var|default): ([^;\]]*(?:\[[^\]]*\])?)", text))
    meaning = cell(re.sub(r" *\[(?:env var|default|required|x>)[^\[\]]*\]", "", text).strip())
    default = (
        "required" if "required]" in text else as_code(details["default"].strip("()")) if "default" in details else ""
    )
    if "env var" in details:
        meaning += f" Environment: `{details['env var']}`."
    return [", ".join(as_code(name) for name in re.split(r" / |, (?=-)", names)), default, meaning]


def exit_codes() -> str:
    """Return the exit codes of the command."""
    rows = [
        [str(command_line.DONE), "done; of `sparkdl kafka status`: a broker runs"],
        [str(command_line.FAILED), "the run failed; one line on stderr says why"],
        [str(command_line.REFUSED), "the request was wrong; one line on stderr says what and what to do"],
        [str(command_line.STOPPED), "interrupted; of `sparkdl stream`: a second Ctrl-C or SIGTERM"],
    ]
    return table(["exit code", "meaning"], rows)


# ---------------------------------------------------------------- the settings of a stream


def stream_settings() -> str:
    """Return a row for each setting of a stream."""
    rows = [
        [f"`{name}`", _default_of(name, field), cell(field.description or "")]
        for name, field in StreamSettings.model_fields.items()
    ]
    return table(["setting", "default", "meaning"], rows)


def _default_of(name: str, field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, ()):
        return ""
    if isinstance(field.default, StrEnum):
        return f"`{field.default.value}`"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    is_time = isinstance(field.default, float) and name in {"trigger", "stable_after", "decode_timeout"}
    return f"`{field.default:g}s`" if is_time else f"`{field.default}`"


# ---------------------------------------------------------------- metrics


def metrics() -> str:
    """Return the metrics of a stream, as Prometheus gets them."""
    rows = []
    for family in Metrics().registry.collect():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append([f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), cell(family.documentation)])
    return table(["metric", "type", "labels", "meaning"], rows)


# ---------------------------------------------------------------- modules


def module_index() -> str:
    """Return a table for each package: its modules, each with the first line of its docstring."""
    sections = []
    for top in PACKAGES:
        for package in sorted({path.parent for path in (ROOT / top).rglob("*.py")}):
            if not (package / "__init__.py").exists():
                continue
            name = ".".join(package.relative_to(ROOT).parts)
            rows = [
                [f"`{path.stem}`", cell(summary(path))]
                for path in sorted(package.glob("*.py"))
                if path.stem not in {"__init__", "__main__"}
            ]
            body = f"## `{name}`\n\n{summary(package / '__init__.py')}"
            sections.append(body + (f"\n\n{table(['module', 'responsibility'], rows)}" if rows else ""))
    return "\n\n".join(sections)


def summary(path: Path) -> str:
    """Return the first paragraph of a module's docstring in one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


GENERATORS: dict[str, Callable[[], str]] = {
    "commands": command_reference,
    "exit-codes": exit_codes,
    "stream-settings": stream_settings,
    "metrics": metrics,
    "modules": module_index,
}
"""The text of each `<!-- generate: NAME -->`."""
