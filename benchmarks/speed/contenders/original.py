"""The recipe of the original library: InceptionV3 at 299 px up to its last block, TensorFlow, one row at a time.

python original.py WEIGHTS IMAGES OUT --warm-up N

Its classifier on 131,072 features is left out, so the measured work is less than the original's.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def main() -> None:
    import keras
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    parser = argparse.ArgumentParser()
    parser.add_argument("weights")
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--warm-up", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True)
    names = sorted(entry.name for entry in os.scandir(chosen.images))
    network = keras.applications.InceptionV3(include_top=False, weights=chosen.weights, input_shape=(299, 299, 3))
    rows = []
    for number, name in enumerate(names):
        if number == chosen.warm_up:
            print(time.monotonic(), number, flush=True)
        with Image.open(chosen.images / name) as image:
            pixels = np.asarray(image.convert("RGB").resize((299, 299), Image.Resampling.BOX), np.float32)
        rows.append(network.predict_on_batch(pixels[np.newaxis] / 127.5 - 1).ravel())
    pq.write_table(pa.table({"id": names, "features": rows}), chosen.out / "part.parquet")
    print(time.monotonic(), len(names), flush=True)


if __name__ == "__main__":
    main()
