"""What lies damaged in the folder of models beside what is served."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from app.errors import BundleError
from app.inference.bundle import MANIFEST_FILE, require_undamaged, versions_of
from app.inference.graph_operations import require_computing

Seen = tuple[int, int]  # of a manifest: time of its last change in ns, and bytes


class UnservedBundles:
    """Looks for newer versions of the bundles in the folders `served`, and remembers what it has found: the files of
    each are read once, and again when its manifest has changed."""

    def __init__(self, served: Collection[Path]) -> None:
        self._served = served
        self._damage: dict[Path, tuple[Seen, str | None]] = {}

    def damaged(self) -> list[str]:
        """What is wrong with each newer version that cannot be served: a reload would not take it."""
        return [said for path in self._newer() if (said := self._damage_of(path)) is not None]

    def _newer(self) -> Iterator[Path]:
        for path in self._served:
            newer = (each for each in versions_of(path.parent) if path.name.isdecimal() and each > int(path.name))
            yield from (path.parent / str(each) for each in newer)

    def _damage_of(self, path: Path) -> str | None:
        try:
            of_manifest = (path / MANIFEST_FILE).stat()
        except OSError:
            return None  # it has just gone
        seen = of_manifest.st_mtime_ns, of_manifest.st_size
        if path not in self._damage or self._damage[path][0] != seen:
            self._damage[path] = seen, _found_in(path)
        return self._damage[path][1]


def _found_in(path: Path) -> str | None:
    try:
        require_undamaged(path)
        require_computing(path)
    except BundleError as error:
        # Not where the folder lies: whoever asks for health need not know.
        return error.found.replace(f"{path.parents[1]}/", "")
    return None
