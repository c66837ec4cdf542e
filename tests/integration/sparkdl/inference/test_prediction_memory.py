"""The promise that a worker which classifies does not grow with the images that it has had."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from needs import need

from sparkdl.models.registry import ModelVersion

IMAGES, LOOKS = 30_000, 30
MAX_GROWTH = 5120  # KiB; what batches need for the moment makes it go up and down by as much

GROW = """
import random, sys
from pathlib import Path
import pyarrow as pa
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.inference.loading import load_fused
from training.data.synthetic.digits import draw_png

class Here:
    def __init__(self, value=None):
        self.value = value
    def broadcast(self, value):
        return Here(value)

inference = load_fused(Path(sys.argv[1])).inference(Here(), DEFAULT_LIMITS)
payloads = [*(draw_png(seed % 10, seed=seed) for seed in range(200)), *[b"broken"] * 6]
images, looks = map(int, sys.argv[2:])
done = 0
while done < images:
    batch = random.choices(payloads, k=random.randrange(20, 31))
    rows = pa.RecordBatch.from_arrays([pa.array(batch, pa.binary())], names=["payload"])
    for results in inference.predict_payloads([rows]):
        with pa.ipc.new_stream(pa.BufferOutputStream(), results.schema) as stream:
            stream.write_batch(results)
    if done // (images // looks) < (done := done + len(batch)) // (images // looks):
        # Not what is read from files, libraries above all: it counts more when another process ends that has it too.
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        print(next(line.split()[1] for line in lines if line.startswith("Anonymous:")))
"""


@pytest.mark.slow
def test_a_worker_has_no_more_memory_after_many_images(model: ModelVersion) -> None:
    need(Path("/proc/self/smaps_rollup").exists(), "reads /proc/self/smaps_rollup, which only Linux has")
    command = [sys.executable, "-c", GROW, str(model.pipeline), str(IMAGES), str(LOOKS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    memory = list(map(int, done.stdout.split()))
    third = len(memory) // 3
    assert statistics.median(memory[-third:]) < statistics.median(memory[:third]) + MAX_GROWTH
