"""Takes from the calling process, for good, what a decoder does not need: Linux, on x86-64 or ARM64.

Resource limits hold on any kernel: none of them can be raised again, and without room for a new descriptor there is no
file and no connection. The filter of system calls (seccomp(2)) lets pass what computing and answering take, and
refuses the rest.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # prctl(2)
PR_SET_DUMPABLE: Final = 4
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_MODE_FILTER: Final = 2
EPERM: Final = 1
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | EPERM, 0x80000000  # seccomp(2)
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of a word, classic BPF
NUMBER_AT, ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
INSTRUCTION: Final = struct.Struct("<HBBL")

# Memory, threads' locks, clocks, random numbers, signals of one's own, and the one connection that is there. Numbers
# are the kernel's: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
SYSTEM_CALLS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0,
            "write": 1,
            "close": 3,
            "fstat": 5,
            "lseek": 8,
            "sendto": 44,
            "recvfrom": 45,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "mremap": 25,
            "madvise": 28,
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "sigaltstack": 131,
            "restart_syscall": 219,
            "sched_yield": 24,
            "getpid": 39,
            "gettid": 186,
            "futex": 202,
            "exit": 60,
            "exit_group": 231,
            "clock_gettime": 228,
            "clock_nanosleep": 230,
            "getrandom": 318,
            "getrusage": 98,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "read": 63,
            "write": 64,
            "close": 57,
            "fstat": 80,
            "lseek": 62,
            "sendto": 206,
            "recvfrom": 207,
            "mmap": 222,
            "mprotect": 226,
            "munmap": 215,
            "brk": 214,
            "mremap": 216,
            "madvise": 233,
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "sigaltstack": 132,
            "restart_syscall": 128,
            "sched_yield": 124,
            "getpid": 172,
            "gettid": 178,
            "futex": 98,
            "exit": 93,
            "exit_group": 94,
            "clock_gettime": 113,
            "clock_nanosleep": 115,
            "getrandom": 278,
        },
    ),
}


class _Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def confine(memory_bytes: int) -> bool:
    """Confine the calling process, with `memory_bytes` of memory more than it has; returns whether system calls are
    filtered. Threads that it may have started before are not covered: there must be none."""
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    system.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _limit(memory_bytes)
    return _filter_calls(system)


def _limit(memory_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # Of time none is set here: the service sets it anew for each piece of work, from outside.
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        resource.setrlimit(kind, (0, 0))


def _filter_calls(system: ctypes.CDLL) -> bool:
    known = SYSTEM_CALLS.get(os.uname().machine)
    if known is None:
        return False
    architecture, allowed = known
    program = filter_program(architecture, sorted(allowed.values()))
    if system.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    described = _Program(len(program) // INSTRUCTION.size, program)
    return not system.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0)


def filter_program(architecture: int, allowed: list[int]) -> bytes:
    """The filter: calls of another architecture end the process, those not allowed fail with EPERM."""
    tests = [
        # To the last instruction; what does not match goes on to the next.
        INSTRUCTION.pack(IF_EQUAL, len(allowed) - place, 0, number)
        for place, number in enumerate(allowed)
    ]
    return b"".join(
        (
            INSTRUCTION.pack(LOAD, 0, 0, ARCHITECTURE_AT),
            INSTRUCTION.pack(IF_EQUAL, 1, 0, architecture),
            INSTRUCTION.pack(RETURN, 0, 0, KILL),
            INSTRUCTION.pack(LOAD, 0, 0, NUMBER_AT),
            *tests,
            INSTRUCTION.pack(RETURN, 0, 0, REFUSE),
            INSTRUCTION.pack(RETURN, 0, 0, ALLOW),
        )
    )
