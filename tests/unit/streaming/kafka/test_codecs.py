"""Promises of `streaming.kafka.codecs`: a codec whose package is missing is one line that names the package."""

from __future__ import annotations

import sys
import tomllib

import kafka.codec
import pytest
from paths import ROOT
from refusals import refused

from streaming.kafka.codecs import PACKAGES, check_codec, unsupported_codec


@pytest.mark.parametrize("name", PACKAGES)
def test_the_codecs_of_kafka_can_be_used_here(name: str) -> None:
    check_codec(name)


def test_the_extra_installs_every_package() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["kafka"]
    packages = [needed[1] for needed in PACKAGES.values() if needed is not None]
    assert [name for name in packages if not any(line.startswith(f"{name}>=") for line in extra)] == []


@pytest.mark.parametrize("name", ["snappy", "lz4", "zstd"])
def test_the_clients_take_the_package_that_is_named(name: str) -> None:
    needed = PACKAGES[name]
    assert needed is not None
    assert needed[0] in sys.modules  # `kafka.codec` has imported it
    assert getattr(kafka.codec, f"has_{name}")()


def test_a_package_that_is_missing_is_named_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snappy", None)
    with refused("compression.type=snappy in --kafka-config needs python-snappy, which is not installed: pip install"):
        check_codec("snappy")


@pytest.mark.parametrize("name", ["snappy", "lz4", "zstd"])
def test_a_package_that_is_missing_is_named_by_the_reader(name: str) -> None:
    error = unsupported_codec("digits", ValueError(f"Libraries for {name} compression codec not found"))
    needed = PACKAGES[name]
    assert needed is not None
    assert f"the messages of digits are compressed with {name}, which needs {needed[1]}, which is not installed" in str(
        error
    )
