"""HL7 v2 over MLLP (release 1 of the transport specification): one connection, one message, one acknowledgement."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from app.delivery.destinations.destination import Outcome, Refused
from app.delivery.destinations.http_client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Access, tls_context
from app.reports.result import ObjectKind

START, END = b"\x0b", b"\x1c\r"
MAX_ACKNOWLEDGEMENT_BYTES: Final = 64 * 1024
PIECE_BYTES: Final = 4096
ACCEPTED: Final = frozenset({"AA", "CA"})  # table 0008: by the application, or by the system before it
REFUSED: Final = frozenset({"AE", "AR", "CE", "CR"})
CONTROL_ID: Final = 9  # of MSH-10 among the parts of a segment
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a receiver listens, and how its certificate is checked, None without TLS."""

    host: str
    port: int
    access: Access | None = None
    patience_s: float = READ_TIMEOUT_S


class Hl7Destination:
    """A receiver of HL7 v2 messages. A message has one control id however often it is sent."""

    kind: ObjectKind = "hl7"

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.name = name
        self._endpoint = endpoint
        self._tls = None if endpoint.access is None else tls_context(endpoint.access)

    def send(self, content: bytes) -> Outcome:
        """Send one message, and wait for its acknowledgement. Raises Refused for AE, AR, CE and CR."""
        try:
            with closing(self._connected()) as connection:
                connection.sendall(START + content + END)
                code = _acknowledged(_frame(connection, time.monotonic() + self._endpoint.patience_s), content)
        except OSError as error:
            logger.warning("a destination does not answer: %s", type(error).__name__)
            return "retry"
        if code in REFUSED:
            raise Refused(code)
        if code not in ACCEPTED:
            logger.warning("a destination answered with what does not acknowledge the message")
        return "delivered" if code in ACCEPTED else "retry"

    def _connected(self) -> socket.socket:
        endpoint = self._endpoint
        connection = socket.create_connection((endpoint.host, endpoint.port), CONNECT_TIMEOUT_S)
        try:
            connection.settimeout(endpoint.patience_s)
            return connection if self._tls is None else self._tls.wrap_socket(connection, server_hostname=endpoint.host)
        except OSError:
            connection.close()
            raise


def _frame(connection: socket.socket, until: float) -> bytes:
    """What stands between the next START and END; raises OSError where it does not come in time, or is too long."""
    received = bytearray()
    while END not in received:
        left_s = until - time.monotonic()
        if left_s <= 0 or len(received) > MAX_ACKNOWLEDGEMENT_BYTES:
            raise TimeoutError
        connection.settimeout(left_s)
        piece = connection.recv(PIECE_BYTES)
        if not piece:
            raise ConnectionResetError
        received += piece
    return bytes(received[received.find(START) + 1 : received.find(END)])


def _acknowledged(answer: bytes, message: bytes) -> str:
    """The code with which an acknowledgement answers this message (MSA-1); empty where it answers none, or another."""
    control = message.split(b"\r", 1)[0].split(b"|")[CONTROL_ID]
    segments = [segment for segment in answer.replace(b"\n", b"\r").split(b"\r") if segment]
    if not segments or not segments[0].startswith(b"MSH") or len(segments[0]) <= len(b"MSH"):
        return ""
    delimiter = segments[0][3:4]
    for segment in segments[1:]:
        fields = segment.split(delimiter)
        if fields[0] == b"MSA" and len(fields) > 2 and fields[2].strip() == control:
            return fields[1].strip().decode("ascii", "replace")
    return ""
