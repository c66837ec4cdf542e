"""The lock of a checkpoint: one running stream at a time, on this machine and on all that share the volume.

On one machine `flock` decides: the kernel lets go of it at the moment in which the process ends, however it ends. Where
`flock` does not reach other machines, or there is none, the lease beside it does (`streaming.checkpoint.lease`).
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
"""Seconds after which another machine takes a checkpoint over from one that is not heard of any more."""

_DIRECTORY = ".lock"
_LOCAL, _LEASES = "local", "leases"
_RENEWALS = 5  # in the time after which the lease expires
_FRESH = 1 / 3  # of that time: a lease that was renewed before is renewed before anything is written
_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
# Goes on while the machine sleeps, as a watcher's clock does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LostCheckpointError(SparkdlError):
    """The checkpoint is not this stream's any more; it will not be again."""


class CheckpointLock:
    """A checkpoint directory that no other stream may use, until `release` or the end of the process.

    Made by `acquire`. Child processes do not inherit it. A thread renews the lease.

    Attributes
    ----------
    lost
        Why the checkpoint is not this stream's any more, None while it is as far as is known.
    """

    def __init__(self, checkpoint: Path, descriptor: int, lease: Lease, seconds: float) -> None:
        self.checkpoint = checkpoint
        self.lost: LostCheckpointError | None = None
        self._descriptor, self._lease, self._seconds = descriptor, lease, seconds
        self._renewed = time.clock_gettime(_CLOCK)
        self._turn = threading.Lock()
        self._ended = threading.Event()
        # Also at the end of the interpreter, and when nobody has the lock any more. A forked child only closes.
        self._let_go = weakref.finalize(self, _let_go, descriptor, lease, self._ended, os.getpid())
        _locks.add(self)
        arguments = weakref.ref(self), self._ended, seconds / _RENEWALS
        threading.Thread(target=_keep, args=arguments, name="checkpoint-lock", daemon=True).start()

    @staticmethod
    def is_known(checkpoint: Path) -> bool:
        """Whether a stream has had the checkpoint before."""
        try:
            return (checkpoint / _DIRECTORY / _LOCAL).is_file()
        except PermissionError:
            return True  # it is another user's

    @classmethod
    def acquire(
        cls,
        checkpoint: Path,
        *,
        seconds: float = EXPIRES,
        machine: str | None = None,
        tell: Callable[[str], None] = lambda words: None,
    ) -> CheckpointLock:
        """The lock of `checkpoint`, a directory which is made if it is missing.

        Returns at once, unless the last stream ran on another machine (or without `flock`) and did not end by itself:
        its lease is watched for `seconds`.

        Parameters
        ----------
        checkpoint
            The directory.
        seconds
            After which a lease that is not renewed has expired.
        machine
            What tells this machine from others; by default `this_machine()`.
        tell
            Is told of waiting.

        Raises
        ------
        RequestError
            If another stream has it, naming that, or the directory cannot be written.
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
            who = str(held.holder or "a process that has just begun")
            raise RequestError(
                f"checkpoint {checkpoint} is in use by another stream ({who}): stop that one first, or give this one "
                "its own checkpoint and sink"
            ) from None
        except OSError as error:
            raise RequestError(f"--checkpoint: {checkpoint} cannot be written: {error.strerror}") from error
        return cls(checkpoint, descriptor, lease, seconds)

    def check(self) -> None:
        """Asks whether the checkpoint is this stream's; to be called before anything is written.

        After it nobody can take the checkpoint over for most of `seconds`.

        Raises
        ------
        LostCheckpointError
            If it is not, and will not be again.
        SparkdlError
            If that cannot be told at present, as of a disk that cannot be written.
        """
        with self._turn:
            if self.lost is None:
                self._look(renew=time.clock_gettime(_CLOCK) - self._renewed > self._seconds * _FRESH)
            if self.lost is not None:
                raise self.lost

    def release(self) -> None:
        """Lets the next stream have the checkpoint; can be called again."""
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
            raise SparkdlError(f"checkpoint {self.checkpoint} is gone: bring {error.filename} back") from error
        except OSError as error:
            raise SparkdlError(f"checkpoint {self.checkpoint} cannot be written: {error.strerror}") from error


_locks: weakref.WeakSet[CheckpointLock] = weakref.WeakSet()


def _close_inherited() -> None:
    # A forked child that kept the descriptor would keep the lock when this process is long dead.
    for lock in _locks:
        if lock._let_go.detach():
            os.close(lock._descriptor)


os.register_at_fork(after_in_child=_close_inherited)


def _lock(path: Path, holder: Holder) -> tuple[int, bool]:
    """A descriptor of the file `path` that is locked; and whether locks are known there at all."""
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
            pass  # the file was exchanged in between: once more
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
    with contextlib.suppress(OSError, ReplacedError):  # nobody is there to be told, or it is another's
        lease.release()
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # of a child too that has just been forked
    os.close(descriptor)


def _keep(lock: weakref.ref[CheckpointLock], ended: threading.Event, seconds: float) -> None:
    """Renews the lease until the lock is released or gone."""
    while not ended.wait(seconds):
        if (held := lock()) is None:
            return
        with held._turn, contextlib.suppress(SparkdlError):  # said by the next `check`
            if held.lost is None and not ended.is_set():
                held._look(renew=True)
        del held
