"""Checks of a request for the real-time mode, without Spark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from streaming.sinks.kafka import KafkaSink
from streaming.sources.kafka import KafkaSource

if TYPE_CHECKING:
    from sparkdl.inference.classifier import Classifier
    from sparkdl.inference.fusion import FusedModel
    from sparkdl.models.registry import ModelVersion
    from streaming.settings import StreamSettings
    from streaming.sinks.base import Sink
    from streaming.sources.base import Source

_INSTEAD = "use --trigger 0s"
_HEADROOM = 16
"""Extra task slots for partitions added later, in a session that the stream starts; an idle slot costs one thread."""

_REFUSED: dict[str, Callable[[StreamSettings], object]] = {
    "--available-now: it never ends by itself": lambda settings: settings.available_now,
    "--max-images-per-trigger: each image is its own batch": lambda settings: settings.max_images_per_trigger,
    "--min-partitions: each partition has one task": lambda settings: settings.min_partitions,
}


def check_request(settings: StreamSettings, source: Source, sink: Sink) -> tuple[KafkaSource, KafkaSink]:
    """Return the source and the sink of a stream in real-time mode.

    Raises
    ------
    RequestError
        If the mode does not support a setting; the message says what to use instead.
    """
    if not isinstance(source, KafkaSource):
        raise RequestError(f"--trigger realtime reads from kafka://HOST:PORT/TOPIC only, not from {source}: {_INSTEAD}")
    if not isinstance(sink, KafkaSink):
        raise RequestError(f"--trigger realtime writes to kafka://HOST:PORT/TOPIC only, not to {sink}: {_INSTEAD}")
    for what, is_asked in _REFUSED.items():
        if is_asked(settings):
            flag, _, why = what.partition(": ")
            raise RequestError(f"--trigger realtime does not go with {flag} ({why}): omit it, or {_INSTEAD}")
    return source, sink


def fused_model(version: ModelVersion, classifier: Classifier | None) -> FusedModel:
    """Return the fused model of a classifier, for scorers; `classifier` is None if only Spark can load it.

    Raises
    ------
    RequestError
        If its pipeline cannot be fused.
    """
    from sparkdl.inference.classifier import FusedClassifier

    if not isinstance(classifier, FusedClassifier):
        raise RequestError(
            f"--trigger realtime needs a pipeline that can be fused, as recipes make them, and model {version.name} "
            f"has other stages: {_INSTEAD}"
        )
    return classifier.model


def own_master(partitions: int, cores: int) -> str:
    """Return the master of a session that the stream starts: a slot per partition, because each task keeps its slot."""
    return f"local[{max(cores, partitions + _HEADROOM)},4]"


def check_slots(slots: int, partitions: int) -> None:
    """Raise a RequestError if there are fewer slots than partitions: some partitions would never be read."""
    if slots < partitions:
        raise RequestError(
            f"--trigger realtime needs a task slot for each of the {partitions} partitions, and Spark has {slots}: "
            f"start it with more executors or cores, or {_INSTEAD}"
        )
