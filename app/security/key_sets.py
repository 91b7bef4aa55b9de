"""The public keys of an identity provider (a JWK set, RFC 7517), from a file or an address, kept and renewed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from app.errors import IdentityUnavailable, SettingsError

if TYPE_CHECKING:  # OpenSSL takes memory in every worker: imported where tokens are read
    from jwt import PyJWK

MAX_AGE_S: Final = 600.0  # a key that the provider withdraws counts no longer than this
COOLDOWN_S: Final = 30.0  # strangers must not have us ask the provider for each token that they make up
STALE_S: Final = 24 * 3600.0  # while the provider does not answer
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1 << 20
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
logger = logging.getLogger(__name__)


class KeySource(Protocol):
    """Where a key set comes from."""

    def read(self) -> bytes:
        """The key set as it is written now; raises OSError."""
        ...

    def has_changed(self, age_s: float) -> bool:
        """Whether to read again what was read `age_s` ago."""
        ...


class FileSource:
    """A key set in a file, which is read again when it has changed, and every MAX_AGE_S."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0

    def read(self) -> bytes:
        """The file's bytes; raises OSError."""
        self._seen = self._path.stat().st_mtime_ns
        return self._path.read_bytes()

    def has_changed(self, age_s: float) -> bool:
        """Whether the file is another one, or was not looked at for long."""
        try:
            return age_s >= MAX_AGE_S or self._path.stat().st_mtime_ns != self._seen
        except OSError:
            return True


class AddressSource:
    """A key set at an https address, which is asked every MAX_AGE_S."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        """Raises SettingsError for an address whose answer anybody on the way could replace."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise SettingsError(
                found="a LUNGSCOPE_JWKS that is no file and no https address",
                expected="a file, https://…, or http:// on this machine",
                remedy="Name the jwks_uri of the issuer's /.well-known/openid-configuration.",
            )
        self._url = url
        self._ca_file = ca_file

    def read(self) -> bytes:
        """What the address answers; raises OSError."""
        import urllib3

        with urllib3.PoolManager(1, ca_certs=None if self._ca_file is None else str(self._ca_file)) as pool:
            try:
                answer = pool.request(
                    "GET", self._url, timeout=TIMEOUT_S, retries=False, redirect=False, preload_content=False
                )
                body = answer.read(MAX_BYTES + 1)
            except urllib3.exceptions.HTTPError as error:
                raise OSError(type(error).__name__) from None
        if answer.status != 200 or len(body) > MAX_BYTES:
            raise OSError(f"status {answer.status}, {len(body)} bytes")
        return body

    def has_changed(self, age_s: float) -> bool:
        """Whether it is time to ask again."""
        return age_s >= MAX_AGE_S


class KeySet:
    """The keys of one provider by their ids (`kid`).

    They are renewed when their source has changed, and when a token names a key that is not among them. While the
    source cannot be read, those that were read before count for STALE_S.
    """

    def __init__(self, source: KeySource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._renewing = asyncio.Lock()

    async def key(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key for a token's `kid`, to be used with `algorithm`; None where there is none.

        Raises IdentityUnavailable where no key was ever read, or for too long.
        """
        if self._is_old() or kid not in self._keys:
            async with self._renewing:
                if self._is_old() or kid not in self._keys:
                    await self._renew()
        if self._read_at is None or self._clock() - self._read_at > STALE_S:
            raise IdentityUnavailable(
                found="no keys of the identity provider",
                expected="a key set with which tokens can be checked",
                remedy="Try again after the seconds in Retry-After; the service's log says what failed.",
            )
        found = self._keys.get(kid)
        return None if found is None else _usable(found, algorithm)

    def _is_old(self) -> bool:
        return self._read_at is None or self._source.has_changed(self._clock() - self._read_at)

    async def _renew(self) -> None:
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < COOLDOWN_S:
            return
        self._tried_at = now
        try:
            self._keys = _read_set(await asyncio.to_thread(self._source.read))
        except (OSError, ValueError, RecursionError) as error:
            logger.error("the keys of the identity provider cannot be read: %s", error)
            return
        self._read_at = now


def _read_set(text: bytes) -> dict[str | None, dict[str, Any]]:
    """The keys of a set by their ids; one without an id can be found only where a token names none."""
    document = json.loads(text)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no key set")
    return {key.get("kid"): key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig"}


def _usable(key: dict[str, Any], algorithm: str) -> PyJWK | None:
    """The key for an algorithm; None where it is for another one, or damaged."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    if key.get("alg", algorithm) != algorithm:
        return None
    try:
        return PyJWK.from_dict(key, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
