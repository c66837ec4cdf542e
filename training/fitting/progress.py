"""Progress reports from long-running steps."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.spark.worker_python import is_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Progress = Callable[[str, int, int], None]
"""Receives the name of the step, how much of it is done, and the total (0 if unknown)."""

_POLL_SECONDS = 0.5  # between two reports of images that were read


def no_progress(step: str, done: int, total: int) -> None:
    """Discard the report."""


@contextmanager
def tally_file(spark: SparkSession) -> Iterator[Path | None]:
    """Yield a file in which `training.data.dataframes.encoded_rows` counts; None if workers are on other machines."""
    if not is_local(spark.sparkContext.master):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sparkdl-tally-") as directory:
        tally = Path(directory) / "read"
        tally.touch()
        yield tally


@contextmanager
def reported(progress: Progress, step: str, last_step: str, tally: Path | None, total: int) -> Iterator[None]:
    """Report a step at its beginning and, with a tally, the images that were read since, until the block ends.

    Images are read some batches before the work on them is done, so `last_step` is reported once all were read.
    """
    if tally is None:
        progress(step, 0, 0)
        yield
        return
    progress(step, 0, total)
    over = threading.Event()
    before = tally.stat().st_size

    def report() -> None:
        done = tally.stat().st_size - before
        if done < total:
            progress(step, done, total)
        else:
            progress(last_step, 0, 0)

    def poll() -> None:
        while not over.wait(_POLL_SECONDS):
            report()

    thread = threading.Thread(target=poll, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    report()
