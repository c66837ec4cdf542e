"""The pyfunc of a model: encoded images to predictions, without Spark.

MLflow calls `_load_pyfunc` with the directory of the version inside of the MLflow model. No object of Python is stored
there, so loading unpickles nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.models.registry import resolve_model

if TYPE_CHECKING:
    import pandas as pd
    from pyspark import SparkContext
    from pyspark.sql.types import StructField

CONTENT = "content"
"""The column of encoded images."""
_OF_STREAMS = ("scored_at", "batch_id")
_CHUNK = 64  # images that are decoded at once, of at most 3 MiB each

T = TypeVar("T")


@dataclass(frozen=True)
class _Held(Generic[T]):
    """A value of this process, with the interface of a broadcast variable."""

    value: T


class _OneProcess:
    """What a `SparkContext` is used for here: values are where they are needed already."""

    def broadcast(self, value: T) -> _Held[T]:
        return _Held(value)


def output_fields() -> list[StructField]:
    """Return the columns of the output, in Spark's types: those that a fused pipeline gives, without time and batch."""
    from sparkdl.inference.fused_worker import RESULT_TYPE

    return [field for field in RESULT_TYPE if field.name not in _OF_STREAMS]


class ImageClassifier:
    """A saved version as a function of encoded images; equal to what a stream gives for the same bytes.

    Parameters
    ----------
    path
        The directory of the version.

    Raises
    ------
    SparkdlError
        If a file differs from what was saved, or the pipeline needs Spark.
    """

    def __init__(self, path: Path) -> None:
        from sparkdl.inference.classifier import FusedClassifier

        classifier = resolve_model(str(path)).load_without_spark()
        if not isinstance(classifier, FusedClassifier):
            raise SparkdlError(f"{path}: its stages cannot be applied without Spark")
        self._inference = classifier.model.inference(cast("SparkContext", _OneProcess()), DEFAULT_LIMITS)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Classify the images in the column `content`, bytes.

        Returns
        -------
        A row for each image, with the columns of `output_fields`: `prediction`, `confidence` (0..1) and `probabilities`
        (a dict, one value a class), None where the image cannot be decoded; then `reason` and `detail` say why, as in a
        dead letter.
        """
        import pandas as pd

        from sparkdl.spark import arrow

        contents = [None if content is None else bytes(content) for content in model_input[CONTENT]]
        rows: list[dict[str, Any]] = []
        for start in range(0, len(contents), _CHUNK):
            results = self._inference.predict(arrow.binary_array(contents[start : start + _CHUNK]), None)
            rows += results.to_pylist()
        names = [field.name for field in output_fields()]
        for row in rows:
            row["probabilities"] = None if row["probabilities"] is None else dict(row["probabilities"])
        return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in names})


def _load_pyfunc(path: str) -> ImageClassifier:
    """Return the model in a directory; the function that MLflow calls."""
    return ImageClassifier(Path(path))
