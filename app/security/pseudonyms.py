"""Names for studies, series, accession numbers and patients in logs: keyed hashes, which nobody without the key undoes.

A plain hash of an accession number is undone by trying all numbers. With the key, an operator who knows a number finds
its lines (`lungscope audit find`); a reader of the logs does not find the number.
"""

from __future__ import annotations

import hmac
import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.errors import SettingsError
from app.private_files import OTHERS, PRIVATE_FILE, private_opener, sync

KEY_BYTES: Final = 32  # the length of an HMAC-SHA256 key that gives all its strength (RFC 2104 3)
KEY_FILE: Final = "pseudonyms.key"
HEX_DIGITS: Final = 16  # 64 bits: among a million studies two share a name with a chance below one in ten million
PADDING: Final = " \0"  # of DICOM values (PS3.5 6.2)


def pseudonym(key: bytes, kind: str, value: str) -> str:
    """The name of a value in logs: the first 16 hexadecimal digits of an HMAC-SHA256 (RFC 2104).

    `kind` is what the value is, such as `study`, `series`, `accession`, `patient`: the same text gets another name as
    each. Padding around the value does not count.
    """
    message = f"{kind}\0{value.strip(PADDING)}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, message, "sha256").hex()[:HEX_DIGITS]


def load_key(folder: Path) -> bytes:
    """The key in a private folder, which is made there (mode 0600) by whichever process first asks for it.

    Keep it with the logs: without it nobody finds anything in them. Raises SettingsError for a key that cannot be made,
    read or kept private, or that has another length.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & OTHERS:
            path.chmod(PRIVATE_FILE)
        key = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            found=f"{path}, a key that cannot be made, read or kept private: {error.strerror}",
            expected="a file of mode 0600 that this user owns, or a folder in which it may make one",
            remedy="Give the file to the service's user.",
        ) from None
    if len(key) != KEY_BYTES:
        raise SettingsError(
            found=f"{path}, a key of {len(key)} bytes",
            expected=f"{KEY_BYTES} bytes",
            remedy="Restore it from a backup, or remove it: then nobody finds anything in older lines of the logs.",
        )
    return key


def _make(path: Path) -> None:
    """Make a key. Of several processes that do so at once, one has its way."""
    made = path.with_name(f".{path.name}-{uuid.uuid4()}")
    try:
        with open(made, "xb", opener=private_opener) as file:
            file.write(os.urandom(KEY_BYTES))
        sync(made)
        with suppress(FileExistsError):
            os.link(made, path)
        sync(path.parent)
    finally:
        made.unlink(missing_ok=True)
