"""The cost of authenticated connections in a local driver: throughput and latency with them over those without."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from bench import Bench, interleaved, spread, stream
from latency import serve, serving, stream_command
from process_usage import Measured
from routes import TopicRoute, opened
from sending import quantiles
from throughput import BROKER, fill, telling, to_stream

_WITHOUT = ("--conf", "spark.authenticate=false")
_RATE = 10  # images per second


def authentication(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a directory to Parquet and a topic to a topic, in turn with and without; ratios are with over without."""
    from streaming.kafka.local.broker import Broker

    registry, watched = bench.model(), bench.images(images)
    with Broker(BROKER).running(port=0) as broker:
        topic = fill(broker, watched)

        def files(*more: str) -> Measured:
            place = bench.place()
            sink = f"parquet:{place / 'sink'}"
            return stream([*to_stream(registry, str(watched), sink, place), *more], place, warm_up)

        def messages(*more: str) -> Measured:
            place, sink = bench.place(), f"kafka://{broker}/out-{uuid.uuid4().hex[:8]}"
            source = f"kafka://{broker}/{topic}"
            return stream([*to_stream(registry, source, sink, place), *more], place, warm_up)

        def answered(*more: str) -> dict[str, float]:
            route, place = TopicRoute(broker, bench.sources()), bench.place()
            source, sink = f"kafka://{broker}/{route.source}", f"kafka://{broker}/{route.target}"
            command = stream_command(bench, registry, source, sink, place, "0s", *more)
            with opened(route), serving(command, place) as process:
                return quantiles(serve(bench, route, process, [_RATE]).phases[_RATE].seconds)

        ways = {"directory to Parquet": files, "Kafka to Kafka": messages}
        contenders = {
            f"{way}, {kind}": lambda run=run, more=more: run(*more)
            for way, run in ways.items()
            for kind, more in (("with", ()), ("without", _WITHOUT))
        }
        found = interleaved(contenders, rounds, telling(say))
        seconds: dict[str, dict[str, list[float]]] = {"with": {}, "without": {}}
        for number in range(rounds):
            for kind, more in (("with", ()), ("without", _WITHOUT))[:: 1 if number % 2 else -1]:
                times = answered(*more)
                say(f"  {number + 1}, latency {kind}: {times}")
                for quantile in ("p50", "p99"):
                    seconds[kind].setdefault(quantile, []).append(times[quantile])
    return {
        "images": images,
        "throughput": {
            way: spread(
                on.rate / off.rate for on, off in zip(found[f"{way}, with"], found[f"{way}, without"], strict=True)
            )
            for way in ways
        },
        "latency": {
            quantile: spread(
                on / off for on, off in zip(seconds["with"][quantile], seconds["without"][quantile], strict=True)
            )
            for quantile in ("p50", "p99")
        },
    }
