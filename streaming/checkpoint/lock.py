"""The lock of a checkpoint: one running stream at a time, on this machine and on all machines that share the volume.

On one machine `flock` decides: the kernel releases it when the process ends, however it ends. Where `flock` does not
reach other machines or is not supported, a lease protects the checkpoint (`streaming.checkpoint.lease`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from sparkdl.errors import RequestError, SparkdlError
from streaming.checkpoint.lease import HeldError, Holder, Lease, ReplacedError, this_machine

EXPIRES = 30.0
"""Seconds without a renewal after which another machine can take over a checkpoint."""

_DIRECTORY = ".lock"
_LOCAL, _LEASES = "local", "leases"
_RENEWALS = 5  # per lifetime of a lease
_FRESH = 1 / 3  # of that lifetime: `check` renews an older lease before anything is written
_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
# This clock advances while the machine sleeps, as the clock of a watching machine does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LostCheckpointError(SparkdlError):
    """The checkpoint no longer belongs to this stream, and cannot be regained."""


class CheckpointLock:
    """Exclusive use of a checkpoint directory until `release` or the end of the process.

    Created by `acquire`. Child processes do not inherit it. A thread renews the lease.

    Attributes
    ----------
    lost
        Why the checkpoint was lost; None as long as no loss is known.
    """

    def __init__(self, checkpoint: Path, descriptor: int, lease: Lease, seconds: float) -> None:
        self.checkpoint = checkpoint
        self.lost: LostCheckpointError | None = None
        self._descriptor, self._lease, self._seconds = descriptor, lease, seconds
        self._renewed = time.clock_gettime(_CLOCK)
        self._turn = threading.Lock()
        self._ended = threading.Event()
        # Also runs when the interpreter ends or the lock is garbage-collected. A forked child only closes the file.
        self._let_go = weakref.finalize(self, _let_go, descriptor, lease, self._ended, os.getpid())
        _locks.add(self)
        arguments = weakref.ref(self), self._ended, seconds / _RENEWALS
        threading.Thread(target=_keep, args=arguments, name="checkpoint-lock", daemon=True).start()

    @staticmethod
    def is_known(checkpoint: Path) -> bool:
        """Whether a stream has used the checkpoint before."""
        try:
            return (checkpoint / _DIRECTORY / _LOCAL).is_file()
        except PermissionError:
            return True  # it belongs to another user

    @classmethod
    def acquire(
        cls,
        checkpoint: Path,
        *,
        seconds: float = EXPIRES,
        machine: str | None = None,
        tell: Callable[[str], None] = lambda words: None,
    ) -> CheckpointLock:
        """Return the lock of `checkpoint`, a directory that is created if it is missing.

        Returns at once, unless the last stream ran on another machine (or without `flock`) and did not release the
        checkpoint. Then its lease is watched for `seconds`.

        Parameters
        ----------
        checkpoint
            The directory.
        seconds
            Time after which a lease that is not renewed has expired.
        machine
            The id of this machine; by default `this_machine()`.
        tell
            Called with a message before waiting.

        Raises
        ------
        RequestError
            If another stream uses the checkpoint (the message names it), or the directory cannot be written.
        """
        checkpoint = checkpoint.absolute()
        holder = Holder.here(machine or this_machine())
        try:
            checkpoint.mkdir(parents=True, exist_ok=True)
            (checkpoint / _DIRECTORY).mkdir(mode=0o700, exist_ok=True)
            descriptor, has_flock = _lock(checkpoint / _DIRECTORY / _LOCAL, holder)
            try:
                lease = Lease(checkpoint / _DIRECTORY / _LEASES, holder, seconds, excluded=has_flock, tell=tell)
            except BaseException:
                os.close(descriptor)
                raise
        except HeldError as held:
            who = str(held.holder or "a process that has just started")
            raise RequestError(
                f"checkpoint {checkpoint} is in use by another stream ({who}): stop that one first, or give this one "
                "its own checkpoint and sink"
            ) from None
        except OSError as error:
            raise RequestError(f"--checkpoint: {checkpoint} cannot be written: {error.strerror}") from error
        return cls(checkpoint, descriptor, lease, seconds)

    def check(self) -> None:
        """Check that the checkpoint is still this stream's; call this before each write.

        After a successful check no other stream can take over the checkpoint for most of `seconds`.

        Raises
        ------
        LostCheckpointError
            If the checkpoint was lost for good.
        SparkdlError
            If the check is not possible at present, such as on a disk that cannot be written.
        """
        with self._turn:
            if self.lost is None:
                self._look(renew=time.clock_gettime(_CLOCK) - self._renewed > self._seconds * _FRESH)
            if self.lost is not None:
                raise self.lost

    def release(self) -> None:
        """Release the checkpoint for the next stream; further calls do nothing."""
        with self._turn:
            self._let_go()

    def _look(self, *, renew: bool) -> None:
        began = time.clock_gettime(_CLOCK)
        lock = self.checkpoint / _DIRECTORY / _LOCAL
        try:
            if not self._let_go.alive:
                raise ReplacedError("its lock was released")
            if not os.path.samestat(lock.stat(), os.fstat(self._descriptor)):
                raise ReplacedError(f"{lock} was replaced")
            if renew:
                self._lease.renew()
                self._renewed = began
            else:
                self._lease.look()
        except ReplacedError as reason:
            self.lost = LostCheckpointError(
                f"checkpoint {self.checkpoint} is not this stream's any more: {reason}; nothing more was written"
            )
        except FileNotFoundError as error:
            raise SparkdlError(f"checkpoint {self.checkpoint} is gone: restore {error.filename}") from error
        except OSError as error:
            raise SparkdlError(f"checkpoint {self.checkpoint} cannot be written: {error.strerror}") from error


_locks: weakref.WeakSet[CheckpointLock] = weakref.WeakSet()


def _close_inherited() -> None:
    # A forked child that kept the descriptor would keep the lock after the end of this process.
    for lock in _locks:
        if lock._let_go.detach():
            os.close(lock._descriptor)


os.register_at_fork(after_in_child=_close_inherited)


def _lock(path: Path, holder: Holder) -> tuple[int, bool]:
    """Return a locked descriptor of the file `path`, and whether its file system supports locks."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            has_flock = _flock(descriptor)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                if has_flock:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, holder.record(), 0)
                return descriptor, has_flock
        except FileNotFoundError:
            pass  # the file was replaced in the meantime: try again
        except BlockingIOError:
            words = os.pread(descriptor, 4096, 0)
            os.close(descriptor)
            raise HeldError(Holder.parse(words)) from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return False
        raise
    return True


def _let_go(descriptor: int, lease: Lease, ended: threading.Event, process: int) -> None:
    ended.set()
    if os.getpid() != process:
        return
    with contextlib.suppress(OSError, ReplacedError):  # nothing can report it, or the lease belongs to another
        lease.release()
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a child that has just been forked
    os.close(descriptor)


def _keep(lock: weakref.ref[CheckpointLock], ended: threading.Event, seconds: float) -> None:
    """Renew the lease until the lock is released or garbage-collected."""
    while not ended.wait(seconds):
        if (held := lock()) is None:
            return
        with held._turn, contextlib.suppress(SparkdlError):  # the next `check` raises it
            if held.lost is None and not ended.is_set():
                held._look(renew=True)
        del held
