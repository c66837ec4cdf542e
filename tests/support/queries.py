"""Streaming queries of a test: rows that come as files, and what a transformation makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyspark.sql import DataFrame


def streamed(rows: DataFrame, apply: Callable[[DataFrame], DataFrame], directory: Path) -> list[Any]:
    """Return the rows that a streaming query over `rows` gives."""
    spark = rows.sparkSession
    source, name = f"{directory}/{uuid4().hex}", f"query_{uuid4().hex}"
    rows.write.parquet(source)
    stream = apply(spark.readStream.schema(rows.schema).parquet(source))
    query = stream.writeStream.format("memory").queryName(name).trigger(availableNow=True).start()
    query.awaitTermination()
    found: list[Any] = spark.table(name).collect()
    spark.catalog.dropTempView(name)
    return found
