"""The service's listening sockets. They are bound before the models load, so that a wrong address fails at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from app.errors import StartupError

ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # `localhost` names ::1 where there may be no IPv6


@contextmanager
def bound_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Bind one socket for each address of `host`, all on one port, and close them after the block; raises
    StartupError."""
    with ExitStack() as stack:
        bound: list[socket.socket] = []
        try:
            bound.extend(map(stack.enter_context, _made(host, port)))
        # What encodes a name for the resolver refuses some by UnicodeError.
        except (OSError, UnicodeError) as error:
            raise _unusable(host, port, getattr(error, "strerror", None) or "not a host name") from None
        yield bound


def _made(host: str, port: int) -> Iterator[socket.socket]:
    refused: OSError | None = None
    made = 0
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            each = _bound(family, (address[0], port, *address[2:]))
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            refused = error
            continue
        made += 1
        port = each.getsockname()[1]  # the system has chosen one when it was 0
        yield each
    if not made and refused is not None:
        raise refused


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # or it would take IPv4's port too
        made.bind(address)
    except BaseException:
        made.close()
        raise
    made.set_inheritable(True)
    return made


def _unusable(host: str, port: int, why: str) -> StartupError:
    return StartupError(
        found=f"no way to listen on {host!r} port {port} ({why})",
        expected="a free port at an address of this machine",
        remedy="Give another --host or --port.",
    )
