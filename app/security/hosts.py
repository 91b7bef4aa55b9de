"""By which names the service may be called.

A page in a browser can have its own name resolved to an address of this machine and so reach what only this machine
should reach (DNS rebinding). The request then has that name in Host. An address cannot be made to point elsewhere, and
a name without a dot is nobody's on the internet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def host_name(host: str) -> str:
    """The name or address in a Host header, without port and brackets, in small letters (RFC 9110 7.2)."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def is_address(name: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    return is_address(address) and ipaddress.ip_address(address.partition("%")[0]).is_loopback


class TrustedHosts:
    """The names in Host that are answered. `*.example.org` stands for all names below; `*` for any.

    Without `names` all names are answered, or, where anybody may call (`guarded` is false), those without a dot.
    """

    def __init__(self, names: Collection[str], *, guarded: bool) -> None:
        self._names = frozenset(name.lower() for name in names if not name.startswith("*"))
        self._ends = tuple(name[1:].lower() for name in names if name.startswith("*."))
        self._any = "*" in names or (guarded and not names)
        self._listed = bool(names)

    def holds(self, host: str) -> bool:
        """Whether a Host header names this service."""
        if self._any or not host:
            return True
        name = host_name(host)
        if is_address(name) or name in self._names or name.endswith(self._ends):
            return True
        return not self._listed and "." not in name
