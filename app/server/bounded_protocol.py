"""uvicorn's HTTP/1.1 protocol with bounds: on what it reads of a head, and on how long it waits for its client."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.server import hooks
from app.server.bounds import ConnectionBounds
from app.server.connections import Connections, Reason, Waiting
from app.server.draining import Draining
from app.server.head_meter import HeadMeter
from app.server.whole_body import Body

LINGER_S: Final = 2.0  # for a client that still sends to see why it should not
TOO_LARGE: Final = (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


class BoundedProtocol(HttpToolsProtocol):
    """Counts heads (`app.server.head_meter`), says what its client owes (`app.server.connections`), and ends a
    connection with the answer that says why."""

    _offered: Body | None = None
    _answered_early = False
    _within_head = False
    _at_work: RequestResponseCycle | None = None
    faulty = False  # nothing is read any more
    _within_message = False  # some of it is still to come
    _since_s = 0.0  # since when it waits for the client, if it does

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch: Connections | None = self.app_state.get(hooks.CONNECTIONS)
        self._meter = HeadMeter(ConnectionBounds() if self._watch is None else self._watch.bounds)
        self._draining = Draining()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin, unless too many connections are at work."""
        super().connection_made(transport)
        self._since_s = self.loop.time()
        beyond = None if self._watch is None else self._watch.add(self, self.loop)
        if beyond is not None:
            of_address = beyond == "address"
            self._end_with_fault(HTTPStatus.TOO_MANY_REQUESTS if of_address else HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def address(self) -> str:
        """Of the client, without its port."""
        return self.client[0] if self.client else ""

    def waiting(self) -> Waiting | None:
        """What the client owes; None while the service is at work for it."""
        if self._draining.look(self.transport.get_write_buffer_size(), self.loop.time()):
            return Waiting("taking", self._draining.since_s or 0.0, self._draining.taken_bytes)
        if self.faulty or self.transport.is_closing():
            return None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return Waiting("body", self._since_s) if cycle.more_body and cycle is self._at_work else None
        if self._within_head or (cycle is None and not self._within_message):
            return Waiting("head", self._since_s)
        dropped = 0 if self._offered is None else self._offered.received
        return Waiting("rest", self._since_s, dropped) if self._within_message else Waiting("next", self._since_s)

    def end(self, reason: Reason) -> None:
        """Close the connection because of what its client owes, with an answer to a request that has begun."""
        if reason in ("rest", "taking") or self._draining.since_s is not None or self._answered_early:
            self.transport.abort()
        elif self._within_message:
            self._end_with_fault(HTTPStatus.SERVICE_UNAVAILABLE if reason == "room" else HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def resume_writing(self) -> None:
        """Send answers again."""
        self._draining.went_on()
        super().resume_writing()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target; raises NotSpoken for too long a one."""
        super().on_url(url)
        self._meter.target(len(self.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and drop a trailer (RFC 9110 6.5.1); raises NotSpoken for one too many."""
        self._meter.line(name, value)
        if self._within_head:
            super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """Note that the size of a chunk is there, with whatever followed it."""
        self._meter.heard()

    def _ends_after_whole_requests(self) -> bool:
        """Whether complete requests wait for their answers; the connection closes after the last of them."""
        cycles = (self._at_work, *(cycle for cycle, _ in reversed(self.pipeline)))
        whole = [each for each in cycles if each is not None and not each.response_complete and not each.more_body]
        if whole:
            whole[-1].keep_alive = False
            self.pipeline = deque(each for each in self.pipeline if not each[0].more_body)
        return bool(whole)

    def _end_with_fault(self, status: HTTPStatus) -> None:
        """Answer what is no request, or no more of one than is read, after the answers before it, and close: the next
        request has no known beginning."""
        self.faulty = True
        if self._ends_after_whole_requests():
            return
        answer: hooks.AnswerMalformed | None = self.app_state.get(hooks.MALFORMED)
        begun = self._at_work is not None and self._at_work.response_started and not self._at_work.response_complete
        if answer is None and not begun:
            self.send_400_response("Invalid HTTP request received.")
        elif answer is not None and not begun:
            self._write(answer(status), b"connection: close\r\n")
            if status in TOO_LARGE and self.transport.can_write_eof():
                self._linger()
                return
        self.transport.close()

    def _linger(self) -> None:
        """End this side of the connection, and drop for a while what still comes. To close it now would take the answer
        along: the system resets a connection of which bytes are left unread."""
        if self._at_work is not None:
            self._at_work.disconnected = True  # it must not write any more
            self._at_work.message_event.set()
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _write(self, answer: hooks.EarlyAnswer, *more_lines: bytes) -> None:
        lines = (b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        head = (STATUS_LINE[answer.status], *lines, answer.header_lines, *more_lines, b"\r\n")
        self.transport.write(b"".join((*head, answer.body)))
