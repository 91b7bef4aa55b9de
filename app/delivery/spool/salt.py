"""The salt of the names in a spool, made once and shared by all workers."""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.locks import held
from app.private_files import private_opener, set_aside, sync

SALT: Final = ".salt"
SALT_BYTES: Final = 32


def read_salt(folder: Path, gate: Path) -> bytes:
    """The salt in a folder, made when missing; one that cannot be one is set aside, while `gate` is held. Raises
    OSError."""
    path = folder / SALT
    with held(gate):
        if os.path.lexists(path) and not _is_salt(path):
            set_aside(path)  # series received under it keep their names
    own = folder / f"{SALT}.{uuid.uuid4()}"
    if not path.exists():
        with open(own, "wb", opener=private_opener) as file:
            file.write(secrets.token_bytes(SALT_BYTES))
        sync(own)
        # Linked, not renamed: of several processes that start at once the first one's salt stays.
        with suppress(FileExistsError):
            path.hardlink_to(own)
        own.unlink()
        sync(folder)
    return path.read_bytes()


def _is_salt(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == SALT_BYTES and os.access(path, os.R_OK)
