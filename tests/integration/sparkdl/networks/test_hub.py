"""Promises of `sparkdl.networks.imported.hub`: huggingface_hub reads a repository that is in its cache.

The hub itself cannot be reached here: the cache is laid out as its documentation describes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from foreign_networks import classifier, write_folder
from needs import need
from paths import ROOT
from refusals import refused

from sparkdl.networks.imported.description import Described
from sparkdl.networks.imported.sources import read_source

need(find_spec("huggingface_hub"), "the hub is read with huggingface_hub, the optional extra `hf`")

REVISION = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import sys
from sparkdl.errors import SparkdlError
from sparkdl.networks.imported.description import Described
from sparkdl.networks.imported.sources import read_source
try:
    found = read_source(sys.argv[1], Described())
    print(found.stem, ",".join(found.described.labels), len(found.content))
except SparkdlError as error:
    print("refused:", error)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """`HF_HOME` with one repository, me/vit-small."""
    repository = tmp_path / "hub" / "models--me--vit-small"
    folder = write_folder(repository / "snapshots" / REVISION, classifier(), name="onnx/model.onnx")
    (repository / "blobs").mkdir()
    for number, path in enumerate([path for path in folder.rglob("*") if path.is_file()]):
        blob = path.rename(repository / "blobs" / f"{number:040x}")
        path.symlink_to(os.path.relpath(blob, path.parent))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    return tmp_path


def said(address: str, home: Path) -> str:
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, address]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_cached_repository_is_read_as_a_folder(home: Path) -> None:
    size = len(classifier().SerializeToString())
    assert said("hf:me/vit-small", home) == f"vit-small ant,bee,cat,dog,elk {size}"
    assert said(f"hf:me/vit-small@{REVISION}", home).startswith("vit-small ")


def test_what_cannot_be_had_is_named_in_one_line(home: Path) -> None:
    found = said("hf:me/nothing", home)
    assert found.startswith("refused: hf:me/nothing cannot be downloaded: ")
    assert "\n" not in found


@pytest.mark.parametrize("address", ["hf:", "hf:name", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:a b/c"])
def test_another_form_of_address_is_refused(address: str) -> None:
    with refused("expected hf:OWNER/NAME", address):
        read_source(address, Described())
