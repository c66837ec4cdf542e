"""Promises of `streaming.checkpoint.lock`: one stream a checkpoint, on one machine and on all that share a volume."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from needs import need
from paths import ROOT
from streams import wait_until

from sparkdl.errors import RequestError, SparkdlError
from streaming.checkpoint.lock import CheckpointLock, LostCheckpointError

SECONDS = 1.0  # after which a lease expires here
NOBODY = 65534


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


def acquire(checkpoint: Path, machine: str | None = None) -> CheckpointLock:
    return CheckpointLock.acquire(checkpoint, seconds=SECONDS, machine=machine)


def refusal(checkpoint: Path, machine: str | None = None) -> str:
    with pytest.raises(RequestError) as caught:
        acquire(checkpoint, machine)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def from_elsewhere(checkpoint: Path) -> Path:
    """The checkpoint as a machine sees it that shares the volume, but not the kernel in which `flock` is kept."""
    other = checkpoint.with_name("elsewhere")
    (other / ".lock").mkdir(parents=True, exist_ok=True)
    (other / ".lock" / "leases").symlink_to(checkpoint / ".lock" / "leases")
    return other


HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from sparkdl.errors import SparkdlError
from streaming.checkpoint.lock import CheckpointLock
lock = CheckpointLock.acquire(Path(sys.argv[1]), seconds=float(sys.argv[2]))
child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
forked = os.fork()
if forked == 0:
    os.closerange(0, 2)
    time.sleep(1000)
print(child.pid, forked, flush=True)
for line in sys.stdin:
    try:
        lock.check()
        print("mine", flush=True)
    except SparkdlError as error:
        print(type(error).__name__, error, flush=True)
"""


@contextmanager
def another_process(checkpoint: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """A process that has the lock, a child and a forked copy of itself; with what asks whether it still has it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(checkpoint), str(SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    children = [int(number) for number in process.stdout.readline().split()]
    assert len(children) == 2

    def ask() -> str:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return process.stdout.readline().strip()  # type: ignore[union-attr]

    try:
        yield process, ask
        for child in children:
            os.kill(child, 0)  # they live until the end
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()


# --- on one machine ----------------------------------------------------------------------------------------------


def test_the_second_is_refused_in_one_line_that_names_the_first(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, ask):
        words = refusal(checkpoint)
        assert f"{checkpoint} is in use by another stream (process {process.pid} on {socket.gethostname()}, " in words
        assert re.search(r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\): stop that one first", words)
        assert ask() == "mine"


def test_two_in_one_process_are_two(checkpoint: Path) -> None:
    first = acquire(checkpoint)
    assert f"process {os.getpid()} on" in refusal(checkpoint)
    first.check()
    first.release()
    acquire(checkpoint).release()


def test_a_killed_process_leaves_the_lock_free_within_a_second_though_its_children_live(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, _):
        process.kill()
        killed = time.monotonic()
        while True:
            try:
                lock = acquire(checkpoint)
                break
            except RequestError:
                assert time.monotonic() - killed < 1
        assert time.monotonic() - killed < 1
        lock.release()


def test_a_lock_that_nobody_has_any_more_is_free(checkpoint: Path) -> None:
    acquire(checkpoint)
    acquire(checkpoint).release()


def test_of_many_that_start_at_once_one_gets_it(checkpoint: Path) -> None:
    for number in range(20):
        together = threading.Barrier(8)

        def start(place: Path, together: threading.Barrier = together) -> CheckpointLock | None:
            together.wait()
            try:
                return acquire(place)
            except RequestError:
                return None

        with ThreadPoolExecutor(8) as starters:
            locks = [lock for lock in starters.map(start, [checkpoint / str(number)] * 8) if lock is not None]
        assert len(locks) == 1
        locks[0].check()
        locks[0].release()


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file" / "checkpoint").endswith("cannot be written: Not a directory")


def test_a_full_disk_is_said_and_leaves_nothing_to_wait_for(checkpoint: Path) -> None:
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    code = f"{limit}; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n{HOLD}"
    command = [sys.executable, "-c", code, str(checkpoint), "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    failed = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert f"RequestError: --checkpoint: {checkpoint} cannot be written: File too large" in failed.stderr
    said: list[str] = []
    CheckpointLock.acquire(checkpoint, tell=said.append).release()
    assert said == []


def test_another_user_can_neither_have_the_lock_nor_hold_it_against_its_owner() -> None:
    need(os.geteuid() == 0, "only root can act as another user")
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        checkpoint = Path(open_to_all) / "checkpoint"
        acquire(checkpoint).release()
        local = str(checkpoint / ".lock" / "local")
        failed = as_nobody(f"import fcntl; fcntl.flock(os.open({local!r}, os.O_RDONLY), fcntl.LOCK_EX)")
        assert "PermissionError" in failed
        failed = as_nobody(f"import sys; sys.argv[1:] = [{str(checkpoint)!r}, '1']\n{HOLD}")
        assert f"RequestError: --checkpoint: {checkpoint} cannot be written: Permission denied" in failed


def as_nobody(code: str) -> str:
    """Return Python's output for `code`, run as another user, who may not read the directories of Python's modules."""
    begin = f"import fcntl, os, subprocess, sys, time; import streaming.checkpoint.lock; os.setuid({NOBODY})"
    return subprocess.run(
        [sys.executable, "-c", f"{begin}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stderr


# --- on a volume that machines share -----------------------------------------------------------------------------


def test_another_machine_is_refused_while_the_first_lives(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, ask):
        assert f"process {process.pid} on" in refusal(from_elsewhere(checkpoint), "other")
        assert ask() == "mine"


def test_another_machine_takes_over_when_nothing_was_heard_for_long_enough(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, _):
        process.kill()
        began = time.monotonic()
        said: list[str] = []
        lock = CheckpointLock.acquire(from_elsewhere(checkpoint), seconds=SECONDS, machine="other", tell=said.append)
        assert time.monotonic() - began >= SECONDS
        assert re.fullmatch(rf"watching for 1 s whether the stream of process {process.pid} on \S+, .*", said[0])
        lock.release()


def test_another_machine_need_not_wait_after_a_clean_end(checkpoint: Path) -> None:
    CheckpointLock.acquire(checkpoint, seconds=60).release()
    said: list[str] = []
    CheckpointLock.acquire(from_elsewhere(checkpoint), seconds=60, machine="other", tell=said.append).release()
    assert said == []


def test_a_process_that_ends_as_python_does_need_not_release(checkpoint: Path) -> None:
    code = f"{HOLD.split('child =')[0]}\nimport atexit"
    subprocess.run(
        [sys.executable, "-c", code, str(checkpoint), "60"], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    said: list[str] = []
    CheckpointLock.acquire(from_elsewhere(checkpoint), seconds=60, machine="other", tell=said.append).release()
    assert said == []


def test_a_process_that_was_paused_for_too_long_notices_that_it_was_replaced(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, ask):
        assert ask() == "mine"
        process.send_signal(signal.SIGSTOP)
        lock = acquire(from_elsewhere(checkpoint), "other")
        process.send_signal(signal.SIGCONT)
        words = ask()
        assert words.startswith(f"LostCheckpointError checkpoint {checkpoint} is not this stream's any more: ")
        assert f"it was taken over by process {os.getpid()} on" in words
        lock.check()
        lock.release()


def test_a_process_that_was_paused_keeps_what_nobody_took(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, ask):
        process.send_signal(signal.SIGSTOP)
        time.sleep(2 * SECONDS)  # what is tested is that time passes
        process.send_signal(signal.SIGCONT)
        assert ask() == "mine"
        assert f"process {process.pid} on" in refusal(from_elsewhere(checkpoint), "other")


def test_of_many_machines_that_watch_one_takes_over(checkpoint: Path) -> None:
    with another_process(checkpoint) as (process, _):
        process.kill()
        process.wait()
        machines = []
        for number in range(6):
            (checkpoint.with_name(f"machine-{number}") / ".lock").mkdir(parents=True)
            machines.append(checkpoint.with_name(f"machine-{number}"))
            (machines[-1] / ".lock" / "leases").symlink_to(checkpoint / ".lock" / "leases")

        def take(place: Path) -> CheckpointLock | None:
            try:
                return acquire(place, place.name)
            except RequestError:
                return None

        with ThreadPoolExecutor(6) as starters:
            locks = [lock for lock in starters.map(take, machines) if lock is not None]
        assert len(locks) == 1
        locks[0].check()
        locks[0].release()


def test_where_there_is_no_flock_the_lease_does(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    first = acquire(checkpoint)
    assert f"process {os.getpid()} on" in refusal(checkpoint)
    first.check()
    first.release()
    acquire(checkpoint).release()


# --- tampered with -----------------------------------------------------------------------------------------------


def test_a_lock_file_that_was_exchanged_ends_the_lock(checkpoint: Path) -> None:
    lock = acquire(checkpoint)
    (checkpoint / ".lock" / "local").unlink()
    (checkpoint / ".lock" / "local").write_text("")
    with pytest.raises(LostCheckpointError, match=r"local was replaced"):
        lock.check()
    (checkpoint / ".lock" / "local").unlink()
    with pytest.raises(LostCheckpointError, match=r"local was replaced"):
        lock.check()


def test_a_checkpoint_that_is_away_is_the_owner_s_when_it_is_back(checkpoint: Path) -> None:
    lock = acquire(checkpoint)
    aside = checkpoint.rename(checkpoint.with_name("aside"))
    for _ in range(2):
        with pytest.raises(SparkdlError, match=r"checkpoint is gone: restore \S+") as caught:
            lock.check()
        assert not isinstance(caught.value, LostCheckpointError)
    wait_until(lambda: not checkpoint.exists())  # and nothing is made in its place
    aside.rename(checkpoint)
    lock.check()
    lock.release()


def test_a_lock_that_was_released_is_no_lock(checkpoint: Path) -> None:
    lock = acquire(checkpoint)
    lock.release()
    lock.release()
    with pytest.raises(LostCheckpointError, match="released"):
        lock.check()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"9" * 5000])
def test_a_record_that_cannot_be_read_is_watched_like_another_machine_s(checkpoint: Path, content: bytes) -> None:
    acquire(checkpoint).release()
    record = checkpoint / ".lock" / "leases" / "1"
    record.write_bytes(content)
    began = time.monotonic()
    acquire(checkpoint).release()
    assert time.monotonic() - began >= SECONDS
