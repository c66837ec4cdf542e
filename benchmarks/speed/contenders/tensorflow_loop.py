"""A loop as a Keras user writes it: Pillow, `predict_on_batch`, numpy, pyarrow; TensorFlow's default threads.

python tensorflow_loop.py MODEL IMAGES OUT --warm-up N
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hand_written import BATCH, Writer, classifying, preparing

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def predictor(model: Path) -> Callable[[list[bytes]], Any]:
    import keras
    import numpy as np

    network = keras.models.load_model(model / "network.keras")
    prepare = preparing(json.loads((model / "about.json").read_text())["side"], 3)
    classify = classifying(model)
    return lambda payloads: classify(network.predict_on_batch(np.stack([prepare(payload) for payload in payloads])))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--warm-up", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True)
    names = sorted(entry.name for entry in os.scandir(chosen.images))
    predict = predictor(chosen.model)
    writer = Writer(chosen.out, "part", json.loads((chosen.model / "about.json").read_text())["classes"])
    begun = False
    for start in range(0, len(names), BATCH):
        if start >= chosen.warm_up and not begun:
            begun = True
            print(time.monotonic(), start, flush=True)
        batch = names[start : start + BATCH]
        writer.add(batch, predict([(chosen.images / name).read_bytes() for name in batch]))
    writer.flush()
    print(time.monotonic(), len(names), flush=True)


if __name__ == "__main__":
    main()
