"""The modules that check a training request load no slow library, so that a wrong request is answered at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHECKED = (
    "training.data.loading",
    "training.evaluation.comparison",
    "training.evaluation.evaluate",
    "training.fitting.features",
    "training.fitting.recipes",
    "training.reporting.provenance",
    "training.reporting.report",
    "training.train",
)
SLOW = ("matplotlib", "onnxruntime", "pandas", "pyspark", "scipy", "sklearn", "tensorflow")


def loaded_by(statements: str) -> set[str]:
    """The slow libraries that a new interpreter has loaded after `statements`."""
    program = f"{statements}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(SLOW) & set(json.loads(result.stdout))


@pytest.mark.parametrize("module", CHECKED)
def test_a_module_that_checks_a_request_loads_no_slow_library(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


def test_checking_a_request_loads_no_slow_library() -> None:
    assert (
        loaded_by(
            "from training.data.loading import open_dataset\n"
            "from training.fitting.recipes import recipe\n"
            "recipe('digits', ['augmentations=2', 'classifier=RandomForestClassifier'])\n"
            "open_dataset('samples:2').duplicates"
        )
        == set()
    )


def test_a_slow_library_is_noticed() -> None:
    assert "scipy" in loaded_by("import scipy")
