"""The documents say what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from generated_text import command_reference, exit_codes, flags_of_commands, stream_settings
from paths import ROOT
from snippets import pages, snippets_of

from console.main import FAILED
from sparkdl.images.rejection import MEANINGS
from streaming.schemas import DEAD_LETTER, PREDICTION
from streaming.settings import StreamSettings
from training.evaluation.comparison import compare
from training.evaluation.evaluate import Evaluation

ROWS = (ROOT / "docs" / "reference" / "rows.md").read_text()


@pytest.mark.parametrize("reason", MEANINGS)
def test_every_reason_is_documented_with_its_meaning(reason: str) -> None:
    assert f"| `{reason}` | {MEANINGS[reason]} |" in ROWS


@pytest.mark.parametrize("column", sorted({*PREDICTION.names, *DEAD_LETTER.names}))
def test_every_column_is_documented(column: str) -> None:
    assert f"`{column}`" in ROWS


def test_every_figure_of_an_evaluation_is_documented() -> None:
    one = Evaluation(("a", "b"), ("1", "2"), ("a", "b"), ("a", "a"), np.array([[0.9, 0.1], [0.8, 0.2]]))
    m = one.metrics
    calibration = {key for key in m["calibration"] if not key.startswith("mean_confidence_")}
    keys = {*m, *m["per_class"]["a"], *calibration, *compare("x", one, "y", one).figures}
    told = (ROOT / "docs" / "reference" / "evaluation.md").read_text()
    shared = {"model", "against", "difference_interval", "different_predictions"}  # told in words
    missing = {key for key in keys if f"`{key}`" not in told and not key.endswith("_interval")} - shared
    assert missing == set()


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "docs" / "explanation" / "security.md").read_text()))
    assert named
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


PACKAGES = ("sparkdl", "training", "streaming", "producer", "console")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_every_package_has_a_row_in_the_architecture() -> None:
    architecture = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    for top in PACKAGES:
        for package in [ROOT / top, *(path.parent for path in (ROOT / top).glob("**/__init__.py"))]:
            name = ".".join(package.relative_to(ROOT).parts)
            assert f"\n| `{name}` |" in architecture, name


@pytest.mark.parametrize("top", PACKAGES)
def test_every_module_has_a_line_for_the_index(top: str) -> None:
    for path in (ROOT / top).rglob("*.py"):
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        assert summary, path
        assert len(" ".join(summary.split())) <= 160, f"{path}: {summary}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_hold_facts(path: Path) -> None:
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = {cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)}
    words = {cell: re.sub(r"\]\([^)]*\)|[\[*`]", "", cell) for cell in cells}  # links as they are read
    assert [cell for cell, text in words.items() if len(text) > 120] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_of_documents_outside_the_site_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_measurement_in_the_documentation_can_be_typed() -> None:
    """The programs exist, and know the options; they are not run, since they take minutes or hours."""
    for page in pages():
        for snippet in snippets_of(page):
            for program, rest in re.findall(r"python (benchmarks/[\w/.]+)([^\n]*)", snippet.text.replace("\\\n", " ")):
                source = ROOT / program
                assert source.exists(), f"{page}: {program}"
                files = source.parent.glob("*.py") if source.is_file() else source.rglob("*.py")
                code = "".join(path.read_text(encoding="utf-8") for path in files)
                for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", rest.partition(" sparkdl ")[0]):
                    assert f'"{option}"' in code, f"{page}: {program} {option}"


def test_every_option_of_the_command_in_the_documentation_exists() -> None:
    flags = flags_of_commands()
    for page in pages():
        for snippet in snippets_of(page):
            for command in re.findall(
                r"sparkdl ((?:kafka |models )?[a-z]+)( [^\n]*)", snippet.text.replace("\\\n", " ")
            ):
                name, rest = f"sparkdl {command[0]}", command[1].partition(" #")[0]
                for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest):
                    assert flag in flags.get(name, {flag}), f"{page}:{snippet.line}: {name} {flag}"


def test_the_reference_has_every_setting_and_every_command() -> None:
    assert {name for name in StreamSettings.model_fields if f"\n| `{name}` |" not in stream_settings()} == set()
    commands = command_reference()
    for name, flags in flags_of_commands().items():
        section = commands.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        assert {
            flag for flag in flags - {"--help"} if not re.search(rf"(?:`|<code>){flag}(?![\w-])", section)
        } == set(), name
    assert f"| {FAILED} |" in exit_codes()
