"""Spark's documented recipe on a stream: `binaryFile`, `predict_batch_udf` with TensorFlow, Spark ML's classifier.

python spark_recipe.py MODEL IMAGES OUT --batch N

Prints `SECONDS IMAGES` on the monotonic clock after each micro-batch.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["PYSPARK_PYTHON"] = sys.executable


def main() -> None:
    from pyspark.ml import PipelineModel
    from pyspark.ml.functions import array_to_vector, predict_batch_udf, vector_to_array
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.functions import pandas_udf
    from pyspark.sql.types import ArrayType, FloatType

    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batch", type=int, default=512)
    chosen = parser.parse_args()
    about = json.loads((chosen.model / "about.json").read_text())
    side, network_file = about["side"], str(chosen.model / "network.keras")

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        # By default Spark runs a separate job to list the files of each micro-batch.
        .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "100000")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "256")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")

    @pandas_udf(ArrayType(FloatType()))  # type: ignore[call-overload,untyped-decorator]
    def prepare(payloads: pd.Series) -> pd.Series:
        import numpy as np
        from PIL import Image

        from sparkdl.images.ink import normalize_ink

        def one(payload: bytes) -> Any:
            with Image.open(io.BytesIO(payload)) as image:
                gray = np.asarray(image if image.mode == "L" else image.convert("L"))
            ink = Image.fromarray(normalize_ink(gray)).resize((side, side), Image.Resampling.BILINEAR)
            return np.repeat(np.asarray(ink, np.float32)[:, :, None], 3, axis=2).ravel()

        return payloads.map(one)

    def make_predict() -> Callable[[Any], Any]:
        import keras

        network = keras.models.load_model(network_file)
        return network.predict_on_batch  # type: ignore[no-any-return]

    features = predict_batch_udf(
        make_predict, return_type=ArrayType(FloatType()), batch_size=32, input_tensor_shapes=[[side, side, 3]]
    )
    head = next(stage for stage in PipelineModel.load(about["pipeline"]).stages if hasattr(stage, "coefficientMatrix"))

    files = (
        spark.readStream.format("binaryFile")
        .schema("path string, modificationTime timestamp, length long, content binary")
        .option("maxFilesPerTrigger", chosen.batch)
        .load(str(chosen.images))
    )
    rows = files.withColumn("features", array_to_vector(features(prepare("content"))))
    predicted = head.transform(rows).select(
        "path", "prediction", vector_to_array(F.col("probability")).alias("probabilities")
    )
    done = 0

    def write(batch: DataFrame, number: int) -> None:
        nonlocal done
        batch.write.mode("append").parquet(str(chosen.out))
        done += chosen.batch
        print(time.monotonic(), done, flush=True)

    checkpoint = str(chosen.out) + "-checkpoint"
    writer = predicted.writeStream.foreachBatch(write).option("checkpointLocation", checkpoint)
    writer.trigger(availableNow=True).start().awaitTermination()


if __name__ == "__main__":
    main()
