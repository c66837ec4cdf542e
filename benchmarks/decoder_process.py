"""Cost of decoding in a separate process: `NUMTADB_HOME=... python benchmarks/decoder_process.py [--pairs N]`.

A worker decodes a batch of 256 images and computes the features of the recipe `digits`, once with its decoder process
and once with the same decoder in its own process. The two runs of a pair are in random order, in one worker per core at
the same time, because a stream keeps all cores busy. Prints the ratio of the times with and without decoder process
over all pairs: its median and the 95% interval of the median (bootstrap).

Images: the 28 px PNGs of `numta500` and the 180 px colour PNGs of `numtadb` below `NUMTADB_HOME`; without it, drawn
images of these sizes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple, cast

os.environ["OMP_NUM_THREADS"] = "1"  # as Spark does for a task of one core

import numpy as np
import psutil
import pyarrow as pa
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.decoding.udf import _decode_column
from sparkdl.images.rejection import DEFAULT_LIMITS, Rejected
from sparkdl.images.schema import arrays_to_struct, struct_to_arrays
from sparkdl.networks.builder import build_network
from sparkdl.networks.runtime import Network, extract_features
from sparkdl.networks.spec import NetworkSpec
from training.data.synthetic.digits import draw_png
from training.fitting.recipes import recipe

BATCH = 256
RESAMPLES = 10_000
FORKS = 50


class Content(NamedTuple):
    """A value with the interface of a Spark broadcast of the network."""

    value: bytes


def network() -> Network:
    digits = recipe("digits")
    side = digits.input_size
    content = build_network(NetworkSpec(digits.model_name, (side, side), digits.tap_layers, digits.pooling))
    return Network(hashlib.sha256(content).hexdigest(), cast("Any", Content(content)), (side, side, 3))


def samples() -> dict[str, list[bytes]]:
    home = os.environ.get("NUMTADB_HOME")
    if home:
        sets = {
            "28 px, gray (numta500)": sorted(Path(home, "numta500").glob("*/*.png")),
            "180 px, colour (numtadb)": sorted(Path(home, "numtadb").glob("training-*/*.png")),
        }
        return {name: [path.read_bytes() for path in paths] for name, paths in sets.items()}
    return {"28 px, gray (drawn)": drawn(28, "L"), "180 px, colour (drawn)": drawn(180, "RGB")}


def drawn(side: int, mode: str) -> list[bytes]:
    made = []
    for seed in range(BATCH):
        target = io.BytesIO()
        with Image.open(io.BytesIO(draw_png(seed % 10, seed=seed))) as image:
            image.convert(mode).resize((side, side), Image.Resampling.BICUBIC).save(target, "PNG")
        made.append(target.getvalue())
    return made


def isolated(payloads: pa.Array, origins: pa.Array) -> pa.StructArray:
    return _decode_column(payloads, origins, DEFAULT_LIMITS)


def in_process(payloads: pa.Array, origins: pa.Array) -> pa.StructArray:
    results = [decode(payload.as_py(), DEFAULT_LIMITS, reduce=True) for payload in payloads]
    rejected = [result if isinstance(result, Rejected) else None for result in results]
    images = arrays_to_struct(origins.to_pylist(), [None if isinstance(r, Rejected) else r for r in results])
    reasons = pa.array([r and r.reason.value for r in rejected], pa.string())
    details = pa.array([r and r.detail for r in rejected], pa.string())
    return pa.StructArray.from_arrays([images, reasons, details], names=["image", "reason", "detail"])


Decoding = Callable[[pa.Array, pa.Array], pa.StructArray]
CONTENDERS: tuple[Decoding, Decoding] = (isolated, in_process)


def worker(barrier: Barrier, told: Queue[Any], batch: Sequence[bytes], net: Any, pairs: int) -> None:
    """Time one pair after the other; report (pair, contender, seconds of decoding, total seconds)."""
    payloads, origins = pa.array(batch, pa.binary()), pa.array([f"file:/{n}" for n in range(len(batch))])
    order = random.Random(0)  # the same in all workers
    for pair in range(-2, pairs):
        for contender in order.sample(range(2), 2):
            barrier.wait()
            begun = time.perf_counter()
            images = CONTENDERS[contender](payloads, origins)
            decoded = time.perf_counter()
            arrays = [array for array in struct_to_arrays(images.field("image")) if array is not None]
            extract_features(arrays, net, Image.Resampling.BILINEAR)
            ended = time.perf_counter()
            told.put((pair, contender, decoded - begun, ended - begun))


def measure(batch: Sequence[bytes], net: Any, pairs: int, slots: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return [pairs, 2, 2]: seconds over all workers, by contender (with and without process) and (decoding, total)."""
    context = get_context("spawn")
    barrier, told = context.Barrier(slots), context.Queue()
    workers = [context.Process(target=worker, args=(barrier, told, batch, net, pairs)) for _ in range(slots)]
    for process in workers:
        process.start()
    times = np.zeros((pairs, 2, 2))
    for _ in range(slots * (pairs + 2) * 2):
        pair, contender, *seconds = told.get()
        if pair >= 0:  # the first two warm up
            times[pair, contender] += seconds
    for process in workers:
        process.join()
    return times


def interval(ratios: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    picks = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[picks], axis=1), (0.025, 0.975))
    return f"{np.median(ratios):.3f} (95% interval {low:.3f} to {high:.3f})"


def decoder_alone(payload: bytes) -> str:
    begun = time.perf_counter()
    decoder = DecoderClient(DEFAULT_LIMITS)
    decoder.decode([memoryview(payload)])
    seconds, process = time.perf_counter() - begun, psutil.Process(decoder.pid)
    template = psutil.Process(process.ppid())
    own = sum(member.memory_full_info().pss for member in (process, template)) / 2**20
    begun = time.perf_counter()
    for _ in range(FORKS):
        psutil.Process(decoder.pid).kill()
        decoder.decode([memoryview(payload)])
    again = (time.perf_counter() - begun) / FORKS
    decoder.close()
    return (
        f"a worker has its first image decoded after {seconds:.2f} s; decoder and template have {own:.0f} MiB (PSS); "
        f"after a crash an image is decoded {1000 * again:.1f} ms later"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{platform.platform()}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}")
    print(f"{arguments.workers} workers, {arguments.pairs} pairs of batches of {BATCH} images")
    net = network()
    print(decoder_alone(drawn(28, "L")[0]))
    for name, payloads in samples().items():
        batch = [payloads[n % len(payloads)] for n in range(BATCH)]
        times = measure(batch, net, arguments.pairs, arguments.workers)
        ratios = times[:, 0] / times[:, 1]
        in_all = np.median(times[:, 0, 1]) / arguments.workers / BATCH * 1000
        print(f"{name}: {in_all:.3f} ms an image and worker with the process")
        print(f"  decoding and features, with the process / without: {interval(ratios[:, 1])}")
        print(f"  decoding alone,        with the process / without: {interval(ratios[:, 0])}")


if __name__ == "__main__":
    main()
