"""Promise of the README: its example in Python runs as it is written, and its model is one that a stream takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from images import noise
from paths import ROOT
from PIL import Image
from pyspark.sql import SparkSession

from sparkdl.inference.classifier import Classifier, FusedClassifier


@pytest.mark.slow
def test_the_example_makes_a_model_for_a_stream(spark: SparkSession, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for shade, label in enumerate(("daisy", "_tulip_")):
        folder = tmp_path / "flowers" / label
        folder.mkdir(parents=True)
        for number in range(6):
            Image.fromarray(noise(number, 40, 40, 3) // 2 + 127 * shade).save(folder / f"_DSC{number}.JPG")
    (tmp_path / "flowers" / "daisy" / "broken.jpg").write_bytes(b"no image")

    # Spark takes relative paths from where its JVM was started.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "unsupported_format" in done.stdout
    classifier = Classifier.load(tmp_path / "flower-model")
    assert isinstance(classifier, FusedClassifier)
    assert sorted(classifier.classes or ()) == ["_tulip_", "daisy"]
    files = [str(path) for path in sorted((tmp_path / "flowers").glob("*/_*.JPG"))]
    rows = [(path, Path(path).read_bytes(), Path(path).parent.name) for path in files]
    records = spark.createDataFrame(rows, "origin string, payload binary, label string")
    assert classifier.classify(records).where("prediction = label").count() == len(files)
