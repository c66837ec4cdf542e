"""Extras: optional dependencies, installed by `pip install 'sparkdl-streaming[EXTRA]'`."""

from __future__ import annotations

from importlib.util import find_spec

from sparkdl.errors import RequestError

EXTRAS = {
    "train": {"sklearn": "scikit-learn", "scipy": "SciPy", "matplotlib": "Matplotlib"},
    "kafka": {
        "kafka": "kafka-python",
        "crc32c": "crc32c",
        "javaproperties": "javaproperties",
        "cryptography": "cryptography",
    },
    "delta": {"deltalake": "deltalake"},
    "heif": {"pillow_heif": "pillow-heif"},
    "keras": {"tensorflow": "TensorFlow", "keras": "Keras", "tf2onnx": "tf2onnx"},
    "kaggle": {"kagglehub": "kagglehub"},
    "hf": {"huggingface_hub": "huggingface-hub"},
    "mlflow": {"mlflow": "mlflow-skinny", "pandas": "pandas", "sqlalchemy": "SQLAlchemy", "alembic": "alembic"},
}
"""The modules that each extra provides, with the names of their packages."""


class MissingExtraError(RequestError):
    """The request requires an extra that is not installed."""


def require_extra(extra: str, purpose: str, hint: str = "") -> None:
    """Check that an extra is installed, without importing it.

    Parameters
    ----------
    extra
        A key of `EXTRAS`.
    purpose
        What needs the extra, as the subject of a sentence: "training".
    hint
        Another way to do it, appended to the message.

    Raises
    ------
    MissingExtraError
        If one of its modules cannot be found; names the package and the command that installs the extra.
    """
    for module, package in EXTRAS[extra].items():
        if find_spec(module) is None:
            raise MissingExtraError(
                f"{purpose} needs {package}, which is not installed: pip install 'sparkdl-streaming[{extra}]'{hint}"
            )
