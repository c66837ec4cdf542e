"""Promises of what is not imported: a worker or a command loads what it needs, TensorFlow only where one exports."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from images import image_rows, noise
from pyspark.sql import SparkSession

from sparkdl import DeepImageFeaturizer
from sparkdl.spark.udf import arrow_udf

TENSORFLOW = {"tensorflow", "keras", "tf2onnx"}
HEAVY = TENSORFLOW | {
    "pyspark",
    "onnx",
    "onnxruntime",
    "matplotlib",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "PIL",
    "kafka",
}
EVERY_ROOM = """
import importlib, pkgutil
for package in ("sparkdl", "training", "streaming", "producer", "console"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
"""


def loaded_by(program: str) -> set[str]:
    """The names, with dots, of the modules that a fresh Python has loaded after `program`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    say = "import json, sys; print(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", f"{program}\n{say}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return set(json.loads(done.stdout))


def test_importing_sparkdl_loads_nothing_heavy() -> None:
    assert loaded_by("import sparkdl") & HEAVY == set()


@pytest.mark.parametrize("package", ["streaming", "training", "producer", "console.main"])
def test_importing_a_package_or_the_command_loads_nothing_heavy(package: str) -> None:
    assert loaded_by(f"import {package}") & HEAVY == set()


def test_the_old_import_gives_the_stage() -> None:
    loaded = loaded_by("from sparkdl import DeepImageFeaturizer\nassert DeepImageFeaturizer.__name__")
    assert loaded & (TENSORFLOW | {"matplotlib", "sklearn"}) == set()
    assert "sparkdl.transformers.featurizer" in loaded


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    import sparkdl

    with pytest.raises(AttributeError, match=r"^module 'sparkdl' has no attribute 'DeepImageFeaturiser'$"):
        _ = sparkdl.DeepImageFeaturiser


def test_no_module_of_ours_loads_tensorflow_when_imported() -> None:
    loaded = loaded_by(EVERY_ROOM)
    assert "sparkdl.networks.keras_export" in loaded
    assert loaded & TENSORFLOW == set()


@pytest.mark.parametrize(
    "room", ["sparkdl.decoding.reader", "sparkdl.decoding.udf", "sparkdl.networks.runtime", "sparkdl.spark.udf"]
)
def test_what_workers_import_loads_no_ml_stages(room: str) -> None:
    assert not {name for name in loaded_by(f"import {room}") if name.startswith("pyspark.ml")}


def test_a_worker_featurizes_without_tensorflow(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    # Spark keeps workers by their environment: these are new ones, which no other test has loaded anything into.
    monkeypatch.setitem(spark.sparkContext.environment, "OF_THIS_TEST", "1")

    def loaded(column: pa.Array) -> pa.Array:
        return pa.array([" ".join(name for name in sys.modules if "." not in name)] * len(column))

    stage = DeepImageFeaturizer(
        inputCol="image", outputCol="features", modelName="EfficientNetLite0", inputSize=32, pooling="average"
    )
    frame = stage.transform(image_rows(spark, [noise(i, 32, 32, 3) for i in range(8)]))
    frame.collect()
    # The workers are idle now and kept: one of them takes the next work, and tells what it has loaded.
    workers = [
        set(row.names.split()) for row in frame.select(arrow_udf(loaded, "string")("id").alias("names")).collect()
    ]
    assert any("onnxruntime" in modules for modules in workers)
    assert set.union(*workers) & (TENSORFLOW | {"matplotlib", "sklearn"}) == set()
