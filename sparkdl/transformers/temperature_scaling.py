"""TemperatureScaling: a stage that calibrates the confidence of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasProbabilityCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError


def _to_temperature(value: Any) -> float:
    temperature = TypeConverters.toFloat(value)
    if not 0 < temperature < float("inf"):
        raise RequestError(f"expected temperature above 0, received {value!r}")
    return temperature


class TemperatureScaling(
    Transformer,
    HasProbabilityCol,
    DefaultParamsReadable["TemperatureScaling"],
    DefaultParamsWritable,
):
    """Scales a column of probabilities p: p ** (1 / temperature), divided by its sum.

    For a logistic regression, the result is the softmax of its logits divided by the temperature (Guo et al., On
    Calibration of Modern Neural Networks, ICML 2017). The order of the classes, and thus the prediction, do not change.

    Parameters
    ----------
    probabilityCol
        Column of Vectors [K], values 0..1 that sum to 1. It is replaced; null stays null. Default "probability".
    temperature
        Above 1 lowers the confidence, below 1 raises it. Default 1.0, which changes nothing.

    Examples
    --------
    >>> from pyspark.ml.linalg import Vectors
    >>> from sparkdl import TemperatureScaling
    >>> scaling = TemperatureScaling(temperature=0.5)
    >>> scaling.save(temp_path + "/scaling")
    >>> loaded = TemperatureScaling.load(temp_path + "/scaling")
    >>> rows = spark.createDataFrame([(Vectors.dense([0.75, 0.25]),)], ["probability"])
    >>> loaded.transform(rows).first()
    Row(probability=DenseVector([0.9, 0.1]))
    """

    __module__ = "sparkdl"  # the name in saved models, independent of the module's location

    temperature: Param[float] = Param(Params._dummy(), "temperature", "what logits are divided by", _to_temperature)

    @keyword_only
    def __init__(self, *, probabilityCol: str = "probability", temperature: float = 1.0) -> None:
        super().__init__()
        self._setDefault(temperature=1.0)
        self.setParams(**cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(self, *, probabilityCol: str | None = None, temperature: float | None = None) -> TemperatureScaling:
        """Set any of the constructor's arguments; None leaves a Param unchanged."""
        given: dict[str, Any] = self._input_kwargs  # type: ignore[attr-defined]
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def setProbabilityCol(self, value: str) -> TemperatureScaling:
        return self._set(probabilityCol=value)

    def setTemperature(self, value: float) -> TemperatureScaling:
        return self._set(temperature=value)

    def getTemperature(self) -> float:
        return self.getOrDefault(self.temperature)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name = self.getProbabilityCol()
        return dataset.withColumn(name, _scale(F.col(name), self.getTemperature()))


def _scale(vector: Column, temperature: float) -> Column:
    # Divided by the highest first: it becomes 1, so the sum is never 0, even at a very low temperature.
    surest = _let(vector_to_array(vector), lambda given: _over(given, F.array_max))
    powers = F.transform(surest, lambda share: F.pow(share, F.lit(1 / temperature)))
    return F.when(vector.isNotNull(), array_to_vector(_let(powers, lambda given: _over(given, _sum))))


def _over(values: Column, divisor: Callable[[Column], Column]) -> Column:
    return _let(divisor(values), lambda over: F.transform(values, lambda value: value / over))


def _sum(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """Return `body` of `value`, which is computed once instead of once per element."""
    return F.element_at(F.transform(F.array(value), body), 1)
