"""Warm-up: the Python workers of a local session load the model while Spark plans the first micro-batch."""

from __future__ import annotations

import io
import threading
from contextlib import suppress

from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkdl.images.rejection import Limits
from sparkdl.inference.classifier import Classifier


def warm_up(spark: SparkSession, classifier: Classifier, limits: Limits) -> threading.Thread:
    """Let each slot of a local session classify a gray image, in the background.

    This starts the Python workers and their decoders, which load the network and keep it for the stream. A failure is
    ignored, because the stream encounters and reports it.

    Parameters
    ----------
    spark
        The session.
    classifier
        The model.
    limits
        The limits of the stream; decoders are reused only for the same limits.
    """
    slots = spark.sparkContext.defaultParallelism
    file = io.BytesIO()
    Image.new("L", (32, 32), 127).save(file, "PNG")
    images = spark.range(0, slots, 1, slots).select(
        F.lit("").alias("origin"), F.lit(bytearray(file.getvalue())).alias("payload")
    )
    # Not in the background: this reads the environment of workers, which opening a source changes.
    reasons = classifier.classify(images, limits).select("reason")

    def classify() -> None:
        with suppress(Exception):  # the stream encounters it again, or has ended
            reasons.collect()

    thread = threading.Thread(target=classify, name="warm-up", daemon=True)
    thread.start()
    return thread
