"""A syslog collector on loopback: UDP, TCP or TLS, with octet counting."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from queue import SimpleQueue

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PATIENCE_S = 30


class Collector:
    """What it received, one message each."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.port: int = listener.getsockname()[1]
        self.messages: SimpleQueue[bytes] = SimpleQueue()
        self._listener = listener
        self._tls = tls
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def next(self) -> bytes:
        return self.messages.get(timeout=PATIENCE_S)

    def hang_up(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def _serve(self) -> None:
        with suppress(OSError):
            while self._listener.type == socket.SOCK_DGRAM:
                self.messages.put(self._listener.recv(65_536))
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._connections.append(connection)
            stream = connection.makefile("rb")
            while length := _length(stream.peek(16)):
                stream.read(len(str(length)) + 1)
                self.messages.put(stream.read(length))


def _length(begun: bytes) -> int:
    digits, space, _ = begun.partition(b" ")
    return int(digits) if space else 0


@contextmanager
def collecting(kind: socket.SocketKind, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Collector]:
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        collector = Collector(listener, tls)
        yield collector
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        collector.hang_up()


def write_certificate(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1 that it has signed itself, with its key, in one PEM file."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path
