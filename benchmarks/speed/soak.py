"""The tail of a stream over a long time: from topic to topic, image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

from bench import Bench, ContenderError
from latency import REALTIME, STREAM, first_results, serving, stream_command
from process_usage import memory_by_kind, processor_time
from routes import TopicRoute, opened
from sending import quantiles, send_at, slow, windows
from throughput import BROKER

_TRIGGERS = {STREAM: "0s", REALTIME: "realtime"}
_WINDOW = 300  # seconds
_SLOW = 0.5  # seconds
_KEPT = 100  # slow images whose time is saved
_PATIENCE = 60
_REST = 2  # seconds of rest after reading memory, which stops processes for a moment


def soak(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run each trigger once, one after the other; `rounds` is ignored."""
    from streaming.kafka.local.broker import Broker

    sending, registry = bench.sending, bench.model()
    found: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with Broker(BROKER).running(port=0) as broker:
        for name in [name for name in _TRIGGERS if name in (sending.contenders or _TRIGGERS)]:
            try:
                found[name] = _run(bench, broker, registry, _TRIGGERS[name], say)
            except ContenderError as error:
                if name == STREAM:
                    raise
                left_out[name] = error.reason
                say(f"  left out, {name}: {error.reason}")
            else:
                say(f"  {name}: {found[name]}")
    return {"minutes": sending.minutes, "rate": sending.rate, "warm_up": sending.warm_up, "conf": list(sending.conf),
            "left_out": left_out, "contenders": found}  # fmt: skip


def beside(kept: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Add the contenders of a kept run under the same conditions to those of a new one."""
    conditions = ("minutes", "rate", "warm_up", "conf")
    if any(kept.get(condition) != found[condition] for condition in conditions):
        return found
    return {**found, "contenders": {**kept["contenders"], **found["contenders"]}}


def _run(bench: Bench, broker: str, registry: Path, trigger: str, say: Callable[[str], None]) -> dict[str, Any]:
    sending, place = bench.sending, bench.place()
    route = TopicRoute(broker, bench.sources())
    source, sink = f"kafka://{broker}/{route.source}", f"kafka://{broker}/{route.target}"
    say(f"  {trigger}: the log is {place / 'log'}")
    with opened(route), serving(stream_command(bench, registry, source, sink, place, trigger), place) as process:
        began = monotonic()
        number = first_results(route, process)
        number = send_at(route, number, sending.rate, sending.warm_up, 0, _PATIENCE, process.check).ended
        first = memory_by_kind(process.pid)
        sleep(_REST)
        spent, at = processor_time(process.pid), monotonic()
        phase = send_at(route, number, sending.rate, 60 * sending.minutes, 0, _PATIENCE, process.check)
        cores = (processor_time(process.pid) - spent) / (monotonic() - at)
        last = memory_by_kind(process.pid)
    clock = time() - monotonic()
    found = slow(phase, _SLOW)
    return {
        **quantiles(phase.seconds),
        "images": len(phase.seconds),
        "missing": phase.missing,
        "late": phase.late,
        "cores": cores,
        "windows_p99": windows(phase, _WINDOW),
        "memory_mib": {kind: [first.get(kind, 0) / 2**20, last.get(kind, 0) / 2**20] for kind in first | last},
        "slow": len(found),
        "slow_images": [
            {
                "sent": datetime.fromtimestamp(clock + at, UTC).isoformat(timespec="milliseconds"),
                "uptime": round(at - began, 3),
                "seconds": round(took, 3),
            }
            for at, took in found[:_KEPT]
        ],
    }
