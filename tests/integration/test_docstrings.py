"""The examples in docstrings run, and return what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from paths import ROOT
from pyspark.sql import SparkSession

from training.data.synthetic.digits import draw_png

PACKAGES = ("sparkdl", "training", "streaming", "producer", "console")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


STAGES = (
    "DeepImageFeaturizer",
    "DeepImagePredictor",
    "InkNormalizer",
    "OnnxImageTransformer",
    "OnnxTransformer",
    "TemperatureScaling",
)
"""Stages that need no extra: those of Keras are shown to save and load in `test_keras_stages.py`."""


@pytest.fixture
def examples(spark: SparkSession, tmp_path: Path) -> dict[str, object]:
    """The names that examples use without an import, as in Spark's docs: a session, and a folder with two digits."""
    for digit in (0, 1):
        folder = tmp_path / "digits" / str(digit)
        folder.mkdir(parents=True)
        for seed in (1, 2):
            (folder / f"{seed}.png").write_bytes(draw_png(digit, seed))
    return {"spark": spark, "temp_path": str(tmp_path)}


def test_there_are_examples() -> None:
    assert "sparkdl.transformers.featurizer" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_run(module: str, examples: dict[str, object]) -> None:
    found = importlib.import_module(module)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    # Stages state `sparkdl` as their module, so the finder does not regard them as defined in this one.
    stages = [value for value in vars(found).values() if isinstance(value, type) and value.__module__ == "sparkdl"]
    for test in [*finder.find(found), *(test for stage in stages for test in finder.find(stage, module=False))]:
        test.globs |= examples
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0


@pytest.mark.parametrize("name", STAGES)
def test_stages_have_an_example_that_transforms_saves_and_loads(name: str) -> None:
    example = getattr(importlib.import_module("sparkdl"), name).__doc__
    assert all(f".{method}(" in example for method in ("transform", "save", "load"))
