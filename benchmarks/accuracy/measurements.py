"""Accuracy of the recipes: `python benchmarks/accuracy --home NUMTADB_HOME [PROTOCOL ...]`.

Saves the figures in benchmarks/results/accuracy.json and renders the tables of docs/explanation/results.md from them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from page import rendered
from protocols import PROTOCOLS, Bench

from sparkdl.spark.session import spark_session

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "accuracy.json"
PAGE = ROOT / "docs" / "explanation" / "results.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/accuracy", description=__doc__)
    parser.add_argument("protocols", nargs="*", help=f"some of {', '.join(PROTOCOLS)}; default: all")
    parser.add_argument("--home", type=Path, default=os.environ.get("NUMTADB_HOME"), help="the directory of the images")
    parser.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a Spark setting")
    arguments = parser.parse_args()
    if arguments.home is None:
        parser.error("--home is missing")
    for name in arguments.protocols:
        if name not in PROTOCOLS:
            parser.error(f"no protocol {name!r}: expected some of {', '.join(PROTOCOLS)}")
    figures = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    spark = spark_session("accuracy", dict(setting.split("=", 1) for setting in arguments.conf))
    with TemporaryDirectory() as scratch:
        bench = Bench(spark, Path(arguments.home), Path(scratch), lambda line: print(line, flush=True))
        for name in arguments.protocols or PROTOCOLS:
            figures[name] = PROTOCOLS[name](bench)
            figures["measured"] = {
                **figures.get("measured", {}),
                name: {
                    "at": f"{datetime.now(UTC):%Y-%m-%d}",
                    "cpus": os.cpu_count(),
                    "python": platform.python_version(),
                },
            }
            RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
