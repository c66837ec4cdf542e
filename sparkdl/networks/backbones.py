"""The named networks: the source of their weights, the pixels they expect, the default tap layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparkdl.errors import unknown

Channels = Literal["RGB", "BGR", "GRAY"]


@dataclass(frozen=True)
class Backbone:
    """A convolutional network without its classifier; all but InkNet are pre-trained on ImageNet.

    Attributes
    ----------
    name
        The value of `modelName`.
    input_size
        Height and width in pixels at which the network was trained.
    tap_layer
        The default tap: the last layer before the classifier's pooling.
    channels
        The order of the colour channels that the network expects; GRAY is one channel, fed with green.
    mean, scale
        The network's pixels are `(x - mean) * scale`, with one mean and scale per channel and x in 0..255.
    keras_file
        The file name of the weights without top that Keras downloads and checks; None if there are none.
    is_imported
        Whether it came from a file (`sparkdl.networks.imported.backbones`); then it has one tap, and takes its images
        as they are.
    """

    name: str
    input_size: tuple[int, int]
    tap_layer: str
    channels: Channels
    mean: tuple[float, ...]
    scale: float
    keras_file: str | None
    is_imported: bool = False


def _keras_tf(name: str, size: int, tap: str, file: str) -> Backbone:
    return Backbone(name, (size, size), tap, "RGB", (127.5, 127.5, 127.5), 1 / 127.5, file)


def _keras_caffe(name: str, tap: str, file: str) -> Backbone:
    return Backbone(name, (224, 224), tap, "BGR", (103.939, 116.779, 123.68), 1.0, file)


_NOTOP = "weights_tf_dim_ordering_tf_kernels_notop.h5"

BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        _keras_tf("InceptionV3", 299, "mixed10", f"inception_v3_{_NOTOP}"),
        _keras_tf("Xception", 299, "block14_sepconv2_act", f"xception_{_NOTOP}"),
        _keras_caffe("ResNet50", "conv5_block3_out", f"resnet50_{_NOTOP}"),
        _keras_caffe("VGG16", "block5_pool", f"vgg16_{_NOTOP}"),
        _keras_caffe("VGG19", "block5_pool", f"vgg19_{_NOTOP}"),
        Backbone("EfficientNetLite0", (224, 224), "head", "RGB", (127.0, 127.0, 127.0), 1 / 128, None),
        Backbone("InkNet", (32, 32), "embedding", "GRAY", (0.0,), 1 / 255, None),
    )
}


def backbone(name: str) -> Backbone:
    """Return a backbone, built in or imported; raise a RequestError with the nearest names if there is none."""
    if name in BACKBONES:
        return BACKBONES[name]
    from sparkdl.networks.imported import backbones as imported

    found = imported.find(name)
    if found is None:
        raise unknown("network", name, [*BACKBONES, *imported.names()])
    return found
