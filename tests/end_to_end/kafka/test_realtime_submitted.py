"""The real-time mode under spark-submit, where Spark makes the session before the command sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pyspark
import pytest
from paths import ROOT
from pyspark.sql import SparkSession
from streams import digits, wait_until
from topics import Message, end_offsets, new_sink, new_topic, reader, send

from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset

SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"


@pytest.mark.slow
@pytest.mark.parametrize("master", ["local[2]", "local-cluster[2,1,1024]"])
def test_a_submitted_stream_answers_each_message_and_ends_by_sigterm(
    kafka_spark: SparkSession, kafka: str, tmp_path: Path, model: ModelVersion, drawn: Dataset, master: str
) -> None:
    source, sink = new_topic(kafka, partitions=2), new_sink(kafka)
    main = tmp_path / "sparkdl_main.py"
    main.write_text("from console.main import main\n\nmain()\n")
    jars = kafka_spark.sparkContext.getConf().get("spark.jars", "")
    command = [
        *(str(SUBMIT), "--master", master, "--jars", str(jars)),
        *("--conf", f"spark.pyspark.python={sys.executable}", "--conf", "spark.sql.codegen.wholeStage=false"),
        *(str(main), "stream", "--source", f"kafka://{kafka}/{source}", "--sink", f"kafka://{kafka}/{sink}"),
        *("--model", str(model.path), "--checkpoint", str(tmp_path / "checkpoint"), "--trigger", "realtime"),
    ]
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("w") as to:
        process = subprocess.Popen(command, stdout=to, stderr=to, env=environment, start_new_session=True)
        try:
            images = [image.read() for image in digits(drawn, 20)]
            send(kafka, source, [Message(image, partition=n % 2) for n, image in enumerate(images)])
            wait_until(lambda: sum(end_offsets(kafka, sink).values()) >= 20 or process.poll() is not None)
            python_driver(process.pid, main).send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            end(process)
    assert process.returncode == 0, log.read_text()[-3000:]
    rows = list(reader(kafka, sink).rows())
    assert {row["id"] for row in rows} == {f"{source}/{n % 2}/{n // 2}" for n in range(20)}


def python_driver(pid: int, main: Path) -> psutil.Process:
    """The process of Python that spark-submit's Java has started."""
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):  # a process that has just ended
            if str(main) in child.cmdline():
                return child
    raise AssertionError("spark-submit has not started Python")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills the submitted application, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
