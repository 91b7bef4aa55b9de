"""The folder of a service beside which a command works, and the database in it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.delivery.database.storage import ServerFault
from app.errors import SettingsError
from app.security.pseudonyms import KEY_FILE, load_key


def service_folder(folder: Path | None, kept: str, setting: str, command: str) -> Path:
    """The folder, of `--folder` or of a setting; raises SettingsError where what a service keeps there is not in it,
    or it is another user's."""
    if folder is None or not (folder / kept).exists():
        raise SettingsError(
            found=f"no folder with {kept}",
            expected="one in which a service keeps it",
            remedy=f"Give --folder, or set {setting} as for the service, and LUNGSCOPE_DATABASE_URL if it has one.",
        )
    # SQLite makes files beside the database; those of another user would lock the service out.
    if folder.stat().st_uid != os.geteuid():
        raise SettingsError(
            found=f"{folder}, which belongs to another user",
            expected="the user that the service runs as",
            remedy=f"Run this as that user: sudo -u USER lungscope {command} ...",
        )
    return folder


def key_in(folder: Path) -> bytes:
    """The key with which a service hashes numbers for its logs; raises SettingsError where there is none."""
    if not (folder / KEY_FILE).is_file():
        raise SettingsError(
            found=f"no {KEY_FILE} in {folder}",
            expected="the key with which the service hashes numbers",
            remedy="Restore it; the service makes another one, which finds nothing from before.",
        )
    return load_key(folder)


@contextmanager
def usable_database(path: Path) -> Iterator[None]:
    """Turn an error of the database into SettingsError."""
    try:
        yield
    except (sqlite3.Error, ServerFault) as error:
        of_server = isinstance(error, ServerFault)
        where, why = ("LUNGSCOPE_DATABASE_URL", error.args[1]) if of_server else (path, error)
        raise SettingsError(
            found=f"{where}, which cannot be used now: {why}",
            expected="the database of a service",
            remedy="Try again; the service's log says more.",
        ) from None
