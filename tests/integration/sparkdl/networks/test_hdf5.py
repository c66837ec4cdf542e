"""Promises of Keras's files of weights from anywhere: arrays of a bounded size, nothing outside, and nothing is run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from needs import need

need(find_spec("tensorflow"), "networks are exported with TensorFlow, the optional extra `keras`")

import h5py  # noqa: E402  # comes with Keras

from sparkdl.errors import RequestError  # noqa: E402
from sparkdl.networks import hdf5  # noqa: E402
from sparkdl.networks.hdf5 import check, weights_only  # noqa: E402
from sparkdl.networks.keras_export import export_keras  # noqa: E402

SECRET = b"root:x:0:0:" * 8


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that the weights are not to be read from."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.frombuffer(SECRET, "<f4")
    return path


def external_array(file: h5py.File, secret: Path) -> None:
    file.create_dataset("kernel", (len(SECRET) // 4,), "<f4", external=[(str(secret), 0, len(SECRET))])


def external_link(file: h5py.File, secret: Path) -> None:
    file["kernel"] = h5py.ExternalLink(f"{secret}.h5", "kernel")


def soft_link(file: h5py.File, secret: Path) -> None:
    file["kernel"] = h5py.SoftLink("/elsewhere")


def virtual_array(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((len(SECRET) // 4,), "<f4")
    layout[:] = h5py.VirtualSource(f"{secret}.h5", "kernel", (len(SECRET) // 4,))
    file.create_virtual_dataset("kernel", layout)


def references(file: h5py.File, secret: Path) -> None:
    file.create_dataset("kernel", (2,), h5py.ref_dtype)


def lists(file: h5py.File, secret: Path) -> None:
    file.create_dataset("kernel", (2,), h5py.vlen_dtype(np.float32))


def texts(file: h5py.File, secret: Path) -> None:
    file["kernel"] = ["text"]


def named_type(file: h5py.File, secret: Path) -> None:
    file["kernel"] = np.dtype("<f4")


def bomb(file: h5py.File, secret: Path) -> None:
    file.create_dataset("kernel", (1 << 40,), "<f4", chunks=(1 << 20,), compression="gzip")


def hidden_bomb(file: h5py.File, secret: Path) -> None:
    for number in range(8):
        file.create_dataset(f"a/{number}", (1 << 27,), "<f4", chunks=(1 << 20,), compression="gzip")


def library(file: h5py.File, secret: Path) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, b"kernel", h5py.h5t.IEEE_F32LE, space, settings)


def attribute_of_references(file: h5py.File, secret: Path) -> None:
    file.attrs.create("layer_names", [file.ref], dtype=h5py.ref_dtype)


def groups_in_a_ring(file: h5py.File, secret: Path) -> None:
    file.create_group("a")["b"] = file["/"]
    texts(file, secret)


ATTACKS = [
    *(external_array, external_link, soft_link, virtual_array, references, lists, texts, named_type),
    *(bomb, hidden_bomb, library, attribute_of_references, groups_in_a_ring),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_an_array_in_the_file_is_refused(
    attack: Callable[[h5py.File, Path], None], secret: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        attack(file, secret)
    with pytest.raises(
        ValueError, match=r"is a link|is in another|is assembled|is not an array|than 2 GiB|is packed|is n"
    ):
        check(path)


def test_what_keras_writes_is_taken(tmp_path: Path) -> None:
    import keras

    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    network.save_weights(tmp_path / "network.weights.h5")
    network.save(tmp_path / "network.h5")
    network.save(tmp_path / "network.keras")
    for name in ("network.weights.h5", "network.h5"):
        assert weights_only(tmp_path / name, tmp_path) == tmp_path / name
    unpacked = weights_only(tmp_path / "network.keras", tmp_path)
    assert unpacked == tmp_path / "model.weights.h5"
    before = [weight.copy() for weight in network.get_weights()]
    network.set_weights([weight + 1 for weight in before])
    network.load_weights(unpacked)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_archive_is_unpacked_by_one_name_alone_and_to_a_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, place = tmp_path / "network.keras", tmp_path / "place"
    place.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside", "x")
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"^the archive has no model\.weights\.h5$"):
        weights_only(path, place)
    monkeypatch.setattr(hdf5, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2 << 20))
    with pytest.raises(ValueError, match=r"^model\.weights\.h5 is larger than "):
        weights_only(path, place)
    assert list(place.iterdir()) == []


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    for content in (b"", b"PK\3\4", b"\x89HDF\r\n\x1a\n" + bytes(200), io.BytesIO(os.urandom(512)).read()):
        path.write_bytes(content)
        with pytest.raises(OSError, match="nable to"):
            check(path)


@pytest.mark.slow
def test_weights_that_lie_in_another_file_are_refused_in_one_line_before_keras_reads_them(
    secret: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1"]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [b"kernel", b"bias"]
        external_array(group, secret)
        group["bias"] = np.zeros(64, np.float32)
    with pytest.raises(RequestError, match=r"received '.*weights\.h5': '/block1_conv1/kernel' is in another file$"):
        export_keras("VGG16", path, (32, 32), ["block1_conv1"])


@pytest.mark.slow
def test_a_whole_model_whose_layers_would_run_code_is_weights_alone(tmp_path: Path) -> None:
    """A Lambda layer is code; no configuration is ever read."""
    program = (
        "import keras, sys, os\n"
        "layer = keras.layers.Lambda(lambda x: (__import__('os').system('touch called'), x)[1])\n"
        "network = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(3)])\n"
        "network.save('network.keras'); network.save('network.h5'); os.remove('called')\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=environment, capture_output=True)
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for name in ("network.keras", "network.h5"):
            with pytest.raises(RequestError, match=r"^VGG16: expected weights of this network without its top"):
                export_keras("VGG16", tmp_path / name, (32, 32), ["block1_conv1"])
    finally:
        os.chdir(before)
    assert not (tmp_path / "called").exists()
