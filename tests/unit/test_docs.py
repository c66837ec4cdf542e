"""The documents say what the code does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from paths import ROOT

from sparkdl.images.rejection import MEANINGS
from streaming.schemas import DEAD_LETTER, PREDICTION
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


def test_every_package_has_a_row_in_the_architecture() -> None:
    architecture = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    for top in ("sparkdl", "training", "streaming", "producer", "console"):
        for package in [ROOT / top, *(path.parent for path in (ROOT / top).glob("**/__init__.py"))]:
            name = ".".join(package.relative_to(ROOT).parts)
            row = next((line for line in architecture.splitlines() if line.startswith(f"| `{name}` |")), "")
            modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
            assert row, name
            assert {module for module in modules if f"`{module}`" not in row} == set(), name
