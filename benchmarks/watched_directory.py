"""Cost of a watched directory with many files: `python benchmarks/watched_directory.py [--files N]`.

All files are empty, are in folders of 1,000, and were read before. Prints the time of a trigger without new files and,
for comparison, of a listing with the status of each file; and the bytes of memory and checkpoint for the names.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.listing import WatchedFile, list_files
from streaming.sources.directory.reader import DirectoryDataSource

ROUNDS = 5


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as place:
        watched, checkpoint = Path(place) / "watched", Path(place) / "checkpoint"
        names = [f"{number // 1000:03d}/image-{number:07d}.png" for number in range(count)]
        for name in names:
            (watched / name).parent.mkdir(parents=True, exist_ok=True)
            (watched / name).touch()
        before = FileLog(checkpoint / FILES)
        before.append([WatchedFile(name, 0, 0) for name in names])
        before.begin_cleanup(1)
        before.end_cleanup()
        listed = (checkpoint / FILES / "seen.json").stat().st_size
        del before, names

        tracemalloc.start()
        seen = FileLog(checkpoint / FILES)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del seen
        options = {"path": watched, "checkpoint": checkpoint, "stableAfter": 10, "parallelism": 1}
        options |= {"maxFilesPerTrigger": 1024, "maxBytes": 1 << 20}
        reader = DirectoryDataSource({name: str(value) for name, value in options.items()}).streamReader(INPUT_RECORD)
        limit = reader.getDefaultReadLimit()
        reader.latestOffset({"logs": 1}, limit)
        triggers, looks = list[float](), list[float]()
        for _ in range(ROUNDS):  # in turn, so that both are equally disturbed
            triggers.append(seconds(lambda: reader.latestOffset({"logs": 1}, limit)))
            looks.append(seconds(lambda: list(list_files(watched))))
    print(f"{count} files, all seen, the fastest of {ROUNDS} rounds")
    print(f"a trigger                         {min(triggers):.3f} s")
    print(f"a listing that looks at each file {min(looks):.3f} s")
    print(
        f"a name of {len(name)} characters: {taken / count:.0f} bytes of memory, {listed / count:.0f} of the checkpoint"
    )


if __name__ == "__main__":
    main()
