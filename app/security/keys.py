"""API keys: random secrets, of which the service keeps the SHA-256, in a file that is read again when it changes.

A key has 256 random bits. So one SHA-256 is as good as a slow hash, which a guessable password would need, and a lookup
by digest tells whoever measures its time nothing that leads to a key.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from app.errors import SettingsError
from app.security.caller import Caller
from app.security.scopes import SCOPES, Scope

PREFIX: Final = "lungscope_"  # by which a search for leaked secrets finds one
SECRET_BYTES: Final = 32
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
EMPTY_S: Final = 1.0  # who writes a file anew empties it first
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
Keys = Mapping[bytes, Caller]  # by the SHA-256 of the key
logger = logging.getLogger(__name__)


def digest_of(key: str) -> bytes:
    """The SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key(name: str, scopes: str) -> tuple[str, str]:
    """A new key, and its line for the file; raises SettingsError for a name or a scope that cannot be."""
    key = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    line = f"{name} {scopes} sha256:{digest_of(key).hex()}"
    read_keys(line)
    return key, line


def read_keys(text: str) -> Keys:
    """The keys of a file: lines of a name, scopes between commas, and `sha256:` with the digest in hexadecimal.

    `#` begins a comment. Several lines may have one name: while a key is replaced, old and new one are the same caller.
    Raises SettingsError with the number of the line, never with the line itself: somebody may have put a key there.
    """
    keys: dict[bytes, Caller] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or not DIGEST.fullmatch(words[2]):
            raise _unusable(number, "no line of a key")
        name, scopes, digest = words
        if not NAME.fullmatch(name):
            raise _unusable(number, "a name with other characters than A-Z a-z 0-9 . _ @ -, or too long")
        keys[bytes.fromhex(digest.removeprefix("sha256:"))] = Caller(name, _scopes(scopes, number))
    return keys


def _scopes(text: str, number: int) -> frozenset[Scope]:
    given = frozenset(text.split(","))
    known = frozenset(scope for scope in SCOPES if scope in given)
    if len(known) < len(given):
        raise _unusable(number, f"a scope that is none of {', '.join(sorted(SCOPES))}")
    return known


def _unusable(number: int, what: str) -> SettingsError:
    return SettingsError(
        found=f"{what} in line {number} of the keys",
        expected="NAME SCOPE,SCOPE sha256:DIGEST",
        remedy="lungscope keys new --name NAME --scopes SCOPE,SCOPE writes one.",
    )


class KeyFile:
    """The keys of a file. It is read again when it has changed. A file that cannot be used changes nothing, nor one
    without keys before it has been so for EMPTY_S."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises SettingsError."""
        self._path, self._clock = path, clock
        self._empty_from: float | None = None
        self._seen: object = _mark(path)
        self._keys = _read(path)

    def keys(self) -> Keys:
        """The keys of now."""
        # One system call, of a microsecond: no timer, and a key that was taken out is out with the next request.
        mark = _mark(self._path)
        if mark != self._seen:
            self._seen, self._empty_from = mark, None
            try:
                self._take(_read(self._path))
            except SettingsError as error:
                logger.error("the keys are not read again, those read before go on: %s", error)
        if self._empty_from is not None and self._clock() - self._empty_from >= EMPTY_S:
            self._empty_from, self._keys = None, {}
            logger.warning("the file of keys has none any more: nobody may call")
        return self._keys

    def _take(self, keys: Keys) -> None:
        if not keys and self._keys:
            self._empty_from = self._clock()
            return
        self._keys = keys
        logger.info("%d keys read again", len(keys))


def _mark(path: Path) -> object:
    """Another value for another content: what a mounted secret changes is the file behind a link."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> Keys:
    try:
        if stat.S_IMODE(path.stat().st_mode) & WRITABLE_BY_OTHERS:
            raise SettingsError(
                found=f"{path}, which others than its owner may write",
                expected="keys that only their owner can add to",
                remedy=f"chmod go-w {path}",
            )
        return read_keys(path.read_text("utf-8"))
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            found=f"{path}, which cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}",
            expected="a file of keys",
            remedy="Name it in LUNGSCOPE_KEYS_FILE, and let the service's user read it.",
        ) from None
