"""The version is stated once."""

from __future__ import annotations

from importlib.metadata import version

import pytest

import sparkdl
from console.main import run


def test_the_command_prints_the_version_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"sparkdl {sparkdl.__version__}\n"


def test_the_installed_package_has_the_version_of_the_library() -> None:
    assert version("sparkdl-streaming") == sparkdl.__version__
