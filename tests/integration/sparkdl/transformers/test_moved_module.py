"""Promise of saved stages: they are named `sparkdl.NAME`, and load after the module that defines them has moved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from images import image_rows, noise
from paths import ROOT
from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import SparkSession

from sparkdl import DeepImageFeaturizer, InkNormalizer, TemperatureScaling

STAGES = [
    InkNormalizer(inputCol="image", outputCol="ink", margin=0.3),
    DeepImageFeaturizer(inputCol="ink", outputCol="features", modelName="EfficientNetLite0", inputSize=32),
    TemperatureScaling(temperature=2.0),
]

LOAD = """
import sys
import sparkdl
from pyspark.ml import PipelineModel
from sparkdl.spark.session import spark_session

spark = spark_session("moved")
(stage,) = PipelineModel.load(sys.argv[1]).stages
rows = spark.read.parquet(sys.argv[2])
print(sparkdl.__file__)
print(type(stage)._transform.__code__.co_filename)
print(stage.getMargin())
print(bytes(stage.transform(rows).select("ink.data").first()[0]).hex())
"""


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: type(stage).__name__)
def test_a_saved_stage_is_named_by_the_package(spark: SparkSession, tmp_path: Path, stage: Transformer) -> None:
    PipelineModel([stage]).write().save(str(tmp_path / "saved"))
    (metadata,) = tmp_path.glob("saved/stages/*/metadata/part-*")
    assert json.loads(metadata.read_text())["class"] == f"sparkdl.{type(stage).__name__}"


@pytest.mark.slow
def test_a_saved_pipeline_loads_after_the_module_of_a_stage_has_moved(spark: SparkSession, tmp_path: Path) -> None:
    images = image_rows(spark, [noise(1, 20, 30, 3)])
    images.write.parquet(str(tmp_path / "rows"))
    pipeline = PipelineModel(STAGES[:1])
    pipeline.write().save(str(tmp_path / "saved"))
    expected = bytes(pipeline.transform(images).select("ink.data").collect()[0][0]).hex()

    package = tmp_path / "elsewhere" / "sparkdl"
    shutil.copytree(ROOT / "sparkdl", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "handwriting").mkdir()
    (package / "handwriting" / "__init__.py").touch()
    moved = (package / "transformers" / "ink_normalizer.py").rename(package / "handwriting" / "squares.py")
    for module in package.rglob("*.py"):
        text = module.read_text("utf-8")
        module.write_text(text.replace("sparkdl.transformers.ink_normalizer", "sparkdl.handwriting.squares"), "utf-8")

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *filter(None, sys.path)])}
    command = [sys.executable, "-c", LOAD, str(tmp_path / "saved"), str(tmp_path / "rows")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(package / "__init__.py"), str(moved), "0.3", expected]
