"""A decoder that an image takes over: a real template whose forks do as told by a payload that begins with `TAKEN`.

`DecoderClient(limits, program=liar("huge_count"))` starts it. With `confined=False` its decoders are not confined, as
on a system that knows none of that. As a program: `liar.py LIE CONFINED` and the arguments of
`sparkdl.decoding.isolation.server`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparkdl.decoding.isolation import server as decoder
from sparkdl.decoding.isolation import shared_memory as memory
from sparkdl.decoding.isolation.shared_memory import SharedMemory
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Rejected

TAKEN = b"TAKEN "
"""How a payload begins that takes its decoder over; the rest is for the lie, a path for instance."""
LINK = 0
_honest = decoder._decode


def liar(lie: str, *, confined: bool = True) -> tuple[str, ...]:
    return (str(Path(__file__).resolve()), lie, str(int(confined)))


def _count(shared: SharedMemory, which: int, value: int) -> None:
    shared._counters[which] = value


def _result(shared: SharedMemory, index: int, *values: int) -> None:
    memory._RESULT.pack_into(shared._memory, memory._RESULTS_AT + index * memory._RESULT.size, *values)
    _count(shared, memory._DONE, index + 1)


def _answer(*_: object) -> None:
    os.write(LINK, decoder.DONE)


def _hang(*_: object) -> None:
    time.sleep(600)


def _leave(*_: object) -> None:
    os._exit(0)


def _shape(height: int, width: int, channels: int) -> Callable[[SharedMemory, int, str], None]:
    def lie(shared: SharedMemory, index: int, _: str) -> None:
        for later in range(index, shared._counters[memory._COUNT]):
            _result(shared, later, -1, height, width, channels)
        _answer()
        _hang()

    return lie


def _refusal(reason: int, length: int) -> Callable[[SharedMemory, int, str], None]:
    def lie(shared: SharedMemory, index: int, _: str) -> None:
        _result(shared, index, reason, length, 0, 0)
        _leave()

    return lie


def _counts(done: int | None, begun: int | None, then: Callable[[], None]) -> Callable[[SharedMemory, int, str], None]:
    def lie(shared: SharedMemory, index: int, _: str) -> None:
        if done is not None:
            _count(shared, memory._DONE, done)
        if begun is not None:
            _count(shared, memory._BEGUN, begun)
        then()
        _hang()

    return lie


def _size_of_request(shared: SharedMemory, index: int, _: str) -> None:
    _count(shared, memory._COUNT, 1 << 40)
    _answer()
    _hang()


def _back_and_forth(shared: SharedMemory, index: int, _: str) -> None:
    while True:
        for begun in (index + 1, 0):
            _count(shared, memory._BEGUN, begun)
            time.sleep(0.02)


def _ahead(shared: SharedMemory, index: int, _: str) -> None:
    while True:
        _count(shared, memory._BEGUN, shared._counters[memory._BEGUN] + 1)
        time.sleep(0.02)


def _floods(*_: object) -> None:
    while True:
        os.write(LINK, b"." * 65_536)


def _lets_go(*_: object) -> None:
    os.close(LINK)
    _hang()


def _flickers(shared: SharedMemory, index: int, _: str) -> None:
    _result(shared, index, -1, 1, 1, 1)
    _answer()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        _result(shared, index, -1, 1 << 40, 1 << 40, 3)
        _result(shared, index, 3, 1 << 40, 0, 0)
        _result(shared, index, -1, 1, 1, 1)
    _hang()


def _forks(shared: SharedMemory, index: int, path: str) -> None:
    """Leaves a child behind, in a new session, that holds all it has."""
    if not os.fork():
        os.setsid()
        if not os.fork():
            Path(path).write_text(str(os.getpid()))
            _hang()
        os._exit(0)
    while not Path(path).exists():
        time.sleep(0.01)
    _leave()


def _runs_a_program(_: SharedMemory, __: int, path: str) -> None:
    subprocess.run(["/usr/bin/touch", path], check=True)


def _execs(_: SharedMemory, __: int, path: str) -> None:
    os.execv("/usr/bin/touch", ["touch", path])


def _kills_its_parent(*_: object) -> None:
    os.kill(os.getppid(), 9)
    _hang()


def _connects(_: SharedMemory, __: int, address: str) -> None:
    socket.socket().connect(("127.0.0.1", int(address)))


def _opens(_: SharedMemory, __: int, path: str) -> None:
    os.write(LINK, decoder.FAILED + Path(path).read_bytes())


def _writes(_: SharedMemory, __: int, path: str) -> None:
    Path(path).write_text("owned")


def _cuts_the_memory(shared: SharedMemory, _: int, __: str) -> None:
    for mapped in Path("/proc/self/map_files").iterdir():
        if "sparkdl-decoder" in str(mapped.readlink()):
            os.truncate(mapped, 0)
    _hang()


def _crashes(*_: object) -> None:
    ctypes.string_at(0)


def _imports(*_: object) -> None:
    import mailbox

    assert mailbox


LIES: dict[str, Callable[[SharedMemory, int, str], None]] = {
    "size_of_request": _size_of_request,
    "huge_counts": _counts(1 << 62, 1 << 62, _answer),
    "negative_counts": _counts(-(1 << 63), -(1 << 63), _answer),
    "done_before_begun": _counts(1 << 40, None, _hang),
    "back_and_forth": _back_and_forth,
    "ahead": _ahead,
    "dies_in_no_image": _counts(0, 0, _leave),
    "hangs_in_no_image": _counts(0, 0, _hang),
    "answers_too_early": _counts(None, None, _answer),
    "floods": _floods,
    "lets_go": _lets_go,
    "flickers": _flickers,
    "huge_shape": _shape(1 << 31, 1 << 31, 3),
    "negative_shape": _shape(-28, -28, 3),
    "overflowing_shape": _shape(1 << 62, 4, 1),
    "empty_shape": _shape(0, 28, 3),
    "two_channels": _shape(28, 28, 2),
    "colour": _shape(28, 28, 3),
    "too_many_pixels": _shape(2048, 2048, 3),
    "long_side": _shape(1, 3000, 1),
    "unknown_reason": _refusal(99, 10),
    "reason_of_others": _refusal(7, 10),
    "huge_detail": _refusal(1, 1 << 40),
    "negative_detail": _refusal(1, -5),
    "forks": _forks,
    "runs_a_program": _runs_a_program,
    "execs": _execs,
    "kills_its_parent": _kills_its_parent,
    "connects": _connects,
    "opens": _opens,
    "writes": _writes,
    "cuts_the_memory": _cuts_the_memory,
    "crashes": _crashes,
    "imports": _imports,
    "always_ends": _leave,
}


def main() -> None:
    lie, confined = LIES[sys.argv.pop(1)], bool(int(sys.argv.pop(1)))

    def taken_over(shared: SharedMemory, index: int, limits: Limits) -> Pixels | Rejected:
        payload = shared.payload(index)
        if payload and payload.startswith(TAKEN):
            lie(shared, index, payload.removeprefix(TAKEN).decode())
        return _honest(shared, index, limits)

    replaced: dict[str, Any] = {"_decode": taken_over}
    if lie is _leave:
        replaced["serve"] = _leave
    if not confined:
        replaced |= {"is_filter_known": lambda: False, "confine": lambda max_memory, *, filtered, threads: None}
    for name, function in replaced.items():
        assert hasattr(decoder, name)
        setattr(decoder, name, function)
    decoder.main()


if __name__ == "__main__":
    main()
