"""The decoder process: `python -m sparkdl.decoder`, started by `sparkdl.isolation`, decodes what its worker asks for.

It holds numpy and Pillow, no Spark and no Arrow. Its stdin is a socket to the worker: one byte asks for the request
in the shared memory, one byte answers. It ends when the worker does.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from sparkdl.decoding import decode
from sparkdl.exchange import Exchange
from sparkdl.pixels import Pixels
from sparkdl.rejection import Limits, Reason, Rejected

CONTROL = 0
_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"  # of -1000 to 1000: where memory runs out, this process is to go, not its worker


def serve(exchange: Exchange, limits: Limits) -> None:
    """Decodes request after request until the worker is gone."""
    while os.read(CONTROL, 1):
        for index in range(exchange.open()):
            exchange.begin(index)
            if not exchange.write(index, _decode(exchange, index, limits)):
                break
        os.write(CONTROL, b".")


def _decode(exchange: Exchange, index: int, limits: Limits) -> Pixels | Rejected:
    try:
        return decode(exchange.payload(index), limits, reduce=True, gray=exchange.gray)
    except MemoryError:
        return Rejected(Reason.TOO_MANY_PIXELS, "out of memory")


def _end_with_the_worker(worker: int) -> None:
    # An idle decoder sees its stdin end. One that hangs in a codec sees nothing: there the kernel has to.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it ended before that was said
        os._exit(0)


def _bound_memory(memory: int) -> None:
    """Lets this process have `memory` bytes beyond what it has, and no core dump; makes it the first to be killed."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # no /proc, or a container that lets nobody write there
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    with suppress(OSError):
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        bound = mapped + memory if hard == resource.RLIM_INFINITY else min(mapped + memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


def _hide_the_noise_of_codecs() -> None:
    # Codecs print to descriptor 2 from C. Tracebacks of Python go where it led before.
    sys.stderr = os.fdopen(os.dup(2), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)


def main() -> None:
    descriptor, worker, max_bytes, max_pixels, memory = map(int, sys.argv[1:])
    _end_with_the_worker(worker)
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker's business: it may want to end its batch
        signal.signal(number, signal.SIG_IGN)
    exchange = Exchange(descriptor, max_bytes)
    os.close(descriptor)
    _bound_memory(memory)
    _hide_the_noise_of_codecs()
    with suppress(ConnectionError):
        os.write(CONTROL, b".")
        serve(exchange, Limits(max_bytes=max_bytes, max_pixels=max_pixels))


if __name__ == "__main__":
    main()
