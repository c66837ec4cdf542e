"""Export of a model as plain files: `python export.py REGISTRY OUT`.

Writes `network.onnx` and `network.keras` (the same network to features, with the input uint8 [N, side, side, channels]
or float32 [N, side, side, 3]), `head.npz` (coefficients [D, K], intercepts [K]), and `about.json` (classes, side,
channels of `network.onnx`, the PipelineModel's directory).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sparkdl.inference.classifier import FusedClassifier
from sparkdl.inference.fusion import Featurizer
from sparkdl.inference.heads import Head
from sparkdl.models.registry import resolve_model
from sparkdl.networks.backbones import backbone
from sparkdl.networks.pooling import grid_of, pooling_matrix
from sparkdl.networks.spec import NetworkSpec
from sparkdl.networks.weights import find_weights
from sparkdl.spark.session import spark_session

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "support" / "reference"))


def keras_network(spec: NetworkSpec) -> Any:
    """Build the network from Keras layers; EfficientNetLite0 only."""
    import keras
    import lite0_reference

    about = backbone(spec.model_name)
    side = spec.input_size[0]  # of three channels, as Keras's networks are
    weights = find_weights(about, None)
    assert weights is not None
    body = lite0_reference.network(weights, side)
    pixels = keras.Input((side, side, 3))
    taps = body(keras.layers.Rescaling(about.scale, -about.mean[0] * about.scale)(pixels))
    vectors = []
    for tap in spec.tap_layers:
        _, height, width, channels = taps[tap].shape
        grid = grid_of(spec.pooling)
        assert grid is not None
        pool = keras.layers.Dense(grid * grid, use_bias=False)
        rows = keras.layers.Permute((2, 1))(keras.layers.Reshape((height * width, channels))(taps[tap]))
        pooled = keras.layers.Permute((2, 1))(pool(rows))
        pool.set_weights([pooling_matrix(height, width, grid).T])
        vectors.append(keras.layers.Flatten()(pooled))
    return keras.Model(pixels, keras.layers.Concatenate()(vectors))


def main() -> None:
    registry, out = Path(sys.argv[1]), Path(sys.argv[2])
    version = resolve_model(str(registry))
    spark = spark_session("export")
    classifier = version.load()
    assert isinstance(classifier, FusedClassifier)
    featurizer, head = classifier.model.featurizer, classifier.model.head
    assert isinstance(featurizer, Featurizer)  # of a recipe
    assert isinstance(head, Head)
    spec, content = featurizer.spec, featurizer.network
    spark.stop()
    out.mkdir(exist_ok=True)
    (out / "network.onnx").write_bytes(content)
    np.savez(out / "head.npz", coefficients=head.coefficients, intercepts=head.intercepts)
    if spec.model_name == "EfficientNetLite0":
        import onnxruntime

        network = keras_network(spec)
        network.save(out / "network.keras")
        gray = np.random.default_rng(0).integers(0, 256, (4, *spec.input_size, 1), np.uint8)  # as ink is
        images = gray.repeat(spec.input_shape[2], axis=3)
        expected = onnxruntime.InferenceSession(content).run(None, {"image": images})[0]
        received = network.predict_on_batch(gray.repeat(3, axis=3).astype(np.float32))
        sys.stderr.write(f"the Keras network differs by at most {np.abs(expected - received).max():.2g}\n")
        if "int8" not in registry.name:
            np.testing.assert_allclose(received, expected, atol=1e-2)
    about = {
        "classes": classifier.classes,
        "side": spec.input_size[0],
        "channels": spec.input_shape[2],
        "pipeline": str(version.path / "pipeline"),
    }
    (out / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
