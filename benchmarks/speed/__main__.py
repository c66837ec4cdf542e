"""Speed of the stream compared with its alternatives: `python benchmarks/speed`, all measurements or some.

All contenders of a comparison run in turn, round after round, and the main figures are ratios. The figures are saved in
benchmarks/results/speed.json, and the tables of docs/explanation/performance.md are written from them.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

from authentication import authentication
from bench import ROOT, Bench, machine
from growth import growth
from imported import imported
from latency import latency
from machines import machines
from sending import Sending
from soak import beside, soak
from start import start
from tables import TABLES, plot, rendered
from throughput import directory, kafka

PAGE = ROOT / "docs" / "explanation" / "performance.md"
KEPT = ROOT / "benchmarks" / "results" / "speed.json"
MEASUREMENTS = {
    "directory": directory,
    "kafka": kafka,
    "imported": imported,
    "latency": latency,
    "soak": soak,
    "start": start,
    "growth": growth,
    "machines": machines,
    "authentication": authentication,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/speed", description=__doc__)
    parser.add_argument("measurements", nargs="*", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--home", type=Path, default=os.environ.get("NUMTADB_HOME"), help="the directory of the images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=16384)
    parser.add_argument("--warm-up", type=int, default=4096, help="images that are not timed")
    parser.add_argument("--python", type=Path, help="a Python with Quix Streams and Ray")
    rates = ",".join(map(str, Sending.rates))
    sent = parser.add_argument_group("latency and soak")
    sent.add_argument("--rates", default=rates, help="images per second, one rate after the other")
    sent.add_argument("--seconds", type=float, default=Sending.seconds, help="duration of each rate")
    sent.add_argument("--warm-up-seconds", type=float, default=Sending.warm_up, help="warm-up at each rate")
    sent.add_argument("--minutes", type=float, default=Sending.minutes, help="of soak")
    sent.add_argument("--rate", type=int, default=Sending.rate, help="images per second of soak")
    sent.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a Spark setting")
    sent.add_argument("--contender", action="append", default=[], help="run only this one; saves only soak")
    parser.add_argument("--quick", action="store_true", help="1 round of few images; saves nothing")
    chosen = parser.parse_args()
    for name in chosen.measurements:
        if name not in MEASUREMENTS:
            parser.error(f"no measurement {name!r}: expected some of {', '.join(MEASUREMENTS)}")
    rounds, images, warm_up = (1, 6144, 3072) if chosen.quick else (chosen.rounds, chosen.images, chosen.warm_up)
    sending = Sending(
        rates=sorted(int(rate) for rate in chosen.rates.split(",")),
        seconds=chosen.seconds,
        warm_up=chosen.warm_up_seconds,
        minutes=chosen.minutes,
        rate=chosen.rate,
        conf=chosen.conf,
        contenders=chosen.contender,
    )
    if chosen.quick:
        sending = replace(sending, rates=(10,), seconds=10, warm_up=5, minutes=1)
    bench = Bench(Path(chosen.home) if chosen.home else None, chosen.python, sending)
    figures = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    for name in chosen.measurements or MEASUREMENTS:
        print(name, flush=True)
        found = MEASUREMENTS[name](bench, rounds, images, warm_up, lambda line: print(line, flush=True))
        if name == "soak" and chosen.contender:  # its runs do not alternate, so each may be made by itself
            found = beside(figures.get(name, {}), found)
        figures[name] = {**found, "rounds": rounds, "machine": machine()}
        print("\n".join(["", *TABLES[name](figures[name]), ""]), flush=True)
        if not (chosen.quick or (chosen.contender and name != "soak")):
            KEPT.write_text(json.dumps(figures, indent=1) + "\n")
            PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
            PAGE.with_suffix(".svg").write_bytes(plot(figures))


if __name__ == "__main__":
    main()
