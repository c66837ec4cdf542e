"""EfficientNet-Lite0 with its ImageNet classifier, as a classifier of encoded images: no training, no download."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from sparkdl.errors import SparkdlError
from sparkdl.inference.classifier import FusedClassifier
from sparkdl.inference.fusion import Featurizer, Regression, fuse
from sparkdl.networks.backbones import backbone
from sparkdl.networks.builder import build_network
from sparkdl.networks.classifiers.imagenet_classes import imagenet_labels
from sparkdl.networks.efficientnet import read_classifier
from sparkdl.networks.spec import NetworkSpec
from sparkdl.networks.torch_checkpoint import read_tensors
from sparkdl.networks.weights import find_weights

NAME = "imagenet"
"""What the command calls this classifier."""

_NETWORK = "EfficientNetLite0"


def imagenet_classifier() -> FusedClassifier:
    """Return the classifier, whose classes are `sparkdl.networks.classifiers.imagenet_classes.imagenet_labels`."""
    weights = find_weights(backbone(_NETWORK), None)
    assert weights is not None  # the network's weights are installed
    coefficients, intercepts = read_classifier(read_tensors(weights))
    spec = NetworkSpec.of(_NETWORK, pooling="average")
    model = fuse(
        [
            Featurizer("image", "features", spec, "SCALE_AREA_AVERAGING", lambda: build_network(spec)),
            Regression(
                features_column="features",
                probability_column="probability",
                class_count=len(intercepts),
                coefficients=coefficients.T.astype(np.float64),
                intercepts=intercepts.astype(np.float64),
                predicts_most_probable=True,
            ),
        ],
        imagenet_labels(),
    )
    assert model is not None  # these stages can be fused
    return FusedClassifier(model, _no_pipeline)


def _no_pipeline() -> NoReturn:
    raise SparkdlError(f"{NAME} is a classifier without a PipelineModel: use sparkdl.DeepImagePredictor in a pipeline")
