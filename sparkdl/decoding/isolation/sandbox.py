"""Sandbox of a decoder process: the rights that it drops before it reads the first untrusted byte.

On every system, resource limits forbid core files, new descriptors, new processes, growing files, and more memory than
one picture needs. On Linux the process also cannot gain privileges (`no_new_privs`), and a seccomp filter blocks all
system calls except those for memory, the clock and open descriptors.

Calls that no codec needs (network, programs, processes, signals to other processes, reading their memory) kill the
process: a decoder that makes such a call was taken over, and gets no second attempt. All other blocked calls fail with
EPERM, so that a library which requests something uncritical in a rare case, such as the number of processors, continues
without it.

The HEIC codec starts a thread. Where it is installed, the filter allows threads, but no processes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4  # without the flag, older kernels slow down the whole process
_RET_KILL_PROCESS, _RET_ERRNO, _RET_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF, on words
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
_PROT_EXEC = 4
_THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
"""The flags of `clone` with which glibc and musl start a thread; no other process is started with them."""


@dataclass(frozen=True)
class _Machine:
    """System call numbers of one architecture.

    Attributes
    ----------
    audit
        The kernel's code of the architecture.
    other_abi
        Numbers from this one on belong to another ABI (x32); 0 if there is none.
    seccomp, to_thread, maps
        `seccomp`, `tgkill`, and `mmap` and `mprotect`.
    clones
        `clone` and `clone3`, which are also in `deadly`.
    allowed
        read, write, writev, close, fstat, lseek; munmap, mremap, madvise, brk; futex, sched_yield, rseq; rt_sigaction,
        rt_sigprocmask, rt_sigreturn, sigaltstack; clock_gettime, clock_getres, gettimeofday, times, getrusage; getpid,
        gettid, sched_getaffinity, sysinfo, getrandom; restart_syscall, exit, exit_group.
    deadly
        socket, connect, accept, accept4, bind, listen, socketpair, sendto, sendmsg, sendmmsg, recvmsg; clone, clone3,
        fork, vfork, execve, execveat; kill, tkill, pidfd_open, pidfd_send_signal, pidfd_getfd; ptrace,
        process_vm_readv, process_vm_writev; unshare, setns, mount; bpf, perf_event_open, userfaultfd, io_uring_setup,
        keyctl, add_key, request_key, memfd_create, open_by_handle_at, init_module, finit_module.
    """

    audit: int
    other_abi: int
    seccomp: int
    to_thread: int
    maps: tuple[int, int]
    clones: tuple[int, int]
    allowed: tuple[int, ...]
    deadly: tuple[int, ...]


# fmt: off
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E, 0x40000000, 317, 234, (9, 10), (56, 435),
        (0, 1, 20, 3, 5, 8, 11, 25, 28, 12, 202, 24, 334, 13, 14, 15, 131, 228, 229, 96, 100, 98, 39, 186, 204, 99, 318,
         219, 60, 231),
        (41, 42, 43, 288, 49, 50, 53, 44, 46, 307, 47, 56, 435, 57, 58, 59, 322, 62, 200, 434, 424, 438, 101, 310, 311,
         272, 308, 165, 321, 298, 323, 425, 250, 248, 249, 319, 304, 175, 313),
    ),
    "aarch64": _Machine(
        0xC00000B7, 0, 277, 131, (222, 226), (220, 435),
        (63, 64, 66, 57, 80, 62, 215, 216, 233, 214, 98, 124, 293, 134, 135, 139, 132, 113, 114, 169, 153, 165, 172,
         178, 123, 179, 278, 128, 93, 94),
        (198, 203, 202, 242, 200, 201, 199, 206, 211, 269, 212, 220, 435, 221, 281, 129, 130, 434, 424, 438, 117, 270,
         271, 97, 268, 40, 280, 241, 282, 425, 219, 217, 218, 279, 265, 105, 273),
    ),
}
# fmt: on


_libc = ctypes.CDLL(None, use_errno=True)
_machine = _MACHINES.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 2**32 else None


def is_filter_known() -> bool:
    """Return whether the filter knows the system calls of this machine."""
    return _machine is not None


def end_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends; exit if the parent has already ended."""
    # An idle decoder notices the end of its input. A decoder that hangs in a codec does not, so the kernel must act.
    _prctl(_PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants, where the system supports it."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def leave_no_core() -> None:
    """Disable core files, and core handlers, for this process and its forks."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        if Path("/proc/sys/kernel/core_pattern").read_bytes().startswith(b"|"):
            # The handler starts regardless of the limit, and takes longer than decoding a hundred images.
            _prctl(_PR_SET_DUMPABLE, 0)


def mapped_memory() -> int | None:
    """Return the address space of this process in bytes; None if the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return None


def confine(max_memory: int | None, *, filtered: bool, threads: bool = False) -> None:
    """Permanently drop all rights of this process that decoding does not need.

    Touches little memory, because a process that was just forked copies each page that it writes to.

    Parameters
    ----------
    max_memory
        Maximum address space of the process in bytes; None for no limit.
    filtered
        Whether to filter system calls too.
    threads
        Whether the process may start threads. Then the limit of processes, which counts threads, is not changed.

    Raises
    ------
    OSError
        If the kernel refuses the filter.
    """
    if max_memory is not None:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = max_memory if hard == resource.RLIM_INFINITY else min(max_memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, *(() if threads else (resource.RLIMIT_NPROC,))):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if filtered:
        _filter_calls(_THREADS_FILTER if threads else _FILTER)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


class _Program(ctypes.Structure):
    """The kernel's struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter_calls(filter_program: bytes) -> None:
    assert _machine is not None
    instructions = filter_program.replace(_step(_IF_EQUAL, _SELF, 0, 1), _step(_IF_EQUAL, os.getpid(), 0, 1))
    program = _Program(len(instructions) // 8, instructions)
    if _libc.syscall(_machine.seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(program)):
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def _step(code: int, operand: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, operand)


def _instructions(machine: _Machine, *, threads: bool) -> bytes:
    """Return the filter, with `_SELF` in place of the id of the process."""
    allow, kill = _step(_RETURN, _RET_ALLOW), _step(_RETURN, _RET_KILL_PROCESS)
    refuse = _step(_RETURN, _RET_ERRNO | errno.EPERM)
    low_word = 0 if sys.byteorder == "little" else 4

    def argument(index: int) -> bytes:
        return _step(_LOAD, _ARGUMENTS_AT + 8 * index + low_word)

    program = _step(_LOAD, _ARCHITECTURE_AT) + _step(_IF_EQUAL, machine.audit, 1) + kill + _step(_LOAD, _NUMBER_AT)
    if machine.other_abi:
        program += _step(_IF_AT_LEAST, machine.other_abi, 0, 1) + kill
    for number in machine.allowed:
        program += _step(_IF_EQUAL, number, 0, 1) + allow
    for number in machine.maps:
        program += _step(_IF_EQUAL, number, 0, 4) + argument(2) + _step(_IF_ANY_BIT, _PROT_EXEC, 0, 1) + refuse + allow
    # The call that `abort` makes.
    program += _step(_IF_EQUAL, machine.to_thread, 0, 4) + argument(0) + _step(_IF_EQUAL, _SELF, 0, 1) + allow + kill
    if threads:
        # The flags of `clone3` are in memory, where a filter cannot read them; the C library falls back to `clone`.
        clone, clone3 = machine.clones
        no_such_call = _step(_RETURN, _RET_ERRNO | errno.ENOSYS)
        program += _step(_IF_EQUAL, clone3, 0, 1) + no_such_call
        program += _step(_IF_EQUAL, clone, 0, 2 + 2 * len(_THREAD_FLAGS)) + argument(0)
        program += b"".join(_step(_IF_EQUAL, flags, 0, 1) + allow for flags in _THREAD_FLAGS) + kill
    for number in machine.deadly:
        program += _step(_IF_EQUAL, number, 0, 1) + kill
    return program + refuse


_SELF = 0xFFFFFFFF  # no process has this id
_FILTER = _instructions(_machine, threads=False) if _machine else b""
_THREADS_FILTER = _instructions(_machine, threads=True) if _machine else b""
