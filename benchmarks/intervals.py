"""Coverage of the 95% intervals, and their computing time: `python benchmarks/intervals.py`.

Simulates classifiers of known quality, with equally many images per class and every mistake equally likely to be any
other class, so that the true precision, recall and F1 equal the accuracy. Prints for each setting the share of
intervals that contain the true value, then the seconds for the intervals of one large evaluation.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from training.evaluation.metrics import AVERAGES, Indices, bootstrap_intervals

SETTINGS = ((100, 10, 0.8), (100, 10, 0.96), (500, 10, 0.96), (2000, 10, 0.96), (1000, 100, 0.9), (10_000, 100, 0.9))
LARGE = ((100_000, 1000, 0.95), (100_000, 1000, 0.5))


def draw(random: np.random.Generator, n: int, classes: int, accuracy: float) -> tuple[Indices, Indices]:
    truth = np.repeat(np.arange(classes), n // classes)
    other = (truth + random.integers(1, classes, len(truth))) % classes
    return truth, np.where(random.random(len(truth)) < accuracy, truth, other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=300, help="evaluations per setting")
    arguments = parser.parse_args()
    print("images", "classes", "accuracy", *AVERAGES, sep="\t")
    for n, classes, accuracy in SETTINGS:
        random = np.random.default_rng(1)
        held, counted = dict.fromkeys(AVERAGES, 0), 0
        for seed in range(arguments.evaluations):
            truth, said = draw(random, n, classes, accuracy)
            counted += not np.array_equal(truth, said)
            for name, interval in bootstrap_intervals(truth, said, seed).items():
                held[name] += interval is not None and interval[0] <= accuracy <= interval[1]
        print(n, classes, accuracy, *(f"{held[name] / counted:.3f}" for name in AVERAGES), sep="\t", flush=True)
    print("images", "classes", "accuracy", "seconds", sep="\t")
    for n, classes, accuracy in LARGE:
        truth, said = draw(np.random.default_rng(1), n, classes, accuracy)
        start = time.perf_counter()
        bootstrap_intervals(truth, said)
        print(n, classes, accuracy, f"{time.perf_counter() - start:.1f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
