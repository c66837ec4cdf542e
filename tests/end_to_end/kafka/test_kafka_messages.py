"""Promises of streams on topics as others write them: compressed, in transactions, with the image in an envelope."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from pyspark.sql import SparkSession
from streams import Place, digits, rows_of
from topics import Message, end_offsets, new_topic, received, send
from transactions import send_transactions

from console.main import run
from sparkdl.inference.classifier import FusedClassifier, PipelineClassifier
from sparkdl.models.registry import ModelVersion, Registry
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.readers.kafka import KafkaReader
from streaming.sources.kafka_records import input_records
from training.data.loading import Dataset

CODECS = ("gzip", "snappy", "lz4", "zstd")
MAX_BYTES = 200_000


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    (tmp_path / "watched").mkdir()
    return Place(tmp_path, registry)


def run_over(place: Place, spark: SparkSession, servers: str, topic: str, **given: Any) -> None:
    place.run_to_the_end(spark, source=f"kafka://{servers}/{topic}", max_bytes=MAX_BYTES, **given)


def outcomes(place: Place) -> dict[int, str]:
    """What became of each message of a topic of one partition: `prediction`, or a reason."""
    rows = [*rows_of(place.sink), *rows_of(place.sink, "dead_letters")]
    return {int(row["id"].rpartition("/")[2]): row.get("reason") or "prediction" for row in rows}


# --- codecs and transactions ---------------------------------------------------------------------------------------


def test_one_topic_with_every_codec_is_streamed_and_its_results_are_read(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset, tmp_path: Path
) -> None:
    source = new_topic(kafka)
    images = [image.read() for image in digits(drawn, 20)]
    for number, codec in enumerate(CODECS):
        send(kafka, source, [Message(image) for image in images[number * 5 : number * 5 + 5]], codec)
    for codec in CODECS:
        config = tmp_path / f"{codec}.properties"
        config.write_text(f"compression.type={codec}\n")
        sink, checkpoint = new_topic(kafka), tmp_path / codec
        run_over(
            place,
            kafka_spark,
            kafka,
            source,
            sink=f"kafka://{kafka}/{sink}",
            checkpoint=checkpoint,
            kafka_config=config,
        )
        rows = KafkaReader(KafkaAddress(kafka, sink), ClientConfig()).rows()
        assert {row["id"] for row in rows} == {f"{source}/0/{n}" for n in range(20)}


@pytest.mark.parametrize(("level", "expected"), [("read_uncommitted", {0, 2, 4, 6}), ("read_committed", {0, 4, 6})])
def test_aborted_records_are_predicted_unless_the_isolation_level_leaves_them_out(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset, level: str, expected: set[int]
) -> None:
    topic = new_topic(kafka)
    first, second, third, fourth = ([image.read()] for image in digits(drawn, 4))
    # Each transaction is a record and a marker, which has an offset too.
    send_transactions(kafka, topic, [(first, True), (second, False), (third, True), (fourth, True)])
    config = place.root / "client.properties"
    config.write_text(f"isolation.level={level}\n")
    run_over(place, kafka_spark, kafka, topic, kafka_config=config, max_images_per_trigger=3)
    assert outcomes(place) == dict.fromkeys(expected, "prediction")


# --- envelopes -----------------------------------------------------------------------------------------------------


def structured(data: dict[str, Any], version: str = "1.0") -> bytes:
    return json.dumps({"specversion": version, "id": "1", "source": "/camera", "type": "picture"} | data).encode()


BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/camera"), ("ce_type", b"picture")]
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
BATCHED = [("content-type", b"application/cloudevents-batch+json")]
LABEL = ("label", b"7")


def text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def messages_of(form: str, image: bytes, cut: bytes) -> list[tuple[Message, str]]:
    """Messages of a form, good and bad, each with what it must become."""
    common: list[tuple[Message, str]] = [
        (Message(None, b"a key"), "empty"),
        (Message(b""), "empty"),
        (Message(image), "bad_envelope"),
        (Message(b" " * (MAX_BYTES + 1)), "too_many_bytes"),
    ]
    if form == "json:picture.data":
        nested = [{"picture": {"data": value}} for value in (text(image), f"data:image/png;base64,{text(image)}")]
        return [
            *common,
            *((Message(json.dumps(value).encode(), headers=[LABEL]), "prediction") for value in nested),
            (Message(json.dumps({"picture": {"data": text(cut)}}).encode()), "truncated"),
            (Message(json.dumps({"picture": {"data": text(b"words")}}).encode()), "unsupported_format"),
            (Message(json.dumps({"picture": text(image)}).encode()), "bad_envelope"),
            (Message(f'{{"picture": {{"data": "{text(image)}", "data": "{text(image)}"}}}}'.encode()), "bad_envelope"),
            (Message(json.dumps(nested[0]).encode()[:-9]), "bad_envelope"),
        ]
    if form == "base64":
        return [
            *common,
            (Message(text(image).encode(), headers=[LABEL]), "prediction"),
            (Message(base64.encodebytes(image)), "prediction"),
            (Message(base64.urlsafe_b64encode(image)), "prediction"),
            (Message(text(cut).encode()), "truncated"),
            (Message(text(image).encode().replace(b"A", b" ")), "bad_envelope"),
        ]
    return [
        *common,
        (Message(structured({"data_base64": text(image)}), headers=[*STRUCTURED, LABEL]), "prediction"),
        (Message(structured({"data": text(image)})), "prediction"),
        (Message(image, headers=[*BINARY, ("content-type", b"image/png"), LABEL]), "prediction"),
        (Message(cut, headers=BINARY), "truncated"),
        (Message(None, b"a key", BINARY), "empty"),
        (Message(structured({})), "bad_envelope"),
        (Message(structured({"data": text(image)}, "0.3")), "bad_envelope"),
        (Message(image, headers=[("ce_specversion", b"0.3")]), "bad_envelope"),
        (Message(b"[" + structured({"data": text(image)}) + b"]", headers=BATCHED), "bad_envelope"),
    ]


@pytest.mark.parametrize("form", ["raw", "json:picture.data", "base64", "cloudevents"])
def test_each_message_of_a_form_is_a_prediction_or_a_dead_letter_with_its_own_bytes(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset, form: str
) -> None:
    image = drawn.images[0].read()
    if form == "raw":
        given = [(Message(image, headers=[LABEL]), "prediction"), (Message(text(image).encode()), "unsupported_format")]
    else:
        given = messages_of(form, image, image[: len(image) // 2])
    topic = new_topic(kafka)
    send(kafka, topic, [message for message, _ in given])
    run_over(place, kafka_spark, kafka, topic, message=form)

    assert outcomes(place) == {number: outcome for number, (_, outcome) in enumerate(given)}
    assert len(place.ids()) == len(given) == sum(end_offsets(kafka, topic).values())
    sent = {f"{topic}/0/{message.offset}": message for message in received(kafka, topic)}
    for row in rows_of(place.sink, "dead_letters"):
        assert row["payload"] == sent[row["id"]].value
        assert row["size"] == len(sent[row["id"]].value or b"")
        if row["reason"] == "bad_envelope":
            assert row["detail"]
    labelled = [row["label"] for row in rows_of(place.sink) if LABEL in sent[row["id"]].headers]
    assert labelled
    assert set(labelled) == {"7"}
    assert len({(row["prediction"], row["confidence"]) for row in rows_of(place.sink)}) == 1  # one image in all forms


def test_dead_letters_of_envelopes_go_to_their_topic_as_they_came(
    kafka_spark: SparkSession, kafka: str, place: Place
) -> None:
    source, sink = new_topic(kafka), new_topic(kafka)
    bad = [b'{"image": 1}', b"{", b"[]"]
    send(kafka, source, [Message(value) for value in bad])
    run_over(place, kafka_spark, kafka, source, sink=f"kafka://{kafka}/{sink}", message="json:image")
    rows = list(KafkaReader(KafkaAddress(kafka, sink), ClientConfig()).rows(dead=True))
    assert sorted((row["payload"], row["reason"]) for row in rows) == sorted((value, "bad_envelope") for value in bad)


def test_the_form_may_change_on_a_checkpoint_and_counts_for_later_messages(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    topic, image = new_topic(kafka), drawn.images[0].read()
    send(kafka, topic, [Message(image), Message(text(image).encode())])
    run_over(place, kafka_spark, kafka, topic)
    send(kafka, topic, [Message(image), Message(text(image).encode())])
    run_over(place, kafka_spark, kafka, topic, message="base64")
    assert outcomes(place) == {0: "prediction", 1: "unsupported_format", 2: "bad_envelope", 3: "prediction"}


@pytest.mark.parametrize("form", ["json:picture.data", "base64", "cloudevents"])
def test_a_pipeline_that_is_not_fused_opens_the_same_envelopes(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset, model: ModelVersion, form: str
) -> None:
    fused = model.load()
    assert isinstance(fused, FusedClassifier)
    in_stages = PipelineClassifier(fused.pipeline, fused.classes)
    image = drawn.images[0].read()
    given = messages_of(form, image, image[: len(image) // 2])
    topic = new_topic(kafka)
    send(kafka, topic, [message for message, _ in given])
    settings = place.settings(source=f"kafka://{kafka}/{topic}", message=form, max_bytes=MAX_BYTES)
    envelope = settings.make_source().envelope
    assert envelope is not None
    read = kafka_spark.read.format("kafka").option("kafka.bootstrap.servers", kafka).option("subscribe", topic)
    records = input_records(read.option("includeHeaders", True).load(), with_attributes=envelope.has_attributes)
    found = [
        {row.id: (row.reason, row.detail, row.payload, row.prediction) for row in rows}
        for rows in (one.classify(records, settings.limits, envelope=envelope).collect() for one in (fused, in_stages))
    ]
    assert found[0] == found[1]
    assert Counter(reason or "prediction" for reason, *_ in found[1].values()) == Counter(out for _, out in given)


def test_produce_and_stream_understand_each_other(
    kafka_spark: SparkSession, kafka: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = new_topic(kafka)
    config = place.root / "client.properties"
    config.write_text("compression.type=zstd\nlinger.ms=20\n")
    arguments = ["--to", f"kafka://{kafka}/{topic}", "--message", "cloudevents", "--kafka-config", str(config)]
    assert run(["produce", "--data", "samples:1", *arguments]) == 0
    assert "sent 10 images" in capsys.readouterr().err
    run_over(place, kafka_spark, kafka, topic, message="cloudevents")
    assert Counter(outcomes(place).values()) == {"prediction": 10}
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=5000)
    record = next(consumer)
    consumer.close()
    assert json.loads(record.value)["subject"] == record.key.decode()


def test_a_form_is_not_for_directories(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    request = ["--source", str(place.watched), "--sink", str(place.sink), "--checkpoint", str(place.checkpoint)]
    assert run(["stream", *request, "--message", "base64"]) == 2
    assert capsys.readouterr().err == (
        "sparkdl: --message base64 is for sources on Kafka: omit it, a file is the image itself\n"
    )
    assert run(["produce", "--data", "samples:1", "--to", str(place.watched), "--message", "base64"]) == 2
    assert "--message base64 is for Kafka topics" in capsys.readouterr().err
    assert run(["produce", "--data", "samples:1", "--to", "kafka://h:1/t", "--message", "x"]) == 2
    assert "--message: expected raw, json:FIELD, base64 or cloudevents, received 'x'" in capsys.readouterr().err
