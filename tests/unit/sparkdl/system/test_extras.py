"""Optional dependencies: which modules an extra provides, and the message where it is missing."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
from paths import ROOT

from sparkdl.errors import RequestError
from sparkdl.system.extras import EXTRAS, require_extra

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def packages_of(extra: str) -> set[str]:
    """The packages of an extra, and the extras of them that it asks for."""
    return {
        name.lower()
        for requirement in PROJECT["optional-dependencies"][extra]
        for name in re.findall(r"[\w-]+", re.split(r"[<>=~]", requirement)[0])
    }


def test_every_extra_that_is_checked_can_be_installed() -> None:
    assert set(EXTRAS) <= set(PROJECT["optional-dependencies"])


def test_all_is_all() -> None:
    (requirement,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.split(r"[\[\],]", requirement)[1:-1]) == set(PROJECT["optional-dependencies"]) - {"all"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_the_packages_that_are_checked(extra: str) -> None:
    assert {package.lower() for package in EXTRAS[extra].values()} <= packages_of(extra)


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_extra_is_named_in_one_line(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, package = next(iter(EXTRAS[extra].items()))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RequestError) as raised:
        require_extra(extra, "this test", " or do without")
    assert str(raised.value) == (
        f"this test needs {package}, which is not installed: pip install 'sparkdl-streaming[{extra}]' or do without"
    )


def test_an_installed_extra_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in list(sys.modules):
        if module.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, module)
    require_extra("train", "this test")
    assert "matplotlib" not in sys.modules
