"""Syslog messages (RFC 5424) to a collector: by UDP (RFC 5426), TCP (RFC 6587 3.4.1) or TLS (RFC 5425)."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from app.errors import SettingsError

Scheme = Literal["udp", "tcp", "tls"]
PORTS: Final[dict[str, int]] = {"udp": 514, "tcp": 514, "tls": 6514}
PRIORITY: Final = 85  # facility 10 (authorization), severity 5 (notice), as PS3.15 A.6 asks
BOM: Final = b"\xef\xbb\xbf"  # what follows is UTF-8 (RFC 5424 6.4)
TIMEOUT_S: Final = 5.0
PRINTABLE: Final = range(33, 127)  # of names in the header (RFC 5424 6)


@dataclass(frozen=True, slots=True)
class Collector:
    """Where messages go, and how."""

    scheme: Scheme
    host: str
    port: int
    ca_file: Path | None = None
    certificate: Path | None = None

    @classmethod
    def parse(cls, url: str, ca_file: Path | None = None, certificate: Path | None = None) -> Self:
        """Read `udp://host:514`, `tcp://host` or `tls://host`; raises SettingsError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _unusable() from None
        scheme, host = parts.scheme, parts.hostname
        if scheme not in PORTS or not host or parts.path.strip("/") or parts.query or parts.username:
            raise _unusable()
        known: Scheme = "udp" if scheme == "udp" else "tcp" if scheme == "tcp" else "tls"
        return cls(known, host, port or PORTS[scheme], ca_file, certificate)


@dataclass(frozen=True, slots=True)
class Header:
    """What every message of this process bears: its host, and its process id."""

    host: str
    process: str

    def message(self, time: str, message_id: str, content: bytes) -> bytes:
        """A message with `content`, UTF-8; `time` as RFC 3339 writes it."""
        names = (_name(self.host, 255), "lungscope", _name(self.process, 128), _name(message_id, 32))
        head = f"<{PRIORITY}>1 {time} {' '.join(names)} - ".encode("ascii")
        return head + BOM + content


class SyslogSender:
    """Sends messages; connects when there is something to send, and again after an error."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._socket: socket.socket | None = None

    def send(self, message: bytes) -> None:
        """Send one message; raises OSError, and then the message may be sent again."""
        try:
            self._connect()
            assert self._socket is not None
            if self._collector.scheme == "udp":
                self._socket.send(message)
            else:
                self._socket.sendall(b"%d %b" % (len(message), message))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        if self._socket is not None and self._collector.scheme != "udp" and _has_ended(self._socket):
            self.close()
        if self._socket is None:
            self._socket = _connected(self._collector)


def _has_ended(connection: socket.socket) -> bool:
    """Whether the collector has closed its end: a first message after that would be lost without an error. It sends
    nothing but what belongs to TLS."""
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(TIMEOUT_S)


def _connected(collector: Collector) -> socket.socket:
    address = (collector.host, collector.port)
    if collector.scheme == "udp":
        family, kind, protocol, _, found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        datagrams = socket.socket(family, kind, protocol)
        datagrams.connect(found)
        return datagrams
    stream = socket.create_connection(address, timeout=TIMEOUT_S)
    if collector.scheme == "tcp":
        return stream
    context = ssl.create_default_context()
    if collector.ca_file is not None:
        context.load_verify_locations(collector.ca_file)
    if collector.certificate is not None:
        context.load_cert_chain(collector.certificate)
    try:
        return context.wrap_socket(stream, server_hostname=collector.host)
    except BaseException:
        stream.close()
        raise


def _name(text: str, most: int) -> str:
    kept = "".join(c for c in text if ord(c) in PRINTABLE)[:most]
    return kept or "-"


def _unusable() -> SettingsError:
    return SettingsError(
        found="a LUNGSCOPE_AUDIT_SYSLOG that cannot be used",
        expected="udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT",
        remedy="See docs/reliability.md, Audit.",
    )
