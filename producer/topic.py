"""Replay of labelled images at a set rate to a Kafka topic, with the outcome of each image."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from kafka import KafkaProducer
from kafka.errors import KafkaConfigurationError, KafkaError

from producer.replay import paced
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.formats.envelopes import Envelope
from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import BROKER_TIME, AdminSession
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.codecs import check_codec
from streaming.kafka.messages import image_headers
from training.data.loading import LabelledImage

_BATCH = 256 * 1024  # bytes
_OVERHEAD = 100  # maximum bytes of a message in addition to its value, key and headers


@dataclass(frozen=True)
class Delivery:
    """The outcome of a replay.

    Attributes
    ----------
    acknowledged
        The number of images that all in-sync replicas of their partition have stored.
    refused
        The name of each image that is too large for the topic, and the reason. The others were still sent.
    lost
        The names of images that were not acknowledged before the producer gave up.
    why
        Why the producer gave up; None if it did not.
    """

    acknowledged: int
    refused: tuple[tuple[str, str], ...]
    lost: tuple[str, ...]
    why: str | None


def replay_to_topic(
    images: Iterator[tuple[LabelledImage, int]],
    address: KafkaAddress,
    config: ClientConfig,
    *,
    rate: float | None = None,
    on_acknowledged: Callable[[int], None] = lambda count: None,
    is_over: Callable[[], bool] = lambda: False,
    envelope: Envelope | None = None,
) -> Delivery:
    """Send each image as a message (`streaming.kafka.messages`) with its name as the key.

    A missing topic is created. The producer is idempotent and waits for all in-sync replicas.

    Parameters
    ----------
    images
        The images, from `producer.replay.sequence`.
    address, config
        The topic, and the settings of Kafka clients.
    rate
        Images per second; None for as fast as possible.
    on_acknowledged
        Called with the number of images acknowledged so far, on the thread of the producer.
    is_over
        Called before each image; true ends the replay. Images that the producer already has are still delivered.
    envelope
        How a message contains the image; None if its value is the image.

    Raises
    ------
    RequestError
        If the address does not name exactly one topic, `rate` is not positive, or the settings contradict each other.
    SparkdlError
        If no broker answers, or an image cannot be read.
    """
    topic = address.single_topic
    check_codec(config.properties.get("compression.type", "none"))
    images = paced(images, rate, is_over)
    with AdminSession(address, config) as session:
        session.ensure_topic(topic, BROKER_TIME)
        limit = session.max_message_bytes(topic)
    options = {"linger_ms": 5, "batch_size": _BATCH, **config.python_options(KafkaProducer.DEFAULT_CONFIG)}
    options["batch_size"] = min(options["batch_size"], limit)
    try:
        producer = KafkaProducer(
            bootstrap_servers=address.servers.split(","), **options, acks="all", enable_idempotence=True
        )
    except KafkaConfigurationError as error:
        raise RequestError(f"--kafka-config: {error}") from error
    sender = _Sender(producer, topic, limit, on_acknowledged, envelope)
    try:
        for image, _ in images:
            try:
                payload = image.read()
            except OSError as error:
                sender.settle()
                raise SparkdlError(
                    f"{image.name} cannot be sent ({error}); {sender.acknowledged} images were acknowledged before it"
                ) from error
            sender.send(image, payload)
            if sender.why is not None:
                break
        sender.settle()
    finally:
        with suppress(KafkaError):  # messages that the producer gave up
            producer.close(timeout=0)
    return sender.delivery()


class _Sender:
    """Passes images to a producer and tracks them until they are acknowledged or given up."""

    def __init__(
        self,
        producer: KafkaProducer,
        topic: str,
        limit: int,
        on_acknowledged: Callable[[int], None],
        envelope: Envelope | None,
    ) -> None:
        self.acknowledged = 0
        self._pending: dict[int, str] = {}  # names, by sequence number
        self._refused: list[tuple[str, str]] = []
        self._lost: list[str] = []
        self.why: str | None = None
        self._producer, self._topic = producer, topic
        self._limits = {
            "producer's max.request.size": producer.config["max_request_size"],
            "topic's max.message.bytes": limit,
        }
        self._numbers = itertools.count()
        self._on_acknowledged = on_acknowledged
        self._envelope = envelope
        self._changed = threading.Condition()

    def send(self, image: LabelledImage, payload: bytes) -> None:
        number = next(self._numbers)
        with self._changed:
            self._pending[number] = image.name
        content_type = None
        if self._envelope is not None:
            payload, content_type = self._envelope.seal(payload, image.name), self._envelope.content_type
        key = image.name.encode()
        headers = image_headers(payload, image.label or None, datetime.now(UTC), content_type)
        size = _OVERHEAD + len(payload) + len(key) + sum(len(name) + len(value) + 10 for name, value in headers)
        for name, limit in self._limits.items():
            # A refusal by the broker would end the producer: an idempotent producer allows no gaps.
            if size > limit:
                self._refuse(number, f"{len(payload)} bytes are more than the {name}, {limit}")
                return
        try:
            future = self._producer.send(self._topic, value=payload, key=key, headers=headers)
        except KafkaError as error:
            self._give_up(number, error)
        else:
            future.add_callback(self._acknowledge, number)
            future.add_errback(self._give_up, number)

    def settle(self) -> None:
        """Wait until each image is acknowledged or given up.

        The producer's `flush` can fail on batches that it has split, and waits forever for an unavailable broker.
        """
        patience = self._producer.config["delivery_timeout_ms"] / 1000
        with self._changed:
            if not self._changed.wait_for(lambda: not self._pending, patience) and self.why is None:
                self.why = "the brokers did not answer within delivery.timeout.ms"

    def delivery(self) -> Delivery:
        """Return the current outcome."""
        with self._changed:
            lost = (*self._lost, *self._pending.values())
            return Delivery(self.acknowledged, tuple(self._refused), lost, self.why)

    def _acknowledge(self, number: int, metadata: object) -> None:
        with self._changed:
            del self._pending[number]
            self.acknowledged += 1
            self._changed.notify_all()
        self._on_acknowledged(self.acknowledged)

    def _refuse(self, number: int, why: str) -> None:
        with self._changed:
            self._refused.append((self._pending.pop(number), why))
            self._changed.notify_all()

    def _give_up(self, number: int, error: KafkaError) -> None:
        with self._changed:
            self.why = self.why or str(error)
            self._lost.append(self._pending.pop(number))
            self._changed.notify_all()
