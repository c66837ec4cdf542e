"""Wall time and peak memory of a command with all its processes: `python benchmarks/footprint.py COMMAND ...`.

Memory is the sum of the proportional set sizes (PSS) of the whole process tree, sampled five times a second: pages
that processes share count once. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress

import psutil

PERIOD = 0.2  # seconds between samples


def tree_pss(root: psutil.Process) -> int:
    """Return the memory of `root` and its descendants in bytes."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended since it was listed
            total += process.memory_full_info().pss
    return total


def main() -> None:
    started = time.monotonic()
    command = subprocess.Popen(sys.argv[1:])
    root = psutil.Process(command.pid)
    peak = 0
    while command.poll() is None:
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, tree_pss(root))
        time.sleep(PERIOD)
    wall = time.monotonic() - started
    print(f"wall {wall:.1f} s, peak memory of all processes {peak / 2**30:.2f} GiB", file=sys.stderr)
    sys.exit(command.returncode)


if __name__ == "__main__":
    main()
