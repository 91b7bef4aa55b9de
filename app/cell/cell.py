"""One cell as the service sees it: asked, waited for, and given up when it ends or takes too long."""

from __future__ import annotations

import math
import resource
import select
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from typing_extensions import Buffer

from app.cell.messages import Fields, Garbled, Message, read, write

LOOK_S: Final = 0.5  # between looks at a cell that says nothing
HALTED: Final = "TtZXx"  # states of proc_pid_stat(5): stopped, traced, dead
CPU_CLOCK: Final = 2  # of a process: clock_getcpuclockid(3)
WALL_TIMES: Final = 8  # the time of the clock on the wall allowed for a second of CPU time: others want the cores too


class Lost(Exception):
    """The cell has ended or was stopped; with a `cause`, it does not answer in `time` or what it says is `garbled`."""

    def __init__(self, cause: Literal["time", "garbled"] | None = None) -> None:
        super().__init__()
        self.cause = cause


@dataclass(slots=True, eq=False)
class Cell:
    """A cell with process id `pid` that may compute for `cpu_s` seconds before each thing it says."""

    pid: int
    connection: socket.socket
    cpu_s: int
    _deadline: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.connection.settimeout(LOOK_S)

    def is_fit(self) -> bool:
        """Whether it waits to be asked: it has neither ended nor been stopped, and has nothing left to say."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return not poll.poll(0) and _state_of(self.pid) not in HALTED

    def ask(self, fields: Fields, payload: Buffer, max_bytes: int) -> Message:
        """Its answer, with a payload of `max_bytes` at most; raises Lost."""
        self.tell(fields, payload)
        return self.hear(max_bytes)

    def tell(self, fields: Fields, payload: Buffer = b"") -> None:
        """Say something to it; raises Lost."""
        self._wind()
        write(self._send, fields, payload)

    def hear(self, max_bytes: int) -> Message:
        """What it says next; raises Lost."""
        self._wind()
        try:
            return read(self._receive, max_bytes)
        except Garbled:
            raise Lost("garbled") from None

    def _wind(self) -> None:
        """Allow it its time anew. That of CPU is a limit which the system enforces; a cell may not set its own."""
        self._deadline = time.monotonic() + WALL_TIMES * self.cpu_s
        try:
            used_s = time.clock_gettime(~self.pid << 3 | CPU_CLOCK)
            resource.prlimit(self.pid, resource.RLIMIT_CPU, (math.ceil(used_s) + self.cpu_s, resource.RLIM_INFINITY))
        except OSError:
            raise Lost from None

    def _send(self, content: Buffer) -> None:
        rest = memoryview(content).cast("B")
        while rest:
            try:
                rest = rest[self.connection.send(rest) :]
            except TimeoutError:
                self._look()
            except OSError:
                raise Lost from None

    def _receive(self, size: int) -> bytearray:
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            try:
                got = self.connection.recv_into(rest)
            except TimeoutError:
                self._look()
                continue
            except OSError:
                raise Lost from None
            if not got:
                raise Lost
            rest = rest[got:]
        return content

    def _look(self) -> None:
        if _state_of(self.pid) in HALTED:
            raise Lost
        if time.monotonic() > self._deadline:
            raise Lost("time")


def _state_of(pid: int) -> str:
    """One letter; that of a dead process where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return "X"
