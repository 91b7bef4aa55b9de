"""A receiver of HL7 v2 over MLLP on loopback that answers what it is told to, and reads messages by the package hl7."""

from __future__ import annotations

import socket
import socketserver
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hl7

from benchmarks.serving.receiver import at_work

START, END = b"\x0b", b"\x1c\r"
Answer = Callable[[hl7.Message], bytes | None]  # the bytes to send, None to close the connection without a word


def acknowledging(code: str, control: str | None = None) -> Answer:
    """An acknowledgement with this code; of the message itself, unless of another `control` id."""

    def answer(message: hl7.Message) -> bytes:
        about = control or str(message["MSH.F10"])
        text = f"MSH|^~\\&|RIS||LUNGSCOPE||20260101||ACK^R01|A{about}|P|2.5.1\rMSA|{code}|{about}|words\r"
        return START + text.encode() + END

    return answer


@dataclass
class MllpReceiver:
    """What came in, as messages, in its order; `answer` may be changed meanwhile."""

    answer: Answer = field(default_factory=lambda: acknowledging("AA"))
    messages: list[hl7.Message] = field(default_factory=list)
    port: int = 0


@contextmanager
def receiving_mllp(receiver: MllpReceiver, tls: ssl.SSLContext | None = None) -> Iterator[MllpReceiver]:
    """Listen for it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with self.request if tls is None else tls.wrap_socket(self.request, server_side=True) as connection:
                self._take(connection)

        def _take(self, connection: socket.socket) -> None:
            data = b""
            while not data.endswith(END):
                piece = connection.recv(4096)
                if not piece:
                    return
                data += piece
            assert data.startswith(START)
            message = hl7.parse(data.removeprefix(START).removesuffix(END).decode("utf-8"))
            receiver.messages.append(message)
            answer = receiver.answer(message)
            if answer is not None:
                connection.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """The sender broke off."""

    with Server(("127.0.0.1", receiver.port), Handler) as server, at_work(server):
        receiver.port = server.server_address[1]
        yield receiver
