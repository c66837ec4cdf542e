"""Promises of `sparkdl.networks.builder`: a network is made once, cached whole under all that describes it, and pools
right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import noise
from pooling import adaptive_mean

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.backbones import backbone
from sparkdl.networks.builder import build_network
from sparkdl.networks.pooling import pooling_matrix
from sparkdl.networks.spec import NetworkSpec
from sparkdl.networks.weights import find_weights
from sparkdl.system.cache import cache_directory

SMALL = NetworkSpec("EfficientNetLite0", (32, 32), ("block2",), "average")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    packaged = find_weights(backbone("EfficientNetLite0"), None)
    assert packaged is not None
    return Path(shutil.copy(packaged, tmp_path / "weights.pth"))


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


# --- the cache -----------------------------------------------------------------------------------------------------


def test_a_network_is_made_once_and_then_read(cache: Path) -> None:
    content = build_network(SMALL)
    (made,) = files(cache)
    before = made.stat()

    assert build_network(SMALL) == content == made.read_bytes()

    assert files(cache) == [made]
    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_same_description_gives_the_same_bytes_anew(cache: Path) -> None:
    content = build_network(SMALL)
    shutil.rmtree(cache)
    assert build_network(SMALL) == content


def test_every_part_of_the_description_has_a_file_of_its_own(cache: Path, weights: Path) -> None:
    other_weights = bytearray(weights.read_bytes())
    other_weights[-1] ^= 1
    weights.write_bytes(other_weights)
    changes = (
        {},
        {"input_size": (32, 48)},
        {"input_size": (48, 32)},
        {"tap_layers": ("block3",)},
        {"tap_layers": ("block2", "block3")},
        {"tap_layers": ("block3", "block2")},
        {"pooling": "none"},
        {"pooling": "2x2"},
        {"grayscale": True},
        {"weights": str(weights)},
    )
    for change in changes:
        build_network(replace(SMALL, **change))
    assert len(files(cache)) == len(changes)


def test_weights_count_by_their_content_and_not_by_their_path(cache: Path, weights: Path, tmp_path: Path) -> None:
    content = build_network(replace(SMALL, weights=str(weights)))
    moved = shutil.move(weights, tmp_path / "moved.pth")
    assert build_network(replace(SMALL, weights=str(moved))) == content
    assert len(files(cache)) == 1


def test_processes_that_make_a_network_at_once_leave_one_whole_file(cache: Path) -> None:
    program = (
        "import hashlib; from sparkdl.networks.builder import NetworkSpec, build_network\n"
        "spec = NetworkSpec('EfficientNetLite0', (32, 32), ('block2',), 'average')\n"
        "print(hashlib.sha256(build_network(spec)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    digests = {child.communicate()[0].strip() for child in children}
    (made,) = files(cache)
    assert digests == {hashlib.sha256(made.read_bytes()).hexdigest()}


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert cache_directory("x") == tmp_path / "elsewhere" / "x"
    monkeypatch.delenv("SPARKDL_CACHE_DIR")
    assert cache_directory("x").parent.name == "sparkdl-streaming"


def test_a_cache_that_cannot_be_written_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(SparkdlError, match=r"cannot be written .*: set SPARKDL_CACHE_DIR to another directory$"):
        build_network(SMALL)


# --- the graph -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(data=st.data(), height=st.integers(1, 20), width=st.integers(1, 20))
def test_pooling_takes_the_means_that_pytorch_takes(data: st.DataObject, height: int, width: int) -> None:
    grid = data.draw(st.integers(1, min(height, width)))
    matrix = pooling_matrix(height, width, grid)
    positions = np.random.default_rng(height * 32 + width).normal(size=(height, width, 3))

    assert matrix.shape == (grid * grid, height * width)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    pooled = (matrix @ positions.reshape(-1, 3)).reshape(grid, grid, 3)
    np.testing.assert_allclose(pooled, adaptive_mean(positions, grid), atol=1e-6)


def test_a_network_takes_bgr_bytes_and_gives_one_vector_an_image(cache: Path) -> None:
    session = onnxruntime.InferenceSession(build_network(SMALL), providers=["CPUExecutionProvider"])
    (image,), (features,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["N", 32, 32, 3])
    assert (features.name, features.type, features.shape) == ("features", "tensor(float)", ["N", 24])
    for count in (1, 5):
        (received,) = session.run(None, {"image": noise(count, count, 32, 32, 3)})
        assert received.shape == (count, 24)
        assert received.dtype == np.float32


def test_of_gray_images_one_channel_gives_what_three_give(cache: Path) -> None:
    gray = noise(1, 4, 32, 32, 1)
    whole, one = (
        onnxruntime.InferenceSession(build_network(spec), providers=["CPUExecutionProvider"])
        for spec in (SMALL, replace(SMALL, grayscale=True))
    )
    assert one.get_inputs()[0].shape == ["N", 32, 32, 1]
    (expected,) = whole.run(None, {"image": gray.repeat(3, axis=3)})
    (received,) = one.run(None, {"image": gray})
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(0, 32), (32, -1)])
def test_an_input_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(RequestError, match="expected an input size of at least 1 x 1 pixels, received"):
        build_network(replace(SMALL, input_size=size))


def test_a_refused_network_leaves_nothing_in_the_cache(cache: Path) -> None:
    with pytest.raises(RequestError, match="asks for more cells"):
        build_network(replace(SMALL, pooling="9x9"))
    assert not cache.exists() or files(cache) == []
