"""Scalar Arrow UDFs, typed: functions of Arrow arrays as functions of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql.types import DataType

from sparkdl.spark.private import find

if TYPE_CHECKING:
    from pyspark.sql import Column


def arrow_udf(function: Callable[..., Any], returns: DataType | str) -> Callable[..., Column]:
    """`function`, of one Arrow array a column to one Arrow array of as many rows, as a function of columns.

    Spark reads from the function's annotations, `pyarrow.Array` throughout, what kind of UDF it is.

    Spark runs neighbouring UDFs of this kind in one Python call. They are marked as nondeterministic, although they
    are not, because the optimiser copies deterministic expressions to wherever they are used, and an image is to be
    decoded once.
    """
    # Looked up here: every worker imports the modules that use this, and no worker needs Spark's function library.
    udf: Any = find("pyspark.sql.pandas.functions.arrow_udf")(function, returns)
    return cast("Callable[..., Column]", udf.asNondeterministic())
