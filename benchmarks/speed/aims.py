"""The aims of docs/explanation/performance.md, and whether they were reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cells import Figures, table

_REALTIME = "stream, realtime"


def _over(table: str, base: str, other: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[table]["ratio"][base][other][0])


def _start_over(path: str) -> Callable[[Figures], float]:
    def ratio(figures: Figures) -> float:
        seconds = {what: figures["start"][f"{path}, {what}, warm"][0] for what in ("stream", "an empty Spark stream")}
        return float(seconds["stream"] / seconds["an empty Spark stream"])

    return ratio


def _latency(quantile: str, contender: str, *rates: int) -> Callable[[Figures], float]:
    """Return a function for the largest latency at some rates, in seconds."""

    def largest(figures: Figures) -> float:
        of_one = figures["latency"]["contenders"][contender]["rates"]
        return float(max(of_one[str(rate)][quantile][0] for rate in rates))

    return largest


def _latency_over(quantile: str, contender: str, other: str, *rates: int) -> Callable[[Figures], float]:
    """Return a function for the largest ratio at some rates."""

    def largest(figures: Figures) -> float:
        return max(
            _latency(quantile, contender, rate)(figures) / _latency(quantile, other, rate)(figures) for rate in rates
        )

    return largest


def _memory(figures: Figures) -> float:
    peaks = figures["directory"]["peak_mib"]
    return float(peaks["stream"][0] / peaks["loop, 2 processes"][0])


def _wrong_request(figures: Figures) -> float:
    """Return the median of the slowest, in seconds."""
    medians = [values[0] for name, values in figures["start"].items() if name.startswith("wrong request")]
    if not medians:
        raise KeyError("wrong request")
    return float(max(medians))


def _int8(figures: Figures) -> float:
    return 1.4 if figures["directory"]["machine"]["vnni"] else 1.0


AIMS: Sequence[tuple[str, str, float | Callable[[Figures], float], Callable[[Figures], float]]] = (
    ("stream over the loop of two processes, directory to Parquet", "at least", 0.95,
     _over("directory", "stream", "loop, 2 processes")),
    ("the same in INT8, over that FP32 loop", "at least", _int8,
     _over("directory", "stream, INT8", "loop, 2 processes")),
    ("over the loop of one process", "at least", 1.1, _over("directory", "stream", "loop, 1 process")),
    ("over the TensorFlow loop", "at least", 2.5, _over("directory", "stream", "TensorFlow loop")),
    ("over Spark's recipe", "at least", 3, _over("directory", "stream", "Spark's recipe")),
    ("over the original's recipe", "at least", 50, _over("directory", "stream", "original's recipe")),
    ("over Ray Data", "at least", 1, _over("directory", "stream", "Ray Data")),
    ("over the kafka-python loop, Kafka to Parquet", "at least", 0.95,
     _over("kafka", "stream to Parquet", "kafka-python loop to Parquet")),
    ("over Quix Streams, Kafka to Kafka", "at least", 1, _over("kafka", "stream to Kafka", "Quix Streams")),
    ("imported classifier over the loop of two processes, directory to Parquet", "at least", 0.85,
     _over("imported", "stream", "loop, 2 processes")),
    ("the same over the kafka-python loop, Kafka to Parquet", "at least", 0.85,
     _over("imported", "stream from Kafka", "kafka-python loop")),
    ("peak memory over that of the loop of two processes", "at most", 3, _memory),
    ("rate with 50,000 files over that with 1,000", "at least", 0.95,
     lambda figures: figures["growth"]["50000 files"]["rate"] / figures["growth"]["1000 files"]["rate"]),
    ("2 one-core workers over 1", "at least", 1.8, lambda figures: figures["machines"]["2 workers over 1"][0]),
    ("second micro-batch's speed over that of the fourth", "at least", 0.9,
     lambda figures: figures["start"]["warming"]["ratio"][0]),
    ("command to first row, directory to Parquet, s", "at most", 8,
     lambda figures: figures["start"]["directory to Parquet, stream, warm"][0]),
    ("first prediction over that of an empty stream, directory to Parquet", "at most", 1.5,
     _start_over("directory to Parquet")),
    ("first prediction over that of an empty stream, Kafka to Kafka", "at most", 1.5, _start_over("Kafka to Kafka")),
    ("p50 latency at 10 and 50 a second, Kafka to Kafka, s", "at most", 0.1, _latency("p50", "stream", 10, 50)),
    ("p99 of the same, s", "at most", 0.2, _latency("p99", "stream", 10, 50)),
    ("p99.9 of the same at 10 a second for 30 minutes, s", "at most", 0.5,
     lambda figures: figures["soak"]["contenders"]["stream"]["p99.9"]),
    ("p50 latency at 10 a second, directory to Parquet, s", "at most", 0.2,
     _latency("p50", "directory to Parquet, stream", 10)),
    ("p99 of the same, s", "at most", 0.35, _latency("p99", "directory to Parquet, stream", 10)),
    ("p50 latency at 10 and 50 a second, `--trigger realtime`, s", "at most", 0.02,
     _latency("p50", _REALTIME, 10, 50)),
    ("p99 of the same, s", "at most", 0.05, _latency("p99", _REALTIME, 10, 50)),
    ("p50 of the same over Quix Streams", "at most", 1, _latency_over("p50", _REALTIME, "Quix Streams", 10, 50)),
    ("p99 of the same over Quix Streams", "at most", 1, _latency_over("p99", _REALTIME, "Quix Streams", 10, 50)),
    ("cores without a message, `--trigger realtime`", "at most", 0.03,
     lambda figures: figures["latency"]["contenders"][_REALTIME]["idle_cores"][0]),
    ("`sparkdl --help`, s", "at most", 0.3, lambda figures: figures["start"]["sparkdl --help"][0]),
    ("slowest answer to a wrong request, s", "at most", 0.7, _wrong_request),
)  # fmt: skip


def aims(figures: Figures) -> list[str]:
    rows = []
    for words, direction, aim, of in AIMS:
        try:
            bound, value = aim if isinstance(aim, (int, float)) else aim(figures), of(figures)
        except KeyError:
            known = f"{direction} {aim:g}" if isinstance(aim, (int, float)) else ""
            rows.append([words, known, "", "not measured"])
            continue
        reached = value >= bound if direction == "at least" else value <= bound
        digits = 2 if bound > 0.2 else 3
        rows.append([words, f"{direction} {bound:g}", f"{value:.{digits}f}", "yes" if reached else "**no**"])
    return table(["ratio of medians, unless it says s or cores", "aim", "measured", "reached"], rows)
