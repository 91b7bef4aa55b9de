"""A DICOMweb archive and FHIR server on loopback that answers what it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from socketserver import BaseServer

from pydicom import dcmread
from pydicom.dataset import Dataset

Answer = Callable[[int], tuple[int, bytes]]  # from the number of the request, 1-based


@dataclass
class Receiver:
    """What came in, in its order."""

    answer: Answer = lambda _: (200, b"{}")
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/root"

    @property
    def instances(self) -> list[Dataset]:
        """The DICOM objects of all requests."""
        return [
            instance for _, headers, body in self.requests for instance in instances_in(headers["Content-Type"], body)
        ]


def instances_in(content_type: str, body: bytes) -> list[Dataset]:
    """The DICOM objects of a STOW-RS body."""
    boundary = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode(), policy=HTTP).get_boundary()
    parts = body.split(f"--{boundary}".encode())[1:-1]
    return [dcmread(BytesIO(part.split(b"\r\n\r\n", 1)[1][:-2])) for part in parts]


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Listen for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, dict(self.headers), body))
            status, answer = receiver.answer(len(receiver.requests))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler) as server, at_work(server):
        receiver.port = server.server_port
        yield receiver


@contextmanager
def at_work(server: BaseServer) -> Iterator[None]:
    """Have a thread serve what comes."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
