"""The sources: an address becomes a streaming DataFrame of encoded images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from streaming.kafka.address import KafkaAddress, is_kafka
from streaming.kafka.admin import check_topics, look_at
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.messages import Header
from streaming.settings import AfterRead, LabelFrom, StreamSettings
from streaming.sources.directory.cleanup import Removal, check_archive, logs_complete
from streaming.sources.directory.file_log import FILES, Seen
from streaming.sources.directory.reader import NAME, DirectorySource

_LONGEST_LABEL = 256  # characters
# Spark reads ahead what is not there yet, then asks for the offsets: an answer that the broker gives after that one.
_FETCH_WAIT_MS = 1
_OF_THE_SOURCE = "SPARKDL_SOURCE"  # in the environment of its workers
_BYTES_A_CHARACTER = 4  # of UTF-8, at the most
_TIMES = ("1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z")  # what every reader of timestamps can hold


def check_source(settings: StreamSettings) -> None:
    """Asks whether the source is there, and whether what is to be done after reading can be.

    Raises
    ------
    RequestError
        If not.
    SparkdlError
        If the brokers that would tell do not answer.
    """
    if is_kafka(settings.source):
        if settings.label_from is LabelFrom.PARENT:
            raise RequestError("--label-from parent is for directories: of a message the label header is read")
        if settings.after_read is not AfterRead.KEEP:
            raise RequestError(f"--after-read {settings.after_read} is for directories: messages stay with the broker")
        check_topics(KafkaAddress.parse(settings.source), ClientConfig.read(settings.kafka_config))
    elif "://" in settings.source:
        raise RequestError(f"expected --source as a directory or kafka://HOST:PORT/TOPIC, received {settings.source!r}")
    elif not Path(settings.source).is_dir():
        raise RequestError(f"no such directory to watch: {settings.source}")
    if settings.after_read is AfterRead.ARCHIVE:
        if settings.archive_dir is None:
            raise RequestError("--after-read archive: name the directory to move files to with --archive-dir")
        check_archive(Path(settings.source), settings.archive_dir)
    elif settings.archive_dir is not None:
        raise RequestError(f"--archive-dir is for --after-read archive, received --after-read {settings.after_read}")


def open_source(spark: SparkSession, settings: StreamSettings, size: int, *, contents: bool = True) -> DataFrame:
    """The stream of `settings.source`: rows of `streaming.schemas.ENCODED`, at most `size` a micro-batch.

    Without `contents` the rows of a directory have no `payload` and no `size`: their files are to be read by `origin`.
    """
    if is_kafka(settings.source):
        return _messages(spark, settings, size)
    return _files(spark, settings, size, contents)


def _files(spark: SparkSession, settings: StreamSettings, size: int, contents: bool) -> DataFrame:
    with _workers_of_its_own(spark):
        spark.dataSource.register(DirectorySource)
    encoded = (
        spark.readStream.format(NAME)
        .option("checkpoint", str(settings.checkpoint.absolute()))
        .option("maxFilesPerTrigger", size)
        .option("maxBytes", settings.max_bytes)
        .option("slots", spark.sparkContext.defaultParallelism)
        .option("settle", settings.settle)
        .option("afterRead", settings.after_read.value)
        .option("contents", contents)
        .option("archive", str(settings.archive_dir.absolute()) if settings.archive_dir else "")
        .load(str(Path(settings.source).absolute()))
    )
    if settings.label_from is LabelFrom.NONE:
        encoded = encoded.withColumn("label", F.lit(None).cast("string"))
    return encoded


@contextmanager
def _workers_of_its_own(spark: SparkSession) -> Iterator[None]:
    """What is made in the block runs in Python workers that nothing else runs in.

    Spark takes any idle worker for the next task. A worker that reads files now and classifies images then would hold a
    network and a decoder, and there would be twice as many of these.
    """
    environment: dict[str, str] = spark.sparkContext.environment
    environment[_OF_THE_SOURCE] = "1"
    try:
        yield
    finally:
        del environment[_OF_THE_SOURCE]


def close_source(settings: StreamSettings) -> None:
    """Once a stream has ended: archives or deletes what its last micro-batch read, if that is asked for."""
    if settings.after_read is AfterRead.KEEP:
        return
    archive = settings.archive_dir.absolute() if settings.archive_dir else None
    removal = Removal(Path(settings.source).absolute(), archive, settings.max_bytes)
    removal.sweep(Seen(settings.checkpoint / FILES), logs_complete(settings.checkpoint))


def _messages(spark: SparkSession, settings: StreamSettings, size: int) -> DataFrame:
    address = KafkaAddress.parse(settings.source)
    records = (
        spark.readStream.format("kafka")
        .option("kafka.fetch.max.wait.ms", _FETCH_WAIT_MS)
        .options(**ClientConfig.read(settings.kafka_config).spark_options())
        .option("kafka.bootstrap.servers", address.servers)
        .option("subscribe" if address.topics else "subscribePattern", address.topic)
        .option("startingOffsets", settings.starting_offsets)
        .option("maxOffsetsPerTrigger", size)
        .option("minPartitions", settings.min_partitions or spark.sparkContext.defaultParallelism)
        .option("failOnDataLoss", settings.fail_on_data_loss)
        .option("includeHeaders", True)
        .load()
    )
    return encoded_messages(records)


def encoded_messages(records: DataFrame) -> DataFrame:
    """Kafka records with their headers, as rows of `streaming.schemas.ENCODED`.

    Whatever a header holds, the row is made: a label that is not UTF-8 is mended, one that is too long is cut, and for
    a time that is none the broker's time of the record stands. A producer may set that, too: outside the years that
    readers can hold there is no time.
    """
    place = F.concat_ws("/", "topic", "partition", "offset")
    stated = F.try_to_timestamp(_header(Header.PRODUCED_AT))
    return records.select(
        place.alias("id"),
        F.concat(F.lit("kafka://"), place).alias("origin"),
        F.col("value").alias("payload"),
        F.coalesce(F.length("value"), F.lit(0)).cast("long").alias("size"),
        F.substring(_header(Header.LABEL), 1, _LONGEST_LABEL).alias("label"),
        F.coalesce(_bounded(stated), _bounded(F.col("timestamp"))).alias("produced_at"),
    )


def _bounded(time: Column) -> Column:
    """`time` where it is in `_TIMES`, else null."""
    return F.when(time.between(*(F.lit(bound).cast("timestamp") for bound in _TIMES)), time)


def _header(name: Header) -> Column:
    """The beginning of the last value of a header, as text; null if there is none."""
    named = F.filter("headers", lambda header: header["key"] == name.value)
    value = F.substring(F.try_element_at(named, F.lit(-1))["value"], 1, _LONGEST_LABEL * _BYTES_A_CHARACTER)
    return F.make_valid_utf8(value.cast("string"))


def source_identity(settings: StreamSettings) -> str:
    """How the source is written into a checkpoint's fingerprint: the same source gives the same words.

    A Kafka cluster is known by its id, since its brokers may move.
    """
    if is_kafka(settings.source):
        address = KafkaAddress.parse(settings.source)
        cluster = look_at(address, ClientConfig.read(settings.kafka_config))
        return f"kafka:{cluster.cluster_id}/{address.topic}"
    return str(Path(settings.source).resolve())
