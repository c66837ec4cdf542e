"""Ray Data as in its documentation: a directory of images through two stateful workers to Parquet.

python ray_data.py MODEL IMAGES OUT

Prints `SECONDS IMAGES` when the workers have loaded the network, and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["RAY_DEDUP_LOGS"] = "0"
os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"


class Predictor:
    def __init__(self, model: str) -> None:
        sys.path[:0] = [str(Path(__file__).parent)]
        from hand_written import predictor

        self.predict = predictor(Path(model), 1)
        self.classes = json.loads((Path(model) / "about.json").read_text())["classes"]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shares = self.predict(list(batch["bytes"]))
        best = shares.argmax(axis=1)
        return {
            "id": batch["path"],
            "prediction": [self.classes[index] for index in best],
            "confidence": shares.max(axis=1),
            "probabilities": shares,
            "at": [time.monotonic()] * len(best),
        }


def main() -> None:
    import pyarrow.parquet as pq
    import ray

    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--warm-up", type=int, default=0)
    chosen = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    files = ray.data.read_binary_files(str(chosen.images), include_paths=True)
    predicted = files.map_batches(
        Predictor, fn_constructor_args=[str(chosen.model)], batch_size=32, concurrency=2, num_cpus=0.5
    )
    predicted.write_parquet(str(chosen.out))
    ended = time.monotonic()
    at = sorted(pq.read_table(chosen.out, columns=["at"])["at"].to_pylist())
    print(at[chosen.warm_up - 1] if chosen.warm_up else at[0], chosen.warm_up, flush=True)
    print(ended, len(at), flush=True)


if __name__ == "__main__":
    main()
