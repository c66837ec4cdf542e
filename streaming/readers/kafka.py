"""Reader of the Kafka sink; needs no Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, UnsupportedCodecError

from sparkdl.errors import SparkdlError
from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import AdminSession
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.codecs import unsupported_codec
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX, dead_letter_row, prediction_row
from streaming.readers.base import Reader

_POLL = 500  # milliseconds
_REMEMBERED = 100_000  # ids that are kept while following, to recognize repeated rows
_PART = 1000  # rows per chunk


class KafkaReader(Reader):
    """Reads a topic of predictions and its topic of dead letters from the beginning.

    The sink writes at least once; the reader returns a repeated row once, by its `id`. Messages that the sink did not
    write are skipped and counted in `skipped`.

    Raises
    ------
    RequestError
        If the topic does not exist.
    SparkdlError
        If no broker answers.
    """

    def __init__(self, address: KafkaAddress, config: ClientConfig) -> None:
        self._address, self._config = address, config
        self._topic = address.single_topic
        self.skipped = 0
        with AdminSession(address, config) as session:
            session.check_topics()

    def rows(self, *, dead: bool = False, follow: bool = False) -> Iterator[dict[str, Any]]:
        seen: dict[str, None] = {}
        for record in self._records(self._topic + DEAD_LETTERS_SUFFIX if dead else self._topic, follow=follow):
            try:
                if dead:
                    row = dead_letter_row(record.key, record.value, record.headers)
                else:
                    row = prediction_row(record.value or b"")
            except ValueError:
                self.skipped += 1
                continue
            if row["id"] not in seen:
                seen[row["id"]] = None
                yield row
            if follow and len(seen) > _REMEMBERED:
                del seen[next(iter(seen))]

    def columns(self, names: Sequence[str], *, dead: bool = False) -> Iterator[dict[str, list[Any]]]:
        part: list[dict[str, Any]] = []
        for row in self.rows(dead=dead):
            part.append({name: row[name] for name in names})
            if len(part) == _PART:
                yield {name: [values[name] for values in part] for name in names}
                part.clear()
        yield {name: [values[name] for values in part] for name in names}

    def _records(self, topic: str, *, follow: bool) -> Iterator[Any]:
        """Yield the messages that are in a topic now; with `follow`, later messages too."""
        with AdminSession(KafkaAddress(self._address.servers, topic), self._config) as session:
            if topic not in session.partitions():
                return
        consumer = KafkaConsumer(
            bootstrap_servers=self._address.servers.split(","),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **self._config.python_options(KafkaConsumer.DEFAULT_CONFIG),
        )
        try:
            self._assign(consumer, topic)
            ends = None if follow else consumer.end_offsets(consumer.assignment())
            while ends is None or any(consumer.position(partition) < end for partition, end in ends.items()):
                for records in consumer.poll(timeout_ms=_POLL).values():
                    for record in records:
                        if ends is None or record.offset < ends[TopicPartition(topic, record.partition)]:
                            yield record
                if follow:
                    self._assign(consumer, topic)
        except UnsupportedCodecError as error:
            raise unsupported_codec(topic, error) from error
        except KafkaError as error:
            raise SparkdlError(
                f"Kafka at {self._address.servers} stopped answering: {error}; run the command again"
            ) from error
        finally:
            consumer.close()

    def _assign(self, consumer: KafkaConsumer, topic: str) -> None:
        """Assign all partitions of `topic` to `consumer`, new ones from their beginning."""
        found = {TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()}
        new = found - consumer.assignment()
        if new:
            consumer.assign(sorted(found | consumer.assignment()))
            consumer.seek_to_beginning(*new)
