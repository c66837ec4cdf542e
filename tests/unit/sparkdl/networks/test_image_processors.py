"""Promises of `sparkdl.networks.imported.image_processors`: the pixels that transformers makes, from the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from foreign_networks import passing
from processor_values import CONFIGS, OUTPUT, picture, positions

from sparkdl.errors import RequestError
from sparkdl.networks.framing import STRETCH
from sparkdl.networks.imported.adapter import adapt
from sparkdl.networks.imported.description import Described
from sparkdl.networks.imported.image_processors import described_by_processor, described_by_timm
from sparkdl.networks.runtime import resize_to_input

EXPECTED = json.loads(OUTPUT.read_text())
TOLERANCE = 2e-6


def pixels(described: Described) -> Any:
    """What a network gets of the picture: float32 [3, height, width]."""
    assert described.input_size is not None
    assert described.resample is not None
    adapted = adapt(passing(*described.input_size).SerializeToString(), "passing", described)
    bgr = picture()[:, :, ::-1]
    image = resize_to_input(bgr, adapted.input_shape, described.resample, described.framing or STRETCH)
    session = onnxruntime.InferenceSession(adapted.content, providers=["CPUExecutionProvider"])
    return session.run(["features"], {"image": image[np.newaxis]})[0].reshape(3, *described.input_size)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_network_gets_the_pixels_that_transformers_makes(name: str) -> None:
    found, expected = pixels(described_by_processor(CONFIGS[name], name)), EXPECTED[name]
    assert list(found.shape) == expected["shape"]
    np.testing.assert_allclose(found.ravel()[positions(found.size)], expected["values"], atol=TOLERANCE)


def test_timm_crops_the_share_of_its_configuration() -> None:
    config = {
        "input_size": [3, 56, 56],
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": [0, 0, 0],
        "std": [1] * 3,
    }
    alike = {**CONFIGS["convnext small"], "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    by_timm = pixels(described_by_timm(config, "timm"))
    np.testing.assert_array_equal(by_timm, pixels(described_by_processor(alike, "convnext")))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_processor_type": "DonutImageProcessor"}, "DonutImageProcessor"),
        ({}, "its image processor is ''"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 3}}, "size: expected height and width"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 48}}, "does not crop"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": 10**9, "width": 3}}, "1 to 4096 pixels"),
        ({"image_processor_type": "ViTImageProcessor", "do_pad": True}, "do_pad is not read"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "do_resize is false"),
        ({"image_processor_type": "ViTImageProcessor", "image_std": "x"}, "image_std: expected a number a channel"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 9}, "resample"),
        ({"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0}, "crop_pct"),
    ],
)
def test_what_is_not_read_is_named(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        described_by_processor(config, "preprocessor_config.json")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
