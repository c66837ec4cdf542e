"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sparkdl.rejection import MEANINGS
from streaming.rows import DEAD_LETTER, PREDICTION
from training.compare import compare
from training.evaluate import Evaluation

ROOT = Path(__file__).parent.parent
ROWS = (ROOT / "docs" / "rows.md").read_text()


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
    told = (ROOT / "docs" / "evaluation.md").read_text()
    shared = {"model", "against", "difference_interval", "different_predictions"}  # told in words
    missing = {key for key in keys if f"`{key}`" not in told and not key.endswith("_interval")} - shared
    assert missing == set()


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "docs" / "security.md").read_text()))
    assert named
    assert named <= {path.name for path in (ROOT / "tests").glob("test_*.py")}


def test_every_package_has_a_row_in_the_architecture() -> None:
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("sparkdl", "training", "streaming", "producer", "console"):
        rooms = {path.stem for path in (ROOT / package).glob("*.py") if path.stem not in {"__init__", "main"}}
        row = next(line for line in architecture.splitlines() if line.startswith(f"| `{package}` |"))
        if package != "console":
            assert {room for room in rooms if f"`{room}`" not in row} - {"errors", "arrow", "torch_weights"} == set()
