"""Writes `processor_values.json`: what the image processors of transformers 4.57 make of one picture, for ten configs.

It needs a separate Python, with `pip install 'transformers<5' pillow numpy`; the tests need its output only:

    python tests/support/reference/processor_values.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHAPE = (97, 143)
POSITIONS = 40
OUTPUT = Path(__file__).with_name("processor_values.json")

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 48}, "resample": 2},
    "vit of old": {"feature_extractor_type": "ViTFeatureExtractor", "size": 48, "image_mean": [0.5, 0.4, 0.3]},
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": 64, "crop_size": 56, **IMAGENET},
    "convnext small": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_pct": 0.875,
        "resample": 3,
        **IMAGENET,
    },
    "convnext large": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, **IMAGENET},
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 64, "width": 64},
    },
    "mobilenet": {
        "image_processor_type": "MobileNetV2ImageProcessor",
        "size": {"shortest_edge": 73},
        "crop_size": {"height": 64, "width": 64},
    },
    "mobilevit": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_size": {"height": 72, "width": 72},
    },
    "levit": {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 56}, "crop_size": 56},
    "efficientnet": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": {"height": 65, "width": 66},
        "crop_size": {"height": 60, "width": 61},
        "resample": 3,
        "rescale_offset": True,
        "rescale_factor": 1 / 127.5,
        "include_top": True,
        **IMAGENET,
    },
    "poolformer": {
        "image_processor_type": "PoolFormerImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_size": 56,
        "crop_pct": 0.9,
    },
    "bit without normalization": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 60},
        "crop_size": 52,
        "do_normalize": False,
        "resample": 1,
    },
}


def picture() -> NDArray[np.uint8]:
    """An RGB picture with edges, gradients and noise."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    channels = [(rows * 2 + columns) % 256, (rows * columns) % 251, np.where((rows // 9 + columns // 13) % 2, 220, 30)]
    noise = np.random.default_rng(22).integers(-20, 20, (*SHAPE, 3))
    return np.clip(np.stack(channels, 2) + noise, 0, 255).astype(np.uint8)


def positions(size: int) -> NDArray[np.int64]:
    """Where values are compared, of `size` in a row."""
    return np.random.default_rng(7).integers(0, size, POSITIONS)


def main() -> None:
    import transformers

    expected = {}
    for name, config in CONFIGS.items():
        kind = config.get("image_processor_type") or config["feature_extractor_type"].replace("Extractor", "") + "x"
        kind = "ViTImageProcessor" if kind.endswith("x") else kind
        values = getattr(transformers, kind).from_dict(config)(Image.fromarray(picture()))["pixel_values"][0]
        flat = np.asarray(values, np.float64).ravel()
        expected[name] = {"shape": list(values.shape), "values": flat[positions(flat.size)].round(6).tolist()}
    OUTPUT.write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
