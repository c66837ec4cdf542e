"""Typed scalar Arrow UDFs: functions of Arrow arrays as functions of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql.types import DataType

from sparkdl.spark.private import find

if TYPE_CHECKING:
    from pyspark.sql import Column


def arrow_udf(function: Callable[..., Any], returns: DataType | str) -> Callable[..., Column]:
    """Return `function` as a function of columns; it maps one Arrow array per column to an array of as many rows.

    Spark infers the kind of UDF from the function's annotations, which are all `pyarrow.Array`.

    Spark runs neighbouring UDFs of this kind in one Python call. They are marked as nondeterministic, although they
    are not, because the optimiser copies deterministic expressions to every use, and an image must be decoded once.
    """
    # Looked up here because every worker imports the modules that use it, but no worker needs Spark's functions.
    udf: Any = find("pyspark.sql.pandas.functions.arrow_udf")(function, returns)
    return cast("Callable[..., Column]", udf.asNondeterministic())
