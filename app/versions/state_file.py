"""The file of the versions that are wanted: what all workers follow, and with what the next start begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import TypeAdapter, ValidationError

from app.errors import SettingsError
from app.inference.networks import STABLE
from app.locks import held
from app.private_files import private_opener, state_folder, sync
from app.versions.wanted import Versions, Wanted

SETTING: Final = "LUNGSCOPE_VERSIONS_DIR"
FILE: Final = "versions.json"
Stamp: TypeAlias = tuple[int, int, int]
CONTENT: Final = TypeAdapter(dict[str, dict[str, Wanted]])


class StateFile:
    """The wanted versions of each model, in a private folder. A reader sees what was written whole, or what was before.

    Raises SettingsError for a folder that cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        state_folder(folder, SETTING)
        self._path = folder / FILE

    def stamp(self) -> Stamp | None:
        """What changes with every `write`; None before the first."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> dict[str, Versions]:
        """The wanted versions by model, none before the first `write`; raises SettingsError for a file that is not
        ours."""
        try:
            found = CONTENT.validate_json(self._path.read_bytes(), strict=True)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError):
            raise self._damaged() from None
        if any([each.label for each in versions.values()].count(STABLE) != 1 for versions in found.values()):
            raise self._damaged()
        return dict(found)

    def write(self, wanted: Mapping[str, Versions]) -> None:
        """Put another one in its place, which is on the disk on return; raises OSError, and leaves the old one then."""
        part = self._path.with_suffix(".part")
        with open(part, "wb", opener=private_opener) as file:
            file.write(CONTENT.dump_json({name: dict(versions) for name, versions in wanted.items()}, indent=1))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        sync(self._path.parent)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other workers from changing it, once they have finished doing so."""
        return held(self._path.with_suffix(".lock"))

    def _damaged(self) -> SettingsError:
        return SettingsError(
            found=f"{self._path}, which cannot be read as the versions that are wanted",
            expected="the file as the service wrote it",
            remedy="Remove it, and the versions are those of the settings again.",
        )
