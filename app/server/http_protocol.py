"""uvicorn's HTTP/1.1 protocol, with the pieces and the bounds that docs/serving.md lists.

A body of known length goes from the socket into one buffer, the application may answer a request on its headers alone,
and a connection may move to another worker. Unlike uvicorn's protocol, this one answers a request that has a body and
offers another protocol, and a client that ends its side of the connection before it has its answer
(`app.server.half_close`); it bounds what it reads of a head (`app.server.head_meter`) and tells what its client owes
(`app.server.connections`).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.server import hooks
from app.server.bounded_protocol import BoundedProtocol
from app.server.half_close import AnswerAhead
from app.server.start_line import VERSIONS, check_spoken, is_simple, status_of, without_authority
from app.server.whole_body import Body, announced_bytes

HEADERS_BYTES: Final = 16 * 1024  # one read: most of a body is to stay in the socket until it is asked for


class HttpProtocol(BoundedProtocol):
    """uvicorn's protocol. While `bypassing` is a body, the next bytes belong to it and go past the parser."""

    bypassing: Body | None = None
    _passed_on = False
    _begun: memoryview | None = None  # what another process would need of the request whose headers are there
    _timer: asyncio.TimerHandle | None = None  # of a body that nobody wants
    _last_s = 0.0  # when the last piece of it came
    _upgrading = False  # a request whose headers are there offers it

    @property
    def within_body(self) -> bool:
        """Whether the next bytes belong to a body that the application reads in chunks."""
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def piece_received(self, piece: memoryview) -> None:
        """Take the next bytes that go through the parser."""
        if self.faulty:
            return
        between = not self._within_head and (self.cycle is None or self.cycle.response_complete)
        self._begun = piece if between else None
        self.data_received(cast(bytes, piece))  # its parser takes any buffer
        if self._meter.is_fed_up(len(piece)) and not self.faulty:
            self._end_with_fault(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if between and self._within_head and not self.faulty and is_simple(piece):
            self._end_with_fault(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        self._begun = None
        if self.flow.read_paused:
            # Of a connection that was taken over: uvloop starts to read once it is made, whoever paused it before.
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Give the next bytes to the parser."""
        if self.faulty:
            return
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except (httptools.HttpParserUpgrade, httptools.HttpParserError) as error:
                if self._passed_on:  # all of the piece was
                    return
                if not isinstance(error, httptools.HttpParserUpgrade):
                    self._end_with_fault(status_of(error, data))
                    return
                data = self._without_upgrade() + bytes(data[error.args[0] :])
            else:
                return

    def _without_upgrade(self) -> bytes:
        """The headers of a request without its offer of another protocol, for a new parser. A server may ignore the
        offer (RFC 9110 7.8), but the first parser leaves all bytes that follow to the other protocol."""
        self._renew_parser()
        self._upgrading = False
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        method, version = self.scope["method"].encode(), self.scope["http_version"].encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))

    def _renew_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def on_message_begin(self) -> None:
        """Note that the headers of a request begin."""
        self._within_head = self._within_message = True
        self._since_s = self.loop.time()
        self._meter.begin()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Pass the connection on, answer early, or start the request and leave the rest of its body in the socket."""
        self._within_head = False
        self._since_s = self.loop.time()
        self._meter.begin()
        if self._passed_on:
            return
        # Who is asked below wants to know; uvicorn says so later.
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = self.parser.get_http_version()
        if self.scope["method"] == "CONNECT" or self.scope["http_version"] not in VERSIONS:
            check_spoken(self.scope["method"], self.scope["http_version"])
        # Nobody has told an older client of interim answers (RFC 9110 10.1.1).
        self.expect_100_continue &= self.scope["http_version"] != "1.0"
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        if self.url.startswith(b"/"):
            self.scope["path"] = httptools.parse_url(self.url).path.decode("ascii")
        else:
            self.url, self.scope["path"] = without_authority(self.url)
        if self._pass_on():
            return
        length = announced_bytes(self.headers)
        # One that stands in the queue behind another has its body read in pieces.
        waits = length > HEADERS_BYTES and (self.cycle is None or self.cycle.response_complete)
        if waits and (answer := self._early_answer(length)) is not None:
            self._answer_early(answer, length)
            return
        offered = waits and hooks.WANTS_WHOLE_BODY in self.app_state
        self._offered = Body(length, self._bypass) if offered else None
        if offered:
            self.scope["extensions"] = {hooks.WHOLE_BODY: self._offered}  # type: ignore[dict-item]  # uvicorn: dicts only
        super().on_headers_complete()
        if offered:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body that the parser has seen: what came with the headers, or a chunk."""
        self._meter.heard()
        if self._offered is not None:
            self._offered.received += len(body)
        if not self._answered_early and not self._passed_on:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body that went through the parser."""
        if self._upgrading:
            return
        self._within_message = False
        self._begun = None  # the next request does not begin where these bytes do
        if self._passed_on:
            return
        super().on_message_complete()
        if self._offered is not None and self.bypassing is None:
            self._offered.early = self.cycle.body
        self._end_body()

    def on_response_complete(self) -> None:
        """Go on to the next request; drop a body that the application did not read."""
        self._since_s = self.loop.time()
        if self._offered is not None and self.bypassing is None and not self.transport.is_closing():
            self._bypass()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the running request, and the reader of its body; uvicorn tells only the last request."""
        if self._watch is not None:
            self._watch.discard(self)
        if self._at_work is not None and not self._at_work.response_complete:
            self._at_work.disconnected = True
            self._at_work.message_event.set()
            if (body := self._at_work.scope.get("extensions", {}).get(hooks.WHOLE_BODY)) is not None:
                cast(Body, body).left = True
        super().connection_lost(exc)
        self._end_body()

    def body_received(self, body: Body, nbytes: int) -> None:
        """Count `nbytes` more of a body that goes past the parser."""
        body.add(nbytes)
        if self._answered_early or self.cycle.response_complete:
            self._expect_more()
        else:
            body.last_s = self.loop.time()
            self._unset_keepalive_if_required()
        if body.received == body.length:
            self._renew_parser()  # it saw nothing of the body, and would wait for it
            self._within_message = False
            self._since_s = self.loop.time() if self._answered_early else self._since_s
            if not self._answered_early:
                self.cycle.more_body = False
            self._end_body()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    def _bypass(self) -> None:
        body, cycle = self._offered, self.cycle
        assert body is not None
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body.put(cycle.body)
        cycle.body = bytearray()
        cycle.message_event.clear()
        self.bypassing = body
        self.flow.resume_reading()

    def _pass_on(self) -> bool:
        """Pass the connection to another worker if one should have it; whether it went there."""
        pass_on: hooks.PassOn | None = self.app_state.get(hooks.PASS_ON)
        # The rest of the last answer would be lost, or come behind the next.
        if pass_on is None or self._begun is None or self.transport.get_write_buffer_size():
            return False
        connection = self.transport.get_extra_info("socket").fileno()
        self._passed_on = pass_on(cast(dict[str, Any], self.scope), connection, self._begun)
        if self._passed_on:
            self.transport.abort()  # closes this descriptor; the connection lives on
        return self._passed_on

    def keeps_answering(self) -> bool:
        """Whether a client that has ended its side waits for an answer, after which the connection closes; not in
        TLS, of which Python ends both sides at once."""
        if self.scheme == "https" or self.transport.is_closing() or not self._ends_after_whole_requests():
            return False
        cycle = self._at_work
        if cycle is not None and not cycle.response_started and not isinstance(cycle.transport, AnswerAhead):
            ahead = AnswerAhead(self.transport, self.loop)
            cycle.transport = cast(asyncio.Transport, ahead)  # uvicorn needs no more of one
        return True

    def _early_answer(self, length: int) -> hooks.EarlyAnswer | None:
        """The application's answer to this request on its headers alone; None for an ordinary request."""
        answer_early: hooks.AnswerEarly | None = self.app_state.get(hooks.EARLY_ANSWER)
        # uvicorn knows what follows an answer to these, and waits for who does not read his answers.
        plain = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        if answer_early is None or not plain or self.expect_100_continue or self.flow.write_paused:
            return None
        return answer_early(cast(dict[str, Any], self.scope), length)

    def _answer_early(self, answer: hooks.EarlyAnswer, length: int) -> None:
        """Send an early answer and drop the body."""
        self._answered_early = True
        self._since_s = self.loop.time()
        self._offered = self.bypassing = Body(length, lambda: None)
        self._write(answer)
        self.server_state.total_requests += 1
        self._expect_more()

    def _expect_more(self) -> None:
        """Close the connection if the client sends nothing for as long as an idle connection is kept."""
        self._last_s = self.loop.time()
        # One timer for all pieces: it looks what came meanwhile.
        if self.timeout_keep_alive_task is None or self.timeout_keep_alive_task is not self._timer:
            self._unset_keepalive_if_required()
            self._look_again_in(self.timeout_keep_alive)

    def _look_again_in(self, seconds: float) -> None:
        self._timer = self.timeout_keep_alive_task = self.loop.call_later(seconds, self._close_if_nothing_came)

    def _close_if_nothing_came(self) -> None:
        rest_s = self._last_s + self.timeout_keep_alive - self.loop.time()
        if rest_s > 0:
            self._look_again_in(rest_s)
        else:
            self.timeout_keep_alive_handler()

    def _end_body(self) -> None:
        if self._offered is not None:
            self._offered.end()
        self._offered = self.bypassing = None
        self._answered_early = False
