"""A loop as a good engineer writes it by hand: Pillow, ONNX Runtime, numpy, pyarrow.

python hand_written.py MODEL IMAGES OUT --processes 2 --threads 1 --warm-up N

Prints two lines, `SECONDS IMAGES` on the monotonic clock: after each process has finished its share of the warm-up, and
at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

BATCH = 32  # images read and written at a time
CHUNK = 8  # images per call of the network; the best of 8, 16, 32 and 64
FILE = 1024  # predictions per file
ALL_CLASSES, TOP = 100, 10


def preparing(side: int, channels: int) -> Callable[[bytes], Any]:
    """Return a function from an encoded image to the input of the network: uint8 [side, side, channels]."""
    import io

    import numpy as np
    from PIL import Image

    from sparkdl.images.ink import normalize_ink

    def prepare(payload: bytes) -> Any:
        with Image.open(io.BytesIO(payload)) as image:
            gray = np.asarray(image if image.mode == "L" else image.convert("L"))
        ink = Image.fromarray(normalize_ink(gray)).resize((side, side), Image.Resampling.BILINEAR)
        return np.repeat(np.asarray(ink)[:, :, None], channels, axis=2)

    return prepare


def preparing_photo(side: int, mean: Sequence[float], std: Sequence[float]) -> Callable[[bytes], Any]:
    """Return a function from an encoded image to the input of an imported network: float32 [3, side, side]."""
    import io

    import numpy as np
    from PIL import Image

    factor = (1 / (255 * np.array(std))).astype(np.float32)
    offset = (np.array(mean) / np.array(std)).astype(np.float32)

    def prepare(payload: bytes) -> Any:
        with Image.open(io.BytesIO(payload)) as image:
            resized = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        return (np.asarray(resized) * factor - offset).transpose(2, 0, 1)

    return prepare


def softmax(logits: Any) -> Any:
    import numpy as np

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def classifying(model: Path) -> Callable[[Any], Any]:
    """Return a function from features [N, D] to probabilities [N, K]."""
    import numpy as np

    head = np.load(model / "head.npz")
    coefficients, intercepts = head["coefficients"], head["intercepts"]

    return lambda features: softmax(features @ coefficients + intercepts)


def steps(model: Path, threads: int) -> tuple[Callable[[bytes], Any], Callable[[Any], Any]]:
    """Return two functions: from an encoded image to the network's input, and from N of these to [N, K]."""
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when numpy is imported; else it uses every core
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model / "network.onnx", options, providers=["CPUExecutionProvider"])
    about = json.loads((model / "about.json").read_text())
    is_imported = "mean" in about
    classify = softmax if is_imported else classifying(model)
    taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name

    def infer(prepared: list[Any]) -> Any:
        images = np.stack(prepared)
        parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
        return classify(np.concatenate([session.run([given], {taken: part})[0] for part in parts]))

    if is_imported:
        return preparing_photo(about["side"], about["mean"], about["std"]), infer
    return preparing(about["side"], about["channels"]), infer


def predictor(model: Path, threads: int) -> Callable[[list[bytes]], Any]:
    """Return a function from a list of encoded images to their probabilities, [N, K]."""
    prepare, infer = steps(model, threads)
    return lambda payloads: infer([prepare(payload) for payload in payloads])


class Writer:
    """Writes rows to Parquet files of `FILE` rows."""

    def __init__(self, out: Path, name: str, classes: list[str]) -> None:
        self.out, self.name, self.classes = out, name, classes
        self.rows: list[tuple[str, str, float, list[float]]] = []
        self.files = 0

    def add(self, ids: Sequence[str], probabilities: Any) -> None:
        import numpy as np

        for name, shares in zip(ids, probabilities, strict=True):
            best = int(shares.argmax())
            # Of many classes the ten most probable, as a stream has them.
            kept = shares if len(shares) <= ALL_CLASSES else np.sort(shares)[-TOP:]
            self.rows.append((name, self.classes[best], float(shares[best]), kept.tolist()))
        if len(self.rows) >= FILE:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.rows:
            ids, predictions, confidences, shares = zip(*self.rows, strict=True)
            table = {"id": ids, "prediction": predictions, "confidence": confidences, "probabilities": shares}
            pq.write_table(pa.table(table), self.out / f"{self.name}-{self.files}.parquet")
            self.rows, self.files = [], self.files + 1


def work(
    number: int,
    model: Path,
    images: Path,
    names: list[str],
    out: Path,
    threads: int,
    warm: int,
    barrier: Barrier,
) -> None:
    predict = predictor(model, threads)
    writer = Writer(out, f"part-{number}", json.loads((model / "about.json").read_text())["classes"])

    def go(names: list[str]) -> None:
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            writer.add(batch, predict([(images / name).read_bytes() for name in batch]))

    go(names[:warm])
    barrier.wait()
    go(names[warm:])
    writer.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="threads of ONNX Runtime; 0: its default")
    parser.add_argument("--warm-up", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True)
    names = sorted(entry.name for entry in os.scandir(chosen.images))
    warm, count = chosen.warm_up // chosen.processes, chosen.processes
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count + 1)
    workers = [
        context.Process(
            target=work,
            args=(n, chosen.model, chosen.images, names[n::count], chosen.out, chosen.threads, warm, barrier),
        )
        for n in range(count)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    print(time.monotonic(), warm * count, flush=True)
    for worker in workers:
        worker.join()
        if worker.exitcode:
            sys.exit(1)
    print(time.monotonic(), len(names), flush=True)


if __name__ == "__main__":
    main()
