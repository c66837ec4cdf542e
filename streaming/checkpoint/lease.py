"""A lease: a regularly renewed record that shows machines sharing a volume that its owner is alive.

Each owner has its own file, whose number is one higher than the last. Creating that file decides who is next: exclusive
creation has one winner on every POSIX file system, including network file systems. No owner writes to the file of
another, so an owner that was paused cannot overwrite its successor's. A number is never reused, because the newest file
stays.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

_LOOKS = 20  # polls of another machine's record before it counts as expired
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_machine() -> str:
    """Return an id of this machine since its boot; all containers on it have the same."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        import uuid

        import psutil

        return f"{platform.node()}/{uuid.getnode():x}/{psutil.boot_time():.0f}"


@dataclass(frozen=True)
class Holder:
    """The process that holds a checkpoint."""

    host: str
    process: int
    since: str
    machine: str

    @classmethod
    def here(cls, machine: str) -> Holder:
        """Return this process as the holder from now on."""
        return cls(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"), machine)

    @classmethod
    def parse(cls, content: bytes) -> Holder | None:
        """Return the holder in a record; None if the record is incomplete or invalid."""
        try:
            found = json.loads(content)
            return cls(*(str(found["host"]), int(found["process"]), str(found["since"]), str(found["machine"])))
        except (ValueError, KeyError, TypeError):
            return None

    def record(self, **more: object) -> bytes:
        """Return the line that `parse` reads."""
        return json.dumps(asdict(self) | more).encode() + b"\n"

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


class HeldError(Exception):
    """The checkpoint is in use by another process: `holder`, None if unknown."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(str(holder))
        self.holder = holder


class ReplacedError(Exception):
    """The lease no longer belongs to this owner; the message names the new one."""


class Lease:
    """The newest record in a directory, held by this process until it is released or expires.

    Parameters
    ----------
    directory
        Used for leases only; created if it is missing.
    holder
        The process that takes the lease.
    seconds
        Time after which an unchanged record has expired. All processes that share the directory should use the same.
    excluded
        Whether no other live process of this machine can hold the lease, so that a record of this machine is stale.
    tell
        Called before watching the record of another machine, which takes up to `seconds`.

    Raises
    ------
    HeldError
        If another owner is alive, or was faster.
    OSError
        If the directory cannot be written.
    """

    def __init__(
        self, directory: Path, holder: Holder, seconds: float, *, excluded: bool, tell: Callable[[str], None]
    ) -> None:
        self._directory, self._holder, self._seconds = directory, holder, seconds
        self._owner = uuid4().hex
        self._beats = 0
        directory.mkdir(parents=True, exist_ok=True)
        newest = max(_numbers(directory), default=0)
        if newest:
            self._wait_until_free(directory / str(newest), excluded, tell)
        self._number = newest + 1
        self._path = directory / str(self._number)
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            raise HeldError(Holder.parse(_read(self._path))) from None
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(self._record())
        except OSError:
            self._path.unlink()  # others would have to watch an unreadable record until it expires
            raise
        if max(_numbers(directory)) > self._number:  # other owners came and went while this one was watching
            self._path.unlink()
            raise HeldError(Holder.parse(_read(directory / str(max(_numbers(directory))))))
        for number in _numbers(directory):
            if number < self._number:
                (directory / str(number)).unlink(missing_ok=True)

    def _wait_until_free(self, path: Path, excluded: bool, tell: Callable[[str], None]) -> None:
        content = _read(path)
        holder = Holder.parse(content)
        if _is_released(content) or (excluded and holder is not None and holder.machine == self._holder.machine):
            return
        # The clock of the other machine does not matter: its record must change within a time on this machine's clock.
        seconds = max(self._seconds, _seconds_of(content))
        tell(f"watching for {seconds:.0f} s whether the stream of {holder or 'another process'} still runs")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(seconds / _LOOKS)
            seen = _read(path)
            if _is_released(seen):
                return
            if seen != content:
                raise HeldError(Holder.parse(seen) or holder)

    def look(self) -> None:
        """Check that the lease still belongs to this owner.

        Raises
        ------
        ReplacedError
            If it does not.
        FileNotFoundError
            If the record or its directory is gone.
        """
        newest = max(_numbers(self._directory), default=0)
        if newest > self._number:
            holder = Holder.parse(_read(self._directory / str(newest)))
            raise ReplacedError(f"it was taken over by {holder or 'another stream'}")
        # Open the file each time: only then does a network file system ask its server.
        content = self._path.read_bytes()
        with suppress(ValueError, TypeError, KeyError):
            if json.loads(content)["owner"] == self._owner:
                return
        raise ReplacedError(f"{self._path} is not what this stream wrote")

    def renew(self) -> None:
        """Change the record, to show that its owner is alive; raises the errors of `look`, or another OSError."""
        self.look()
        self._beats += 1
        self._rewrite(self._record())

    def release(self) -> None:
        """Mark the lease as free, so that the next owner need not wait."""
        self.look()
        self._rewrite(self._record(released=True))

    def _record(self, *, released: bool = False) -> bytes:
        return self._holder.record(
            owner=self._owner, seconds=self._seconds, beat=f"{self._beats:012d}", released=released
        )

    def _rewrite(self, content: bytes) -> None:
        # Writing in place needs no space on a full disk, and creates no file if the directory is gone.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
        finally:
            os.close(descriptor)


def _numbers(directory: Path) -> list[int]:
    return [int(path.name) for path in directory.iterdir() if path.name.isdecimal()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""  # another process is taking it over


def _is_released(content: bytes) -> bool:
    with suppress(ValueError, TypeError, KeyError):
        return json.loads(content)["released"] is True
    return False


def _seconds_of(content: bytes) -> float:
    with suppress(ValueError, TypeError, KeyError):
        return float(json.loads(content)["seconds"])
    return 0.0
