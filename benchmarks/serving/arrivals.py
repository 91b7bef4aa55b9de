"""Open loop: requests at a fixed rate, whatever the server does; and clients that honour Retry-After.

wrk waits for an answer before it asks again on a connection, so that a slow server slows it down (coordinated
omission). Here a request is due when it is due, on a connection of its own if all are busy, and its latency counts from
then. A process of its own, on uvloop: `python -m benchmarks.serving.arrivals` with a `Task` as JSON on standard input
writes a `Tally`.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, cast

import numpy as np
import uvloop

from benchmarks.serving.machine import Stolen
from benchmarks.serving.processes import REPOSITORY

MAX_CONNECTIONS: Final = 1024  # what is due beyond them is counted as unsent
SEND_BUFFER_BYTES: Final = 1 << 20  # most requests go to the kernel in one piece
LAST_ANSWERS_S: Final = 10.0  # how long the end waits for what is under way
OK: Final = 200
REFUSED: Final = 503
QUANTILES: Final = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Task:
    """Either `rate` a second, or `clients` that ask again once answered, after Retry-After if refused; for `seconds`.

    The first `warm_up_s` of them are not counted. `request` is a file with a whole HTTP request.
    """

    port: int
    request: str
    seconds: float
    warm_up_s: float = 0.0
    rate: float = 0.0
    clients: int = 0


@dataclass(slots=True)
class Tally:
    """Answers by status, 0 for a broken connection; latencies by status in ms, from when a request was due.

    `late_ms` is by how much the generator itself missed that moment, `cpu_s` its own processor time, `stolen` the
    fraction of all cores' time that a virtual machine's host gave to others meanwhile.
    """

    seconds: float = 0.0
    answers: dict[int, int] = field(default_factory=dict)
    latency_ms: dict[int, dict[str, float]] = field(default_factory=dict)
    unsent: int = 0
    late_ms: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    stolen: float = 0.0

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.answers.get(OK, 0) / self.seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, 0 for a broken connection, and the seconds of Retry-After."""

    status: int
    retry_after_s: float = 0.0


class Connection(asyncio.Protocol):
    """One request at a time; `answered` is set by its answer."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._needed = 0
        self._close = False
        self._head = Answer(0)
        self.usable = False
        self.answered: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room for a whole request."""
        # uvloop's transports are no asyncio.Transport to isinstance.
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.usable = True

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send; the future never fails."""
        self.answered = asyncio.get_running_loop().create_future()
        self._received.clear()
        self._needed = 0
        self._transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        """Collect an answer with a Content-Length."""
        self._received += data
        if not self._needed:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head, length, self._close = read_head(bytes(self._received[:end]))
            self._needed = end + 4 + length
        if len(self._received) >= self._needed:
            # An answer before the request was all sent leaves the rest of it in the way of the next.
            if self._close or self._transport.get_write_buffer_size():
                self.hang_up()
            self._finish(self._head)

    def hang_up(self) -> None:
        """Drop the connection."""
        self.usable = False
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # asyncio's interface
        """Whatever was under way is broken."""
        self.usable = False
        self._finish(Answer(0))

    def _finish(self, answer: Answer) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(answer)


def read_head(head: bytes) -> tuple[Answer, int, bool]:
    """Status with Retry-After, Content-Length, and whether the connection closes."""
    first, *lines = head.split(b"\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    answer = Answer(int(first.split(b" ", 2)[1]), float(fields.get(b"retry-after", b"0")))
    return answer, int(fields.get(b"content-length", b"0")), fields.get(b"connection", b"").lower() == b"close"


class Generator:
    """Sends one request again and again and keeps the latencies."""

    def __init__(self, task: Task, request: bytes) -> None:
        self._task = task
        self._request = request
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._latencies: dict[int, list[float]] = {}
        self._late: list[float] = []
        self._unsent = 0
        self._counted_from = 0.0
        self._until = 0.0

    async def run(self) -> Tally:
        """Keep to the task."""
        started = time.perf_counter()
        self._counted_from = started + self._task.warm_up_s
        self._until = started + self._task.seconds
        cpu_s, stolen = time.process_time(), Stolen()
        work = self._arrivals(started) if self._task.rate else self._patient_clients()
        await work
        await self._hang_up()
        return Tally(
            seconds=self._task.seconds - self._task.warm_up_s,
            answers={status: len(found) for status, found in self._latencies.items()},
            latency_ms={status: quantiles(found) for status, found in self._latencies.items()},
            unsent=self._unsent,
            late_ms=quantiles(self._late),
            cpu_s=time.process_time() - cpu_s,
            stolen=stolen.fraction(),
        )

    async def _arrivals(self, started: float) -> None:
        under_way: set[asyncio.Task[Answer]] = set()
        for number in range(math.floor(self._task.rate * self._task.seconds)):
            due = started + number / self._task.rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            if not self._idle and self._open >= MAX_CONNECTIONS:
                self._unsent += due >= self._counted_from
                continue
            task = asyncio.create_task(self._exchange(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way, timeout=LAST_ANSWERS_S)
        self._unsent += len(under_way)

    async def _patient_clients(self) -> None:
        await asyncio.gather(*(self._patient_client() for _ in range(self._task.clients)))

    async def _patient_client(self) -> None:
        while (now := time.perf_counter()) < self._until:
            answer = await self._exchange(now)
            await asyncio.sleep(answer.retry_after_s)

    async def _exchange(self, due: float) -> Answer:
        """One request on an idle or a new connection.

        An arrival counts when it was due in the time that counts, a client's request when it was answered in it.
        """
        connection = await self._connection()
        sent = time.perf_counter()
        answer = Answer(0) if connection is None else await connection.ask(self._request)
        done = time.perf_counter()
        if connection is not None:
            if connection.usable:
                self._idle.append(connection)
            else:
                self._open -= 1
        moment = due if self._task.rate else done
        if self._counted_from <= moment <= self._until:
            self._latencies.setdefault(answer.status, []).append(done - due)
            self._late.append(sent - due)
        return answer

    async def _hang_up(self) -> None:
        while self._idle:
            self._idle.pop().hang_up()
        await asyncio.sleep(0)  # for the loop to close what was hung up

    async def _connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._open -= 1
        self._open += 1
        try:
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(Connection, "127.0.0.1", self._task.port)
        except OSError:
            self._open -= 1
            return None
        return made


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50, p90, p99 and the largest, in ms; empty for none."""
    if not seconds:
        return {}
    found = np.percentile(np.array(seconds) * 1e3, [*QUANTILES, 100]).tolist()
    return dict(zip([*(f"p{q}" for q in QUANTILES), "max"], found, strict=True))


def run_task(task: Task) -> Tally:
    """Run a task in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.arrivals"],
        input=json.dumps(asdict(task)),
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        timeout=task.seconds + 60,
    )
    found = json.loads(finished.stdout)
    return Tally(
        seconds=found["seconds"],
        answers={int(status): count for status, count in found["answers"].items()},
        latency_ms={int(status): figures for status, figures in found["latency_ms"].items()},
        unsent=found["unsent"],
        late_ms=found["late_ms"],
        cpu_s=found["cpu_s"],
        stolen=found["stolen"],
    )


def main() -> None:
    """Run the task on standard input."""
    task = Task(**json.loads(sys.stdin.read()))
    generator = Generator(task, Path(task.request).read_bytes())
    tally = uvloop.run(generator.run())
    sys.stdout.write(json.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
