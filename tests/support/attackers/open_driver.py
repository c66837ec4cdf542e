"""A driver without authentication, as Spark starts it by itself: shows that the attacks on a stream's driver are real.

Prints one line of JSON, then waits until its stdin ends.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyspark import SparkContext, StorageLevel

from sparkdl.spark.session import spark_session


def main() -> None:
    spark = spark_session("open", {"spark.master": "local[1]", "spark.authenticate": "false"})
    context = spark.sparkContext
    broadcast = context.broadcast(b"an image")
    assert spark.range(1).mapInArrow(lambda rows: rows if broadcast.value else iter(()), "id long").count() == 1
    jvm: Any = context._jvm
    manager = context._jsc.sc().env().blockManager().blockManagerId()
    tag = getattr(getattr(jvm.scala.reflect, "ClassTag$"), "MODULE$")
    level = context._getJavaStorageLevel(StorageLevel.MEMORY_ONLY)
    check = getattr(jvm.org.apache.spark.rpc.netty, "RpcEndpointVerifier$CheckExistence")
    facts = {
        "app": context.applicationId,
        "driver_port": int(context.getConf().get("spark.driver.port") or 0),
        "block_port": manager.port(),
        "metadata": _serialised(context, jvm.scala.Tuple2(level, tag.apply(level.getClass()))),
        "message": _serialised(context, check("HeartbeatReceiver")),
    }
    print(json.dumps(facts), flush=True)  # noqa: T201
    sys.stdin.read()


def _serialised(context: SparkContext, value: Any) -> str:
    """`value` in Java's serialisation, in hexadecimal digits."""
    jvm: Any = context._jvm
    target = jvm.java.io.ByteArrayOutputStream()
    stream = jvm.java.io.ObjectOutputStream(target)
    stream.writeObject(value)
    stream.flush()
    return bytes(target.toByteArray()).hex()


if __name__ == "__main__":
    main()
