"""The wheel: what is in it, and what it says that it needs."""

from __future__ import annotations

import subprocess
import sys
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from paths import ROOT

import sparkdl
from sparkdl.system.extras import EXTRAS

PACKAGES = ("sparkdl", "training", "streaming", "producer", "console")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_has_the_packages_with_their_types_and_their_lists_of_jars(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {"streaming/kafka.lock", "streaming/delta.lock", "streaming/kafka/local/kafka.lock"} <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "sparkdl").rglob("*.py")} <= names


def test_the_wheel_has_the_version_of_the_library(metadata: Message) -> None:
    assert metadata["Version"] == sparkdl.__version__


def test_the_core_needs_no_package_of_an_extra(metadata: Message) -> None:
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("pyspark") for line in core)
    names = {package.lower() for packages in EXTRAS.values() for package in packages.values()}
    assert [line for line in core if line.lower().startswith(tuple(names))] == []


def test_every_extra_is_offered(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == {*EXTRAS, "java", "all"}
