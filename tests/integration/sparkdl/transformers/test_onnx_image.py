"""Promises of OnnxImageTransformer: the network gets the pixels that its Params say, and its output comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from image_networks import Sides, identity_network
from images import features_of, image_rows, noise
from onnx import TensorProto, helper
from onnx_graphs import initializer, network
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from queries import streamed

from sparkdl import OnnxImageTransformer, imageIO
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.allowlist import check_pipeline

PICTURES = [noise(seed, 6, 5, 3) for seed in range(11)]


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    return image_rows(spark, PICTURES).cache()


def stage(path: Path, **params: Any) -> OnnxImageTransformer:
    return OnnxImageTransformer(inputCol="image", outputCol="features", model=str(path), **params)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [(["N", 3, 6, 5], "NCHW"), (["N", 6, 5, 3], "NHWC"), ([1, 3, 6, 5], "NCHW"), (["N", None, 6, 5], "NCHW")],
)
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_network_gets_pixels_in_its_layout_order_and_scale(
    frame: DataFrame, tmp_path: Path, shape: Sides, layout: str, order: str
) -> None:
    path = identity_network(tmp_path / "x.onnx", shape)
    mean, scale = [10.0, 20.0, 30.5], [0.5, 1.0, 2.0]
    set_layout = {"layout": layout} if None in shape else {}

    received = features_of(stage(path, channelOrder=order, mean=mean, scale=scale, **set_layout), frame)

    for picture, features in zip(PICTURES, received, strict=True):
        ordered = picture[:, :, ::-1] if order == "RGB" else picture
        pixels = (ordered.astype(np.float64) - mean) * scale
        expected = pixels.transpose(2, 0, 1) if layout == "NCHW" else pixels
        np.testing.assert_allclose(features, expected.ravel(), rtol=1e-6)


def test_the_first_convolution_takes_over_the_order_of_the_channels(frame: DataFrame, tmp_path: Path) -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 6, 5])],
        [onnx.numpy_helper.from_array(kernel, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "c.onnx")

    received = features_of(stage(tmp_path / "c.onnx", mean=127.5, scale=1 / 127.5), frame)

    pixels = (np.stack(PICTURES)[..., ::-1].astype(np.float64) - 127.5) / 127.5
    expected = np.einsum("oc,nhwc->nohw", kernel[:, :, 0, 0], pixels).reshape(len(PICTURES), -1)
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_a_gray_network_gets_one_channel(spark: SparkSession, tmp_path: Path) -> None:
    path = identity_network(tmp_path / "x.onnx", ["N", 1, 4, 4])
    gray = noise(0, 4, 4, 1)
    received = features_of(stage(path, channelOrder="L", scale=1 / 255), image_rows(spark, [gray]))
    np.testing.assert_allclose(received[0], gray.ravel() / 255, rtol=1e-6)


def test_images_are_resized_to_the_size_that_is_set(frame: DataFrame, tmp_path: Path) -> None:
    path = identity_network(tmp_path / "x.onnx", ["N", "height", "width", 3], kind=TensorProto.UINT8)
    received = features_of(stage(path, channelOrder="BGR", size=[4, 8], scaleHint="SCALE_DEFAULT"), frame)
    resized = np.asarray(Image.fromarray(PICTURES[0]).resize((8, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(received[0], resized.ravel())


@pytest.mark.parametrize("shape", [["N", 3, 6, 5], ["N", 6, 5, 3]])
def test_an_image_that_comes_out_is_the_image_that_went_in(frame: DataFrame, tmp_path: Path, shape: Sides) -> None:
    transformer = stage(identity_network(tmp_path / "x.onnx", shape), outputMode="image", scale=1 / 255)
    rows = transformer.transform(frame).orderBy("id").collect()
    for row, picture in zip(rows, PICTURES, strict=True):
        assert imageIO.imageTypeByOrdinal(row.features.mode).name == "CV_32FC3"
        assert row.features.origin == row.image.origin
        np.testing.assert_allclose(imageIO.imageStructToArray(row.features), picture / 255, rtol=1e-6)


def test_a_stream_and_a_loaded_stage_give_the_rows_of_a_batch(
    spark: SparkSession, frame: DataFrame, tmp_path: Path
) -> None:
    path = identity_network(tmp_path / "x.onnx", ["N", 3, 6, 5])
    transformer = stage(path, mean=1.0)
    before = transformer.transform(frame).orderBy("id").collect()
    PipelineModel([transformer]).write().save(f"{tmp_path}/saved")
    path.unlink()

    loaded = PipelineModel.load(f"{tmp_path}/saved")

    check_pipeline("saved", tmp_path / "saved")
    assert loaded.transform(frame).orderBy("id").collect() == before
    assert sorted(streamed(frame, loaded.transform, tmp_path), key=lambda row: row.id) == before


@pytest.mark.parametrize(
    ("shape", "params", "words"),
    [
        (["N", 3, "h", "w"], {}, r"set size to \[height, width\], as its input \? x 3 x \? x \? has none"),
        (["N", 3, 6, 5], {"size": 7}, r"expected images of 6 x 5 pixels, received size \[7, 7\]"),
        (["N", 1, 6, 5], {}, r"expected 3 channels \(RGB\), received an input \? x 1 x 6 x 5"),
        (["N", None, 6, None], {}, "set layout to NCHW or NHWC"),
        (["N", 10], {}, r"expected an input of images, \[N, C, H, W\] or \[N, H, W, C\]"),
        (["N", 3, 6, 5], {"outputTensor": "z"}, "unknown output tensor 'z'"),
    ],
)
def test_what_a_network_does_not_say_is_asked_for(
    frame: DataFrame, tmp_path: Path, shape: Sides, params: dict[str, Any], words: str
) -> None:
    path = identity_network(tmp_path / "x.onnx", shape)
    with pytest.raises(RequestError, match=words):
        stage(path, **params).transform(frame)


def test_a_network_that_reads_other_files_is_refused_by_name(frame: DataFrame, tmp_path: Path) -> None:
    hostile = network()
    initializer(hostile)
    (tmp_path / "hostile.onnx").write_bytes(hostile.SerializeToString())
    with pytest.raises(SparkdlError, match=r"hostile\.onnx: its tensor 'w' is in another file, '/etc/passwd'"):
        stage(tmp_path / "hostile.onnx").transform(frame)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"channelOrder": "RBG"}, "did you mean RGB"),
        ({"mean": [1.0, 2.0]}, r"expected one number, or one a channel, received \[1\.0, 2\.0\]"),
        ({"outputMode": "array"}, "expected outputMode vector or image, received 'array'"),
        ({"layout": "NCWH"}, "did you mean NCHW"),
    ],
)
def test_a_wrong_param_is_refused(spark: SparkSession, params: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        OnnxImageTransformer(**params)


def test_a_missing_file_and_a_missing_model_are_named(frame: DataFrame) -> None:
    with pytest.raises(RequestError, match=r"no such ONNX file: nowhere\.onnx"):
        stage(Path("nowhere.onnx")).transform(frame)
    with pytest.raises(RequestError, match="OnnxImageTransformer needs model"):
        OnnxImageTransformer(inputCol="image").transform(frame)
