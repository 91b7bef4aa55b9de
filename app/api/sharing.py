"""Workers on one port share their work: one that is busy hands a slice to one that is not.

A client with a lasting connection stays with its worker however busy that is, and the system hands out new connections
without asking either: of two workers one would queue while the other idles.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from app import telemetry
from app.api.load_board import LoadBoard
from app.errors import LungscopeError
from app.inference.vocabulary import Language

DEEP: Final = 4  # so many more at hand are worth handing over however much the other has
LENGTHS: Final = struct.Struct(">II")  # of header and payload, before each message
UNREACHABLE: Final = 1 << 30  # more than any worker has at hand
BUFFER_BYTES: Final = 1 << 20  # a slice in one piece
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A slice to be judged and answered in JSON: its file, the parameters as they were sent, the language of the
    answer, and the request's id and age."""

    data: bytes | memoryview
    parameters: Mapping[str, str]
    language: Language
    request_id: str
    age_ms: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer as it is sent, and what is counted of it: its decision and the time of each stage."""

    body: bytes
    decision: str
    timing_ms: Mapping[str, float]


Judge = Callable[[Job], Awaitable[Judgement]]


class Sharing:
    """One worker's dealings with the others. What cannot be handed over is left to the one who asked."""

    def __init__(self, board: LoadBoard, handed_over: Callable[[bool], None] = lambda _: None) -> None:
        """`handed_over` is told of each slice that went to another worker, and whether that judged it."""
        self._board = board
        self._handed_over = handed_over
        self._place = board.join()
        self._board.publish(self._place, UNREACHABLE)
        self._ready = False
        self._slices = 0
        self._series = 0
        self._lent: dict[int, int] = {}
        self._lines: dict[int, list[_Line]] = {}
        self._server: asyncio.Server | None = None
        self._served: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def _at_hand(self) -> int:
        # A series weighs like one slice: whoever judges it always has one at work.
        return self._slices + self._series

    def rank(self) -> int:
        """How many workers stand before this one, by their places."""
        return self._board.rank(self._place)

    def publish_slices(self, slices: int) -> None:
        """Say how many slices this worker has at hand."""
        self._slices = slices
        self._publish()

    def publish_series(self, series: int) -> None:
        """Say how many series this worker has at hand."""
        self._series = series
        self._publish()

    def idler(self) -> int | None:
        """The place of the worker to which the next slice should go; None when that is this one, or there is none."""
        if self._ready and not self._at_hand:
            return None
        # What is under way to a worker is not on the board yet.
        others = {
            place: max(at_hand, self._lent.get(place, 0))
            for place, at_hand in self._board.loads().items()
            if place != self._place and at_hand < UNREACHABLE
        }
        if not others:
            return None
        least = min(others, key=others.__getitem__)
        # The longer it would wait there too, the less a few places in the queue are worth the way.
        worth = self._at_hand - others[least] >= min(others[least] + 1, DEEP)
        return least if worth or not self._ready else None

    async def start(self, judge: Judge) -> None:
        """Listen for the others, now that `judge` can. Until then every slice goes to one that listens."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._served[writer] = asyncio.current_task()
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await _serve(_Line(reader, writer), judge)
            finally:
                writer.close()
                del self._served[writer]

        path = self._board.socket_of(self._place)
        try:
            self._server = await asyncio.start_unix_server(serve, path, limit=BUFFER_BYTES)
        except OSError as error:  # the name of a socket has a hundred characters at most
            logger.warning("other workers cannot reach this one at %s: %s", path, error)
        self._ready = True
        self._publish()

    def _publish(self) -> None:
        self._board.publish(self._place, UNREACHABLE if self._server is None else self._at_hand)

    async def stop(self) -> None:
        """Take no more from the others; what is under way is left to those who asked."""
        self._board.leave(self._place)
        for line in chain.from_iterable(self._lines.values()):
            line.writer.close()
        if self._server is not None:
            self._server.close()
        serving = [task for task in self._served.values() if task is not None]
        for writer in self._served:
            writer.close()
        if serving:
            await asyncio.wait(serving)

    async def hand_over(self, job: Job) -> Judgement | None:
        """What an idler worker makes of it; None when there is none, or when it cannot."""
        place = self.idler()
        if place is None:
            return None
        self._lent[place] = self._lent.get(place, 0) + 1
        found = None
        try:
            found = await self._ask(place, job)
        except (OSError, asyncio.IncompleteReadError):
            logger.warning("the worker at place %s did not do what was handed to it", place)
        finally:
            self._lent[place] -= 1
        self._handed_over(found is not None)
        return found

    async def _ask(self, place: int, job: Job) -> Judgement | None:
        free = self._lines.setdefault(place, [])
        line = free.pop() if free else await _connect(self._board.socket_of(place))
        header = {
            "parameters": job.parameters,
            "language": job.language,
            "request_id": job.request_id,
            "age_ms": job.age_ms,
        }
        try:
            await line.send(header, job.data)
            found, body = await line.receive()
        except BaseException:
            # A caller who left included: what comes back on this line is nobody's.
            line.writer.close()
            raise
        free.append(line)
        return Judgement(body, found["decision"], found["timing_ms"]) if found else None


@dataclass(frozen=True, slots=True)
class _Line:
    """Messages between two workers: a JSON header and a payload each, one answer to one question."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, header: Mapping[str, Any], payload: bytes | memoryview) -> None:
        head = json.dumps(header).encode()
        self.writer.writelines((LENGTHS.pack(len(head), len(payload)), head, payload))
        await self.writer.drain()

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        head, payload = LENGTHS.unpack(await self.reader.readexactly(LENGTHS.size))
        return json.loads(await self.reader.readexactly(head)), await self.reader.readexactly(payload)


async def _connect(path: Path) -> _Line:
    return _Line(*await asyncio.open_unix_connection(path, limit=BUFFER_BYTES))


async def _serve(line: _Line, judge: Judge) -> None:
    while True:
        header, data = await line.receive()
        telemetry.request_id.set(header["request_id"])
        try:
            found = await judge(Job(data, **header))
        # The one who asked does it again, and answers with the error.
        except LungscopeError:
            await line.send({}, b"")
        else:
            await line.send({"decision": found.decision, "timing_ms": found.timing_ms}, found.body)
