"""The plan of a stream: checked settings, and the source, sink and model that they name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sparkdl.models.addresses import find_model
from sparkdl.models.registry import MIN_REVIEW_THRESHOLD, ModelVersion
from sparkdl.spark.session import spark_session
from streaming.checkpoint.identity import Fingerprint, check_checkpoint, fingerprint
from streaming.fault_injection import check_fault_point
from streaming.realtime.request import check_request, fused_model, own_master
from streaming.settings import StreamSettings
from streaming.sinks.base import Sink
from streaming.sources.base import Source
from streaming.spark_conf import Connector, stream_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkdl.inference.classifier import Classifier


@dataclass(frozen=True)
class StreamPlan:
    """A stream that has been checked as far as possible without Spark. Created by `prepare`.

    Attributes
    ----------
    settings
        The settings.
    source, sink
        The source and the sink that the settings name.
    model
        The version that the stream starts with.
    fingerprint
        The source and the sink that the checkpoint must belong to.
    """

    settings: StreamSettings
    source: Source
    sink: Sink
    model: ModelVersion
    fingerprint: Fingerprint

    @property
    def connectors(self) -> list[Connector]:
        """The connectors that the Spark session must be started with."""
        needed: list[Connector] = []
        for connector in (self.source.connector, self.sink.connector):
            if connector is not None and connector not in needed:
                needed.append(connector)
        return needed

    @cached_property
    def spark_conf(self) -> dict[str, str]:
        """The settings of the Spark session, including static ones."""
        conf = stream_conf(self.connectors)
        if self.settings.is_realtime and "PYSPARK_GATEWAY_PORT" not in os.environ:
            source, _ = check_request(self.settings, self.source, self.sink)
            conf["spark.master"] = own_master(source.partitions, os.cpu_count() or 1)
        return conf

    def session(self, app: str = "sparkdl") -> SparkSession:
        """Return a Spark session that the stream can run in; start one if there is none."""
        return spark_session(app, self.spark_conf, [connector.lock for connector in self.connectors])

    @cached_property
    def fused_classifier(self) -> Classifier | None:
        """The model, verified and loaded without Spark; None if only Spark can load it."""
        return self.model.load_without_spark()

    def review_below(self, model: ModelVersion) -> float:
        """Return the confidence below which a prediction of `model` needs review, 0..1."""
        for threshold in (self.settings.review_below, model.review_below):
            if threshold is not None:
                return threshold
        return MIN_REVIEW_THRESHOLD


def prepare(settings: StreamSettings) -> StreamPlan:
    """Return the plan of a stream; starts no Spark and writes nothing but the cache of fetched models.

    Raises
    ------
    RequestError
        If the source or model does not exist, or source, sink and checkpoint do not belong together.
    SparkdlError
        If a server of the source, the sink or the model does not answer.
    """
    check_fault_point()
    source, sink = settings.make_source(), settings.make_sink()
    try:
        if settings.is_realtime:
            check_request(settings, source, sink)
        source.check()
        sink.check()
        model = find_model(settings.model, settings.mlflow)
        stream = fingerprint(source, sink)
        check_checkpoint(settings.checkpoint, stream)
        plan = StreamPlan(settings, source, sink, model, stream)
        if settings.is_realtime:
            fused_model(model, plan.fused_classifier)
    except BaseException:
        sink.close()
        raise
    return plan
