"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest
from paths import ROOT

PACKAGES = ("sparkdl", "training", "streaming", "producer", "console")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


def test_there_are_examples() -> None:
    assert "sparkdl.transformers.featurizer" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_run(module: str) -> None:
    found = importlib.import_module(module)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    # Stages say that they are of `sparkdl`, so that they are not found as what the module defines.
    stages = [value for value in vars(found).values() if isinstance(value, type) and value.__module__ == "sparkdl"]
    for test in [*finder.find(found), *(test for stage in stages for test in finder.find(stage, module=False))]:
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
