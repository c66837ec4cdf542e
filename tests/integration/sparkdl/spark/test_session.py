"""Promises of `sparkdl.spark.session`: Spark with defaults that suit images, the caller's settings first, and no
noise.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from sparkdl.spark.session import DEFAULTS, LOCAL_DEFAULTS, python_sockets, spark_session


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_session_has_the_defaults_for_images(spark: SparkSession, key: str) -> None:
    assert spark.conf.get(key) == DEFAULTS[key]


def test_nobody_else_reaches_a_local_driver(spark: SparkSession) -> None:
    assert spark.conf.get("spark.driver.host") == "127.0.0.1"
    assert spark.conf.get("spark.driver.bindAddress") == "127.0.0.1"
    assert spark.sparkContext.uiWebUrl is None


def test_the_callers_settings_come_before_the_defaults(spark: SparkSession) -> None:
    # As the fixture asks for them.
    assert LOCAL_DEFAULTS["spark.master"] == "local[*,4]"
    assert spark.sparkContext.master == "local[2]"
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"


def test_a_second_call_gives_the_same_session_with_the_settings_asked_for(spark: SparkSession) -> None:
    settings = {"spark.sql.shuffle.partitions": "2", "spark.sql.execution.arrow.maxRecordsPerBatch": "17"}
    try:
        again = spark_session("another name", settings)
        assert again.sparkContext is spark.sparkContext
        assert spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == "17"
    finally:
        spark_session("tests", {"spark.sql.shuffle.partitions": "2"})
    assert spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == "256"


def test_workers_run_on_the_python_of_the_driver(spark: SparkSession) -> None:
    def executables(batches: object) -> object:
        import pyarrow as pa

        for batch in batches:  # type: ignore[attr-defined]
            yield pa.RecordBatch.from_pydict({"python": [sys.executable] * len(batch)})

    (row,) = spark.range(1).mapInArrow(executables, "python string").collect()
    assert Path(row.python).resolve() == Path(sys.executable).resolve()


def test_workers_are_spoken_to_in_a_directory_of_this_user_alone(spark: SparkSession) -> None:
    directory = spark.conf.get("spark.local.dir") or ""
    assert spark.conf.get("spark.python.unix.domain.socket.enabled") == "true"
    assert spark.conf.get("spark.python.unix.domain.socket.dir") == directory
    assert Path(directory).stat().st_mode & 0o077 == 0
    assert Path(directory).parent.name == f"sparkdl-{os.getuid()}"


def in_a_new_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables)


@pytest.mark.slow
def test_starting_spark_says_nothing() -> None:
    done = in_a_new_process(
        "from sparkdl.spark.session import spark_session; print(spark_session('quiet').range(3).count())"
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


FEW_ROWS = """
import sys
import numpy as np
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.linalg import Vectors
from sparkdl.spark.session import spark_session

spark = spark_session("few rows", {"spark.master": "local[1]"})
noise = np.random.default_rng(1).normal(size=(2, 1000)) * 0.1
rows = spark.createDataFrame([(float(i), Vectors.dense(noise[i] + i)) for i in range(2)], ["label", "features"])
LogisticRegression(regParam=0.01).fit(rows)
print("as Spark does it", file=sys.stderr, flush=True)
levels = spark._jvm.org.apache.logging.log4j
levels.core.config.Configurator.setLevel("breeze.optimize", levels.Level.ERROR)
LogisticRegression(regParam=0.01).fit(rows)
"""


@pytest.mark.slow
def test_fitting_on_very_few_rows_logs_no_error() -> None:
    done = in_a_new_process(FEW_ROWS)
    assert done.returncode == 0, done.stderr
    ours, _, sparks = done.stderr.partition("as Spark does it\n")
    assert ours == ""
    assert "spark ERROR LBFGS: Failure!" in sparks


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.slow
def test_a_session_looks_for_data_sources_of_other_packages_unless_told_not_to(tmp_path: Path, looks: bool) -> None:
    (tmp_path / "pyspark_other.py").write_text(f"open({str(tmp_path / 'looked')!r}, 'w')")
    program = f"""
import os
from sparkdl.spark.session import spark_session
spark = spark_session("looks", other_sources={looks})
try:
    spark.read.format("nowhere").load()
except Exception as error:
    print("DATA_SOURCE_NOT_FOUND" in str(error), "PYSPARK_DRIVER_PYTHON" in os.environ)
"""
    done = in_a_new_process(program, PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    assert (done.stdout, (tmp_path / "looked").exists()) == ("True False\n", looks)


def test_what_a_killed_process_left_goes_when_the_next_one_starts(tmp_path: Path) -> None:
    with in_the_background(tmp_path) as going_on, in_the_background(tmp_path) as killed:
        places = set(tmp_path.glob("sparkdl-*/*"))
        assert len(places) == 2
        killed.kill()
        killed.wait()
        with in_the_background(tmp_path) as late:
            left = set(tmp_path.glob("sparkdl-*/*"))
            assert len(left) == 2
            assert len(left & places) == 1
            late.communicate("\n")
        going_on.communicate("\n")


def in_the_background(temporary: Path) -> subprocess.Popen[str]:
    """A process that has a private directory until it reads a line."""
    program = "from sparkdl.spark.session import scratch_directory; print(scratch_directory(), flush=True); input()"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize(
    ("master", "length", "used"),
    [("local[2]", 60, True), ("local-cluster[2,1,1024]", 20, True), ("local[2]", 61, False), ("yarn", 20, False)],
)
def test_workers_elsewhere_or_too_deep_in_directories_are_spoken_to_by_tcp(
    master: str, length: int, used: bool
) -> None:
    assert bool(python_sockets(master, "/" * length)) == used


@pytest.mark.usefixtures("kafka_spark")  # it can be fetched
@pytest.mark.slow
def test_a_package_is_fetched_without_a_word() -> None:
    done = in_a_new_process(
        "from sparkdl.spark.session import spark_session\n"
        "from streaming.spark_conf import KAFKA\n"
        "spark = spark_session('quiet', locks=[KAFKA.lock])\n"
        "print(spark.readStream.format('kafka').option('kafka.bootstrap.servers', 'a:1').option('subscribe', 'b')"
        ".load().columns[:2])"
    )
    assert (done.stdout, done.stderr) == ("['key', 'value']\n", "")


def test_a_package_of_the_users_that_cannot_be_fetched_gets_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "ivy.xml").write_text(
        '<ivysettings><settings defaultResolver="one"/>'
        '<resolvers><ibiblio name="one" m2compatible="true" root="http://127.0.0.1:1/maven2"/></resolvers></ivysettings>'
    )
    conf = {
        "spark.jars.ivy": str(tmp_path),
        "spark.jars.ivySettings": str(tmp_path / "ivy.xml"),
        "spark.jars.packages": "org.example:nothing:1",
    }
    done = in_a_new_process(
        "from sparkdl.spark.session import spark_session\n"
        "from sparkdl.errors import SparkdlError\n"
        "try:\n"
        f"    spark_session('offline', {conf})\n"
        "except SparkdlError as error:\n"
        "    print(error)",
    )
    assert done.stdout == (
        "org.example:nothing:1 cannot be fetched: name a repository that has it in --conf spark.jars.ivySettings=FILE, "
        "or pass --conf spark.jars=FILE,... with the jars and what they need\n"
    )
    assert done.stderr == ""
