"""Accuracy of a recipe over several seeds: `python benchmarks/accuracy.py --data DATA --recipe digits --seeds 5`.

Each seed is another stratified split. Prints a row a seed, then means and standard deviations.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sparkdl.session import spark_session
from training.datasets import open_dataset
from training.recipes import RECIPES, recipe
from training.registry import Registry
from training.train import train

COLUMNS = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "roc_auc", "fit_seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="as for sparkdl train")
    parser.add_argument("--recipe", default="digits", choices=sorted(RECIPES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test-fraction", type=float, default=0.22)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a Spark setting")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    spark = spark_session("accuracy", dict(setting.split("=", 1) for setting in arguments.conf))
    chosen = recipe(arguments.recipe, arguments.settings)
    print("seed", *COLUMNS, sep="\t")
    rows: list[list[float]] = []
    with TemporaryDirectory() as scratch:
        for seed in range(arguments.seeds):
            run = train(
                spark, dataset, chosen, Registry(Path(scratch)), seed=seed, test_fraction=arguments.test_fraction
            )
            rows.append([{**run.evaluation.metrics, "fit_seconds": run.fit_seconds}[name] for name in COLUMNS])
            print(seed, *(f"{value:.4f}" for value in rows[-1]), sep="\t")
            sys.stdout.flush()
    columns = list(zip(*rows, strict=True))
    print("mean", *(f"{statistics.mean(column):.4f}" for column in columns), sep="\t")
    if len(rows) > 1:
        print("sd", *(f"{statistics.stdev(column):.4f}" for column in columns), sep="\t")


if __name__ == "__main__":
    main()
