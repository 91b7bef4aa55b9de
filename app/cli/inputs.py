"""What is judged: the files and series that the paths of a command name, and those that cannot be."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqdm import tqdm

from app.cli.results import printable
from app.errors import InputError, InvalidParameter, LocalizerImage, NoPixelData
from app.imaging.archive import is_zip
from app.imaging.dicom import DicomImage
from app.imaging.read import SNIFFED_BYTES, sniff
from app.imaging.series import NOT_CT

BESIDE_SERIES: Final = (*NOT_CT, LocalizerImage, NoPixelData)  # what the folder of a study holds that is no slice


@dataclass(frozen=True, slots=True)
class Task:
    """What is judged at once: one file alone, or the files of one series, named by `path`. With an `error`: what cannot
    be judged, and why."""

    path: Path
    series: tuple[Path, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """How files become tasks: each `alone`, or by series; where the options are those `of_slice` a series is an error.
    The file `output` is none of them."""

    alone: bool = False
    of_slice: bool = False
    output: Path | None = None

    def tasks(self, paths: Sequence[Path]) -> Iterator[Task]:
        """The files named, and what folders named hold: their series, or where there is none every file alone.

        Beside a series whatever belongs to none is left out and counted: reports, scout views, notes. What cannot be
        read is a task with an error.
        """
        for path in paths:
            if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for what may not be looked up
                yield from self._tasks_below(path)
            else:
                yield self._alone(path) if self.alone else self._task(path)

    def _tasks_below(self, folder: Path) -> Iterator[Task]:
        unread: list[Task] = []
        files = [path for path in sorted(_files_below(folder, unread)) if not self._is_output(path)]
        yield from unread
        if not files and not unread:
            yield Task(folder, error=OSError(errno.ENOENT, "holds no files, or only hidden ones"))
        if self.alone:
            yield from map(self._alone, files)
            return
        tasks = list(self._tasks_among(tqdm(files, unit="file", desc="looking", file=sys.stderr, leave=False)))
        yield from tasks
        named = {path for task in tasks for path in (task.path, *task.series)}
        left = [path for path in files if path not in named]
        if not any(task.series for task in tasks):
            yield from map(Task, left)
        elif left:
            where = f"{len(left)} file(s) under {printable(folder)}"
            print(f"lungscope: {where} belong to no series and were left out", file=sys.stderr)

    def _tasks_among(self, files: Iterable[Path]) -> Iterator[Task]:
        """Files that are tasks of their own, and series of more than one, each named by the folder that holds it."""
        files_of: dict[str, list[Path]] = {}
        for path in files:
            match self._look(path):
                case Task() as task:
                    yield task
                case str(uid):
                    files_of.setdefault(uid, []).append(path)
        error = _refusal("a series") if self.of_slice else None
        for members in files_of.values():
            if len(members) > 1:
                folder = Path(os.path.commonpath([member.parent for member in members]))
                yield Task(folder, tuple(members), error)

    def _task(self, path: Path) -> Task:
        looked = self._look(path)
        return looked if isinstance(looked, Task) else Task(path)

    def _look(self, path: Path) -> Task | str | None:
        """A file that is a series of its own or cannot be read; of a slice the UID of its series; None of others."""
        try:
            head = _head(path)
            image = _image(path, head)
            if image is None:
                return self._archive(path) if is_zip(head) else None
            if image.frames > 1:
                return Task(path) if self.of_slice else Task(path, (path,))
            return None if image.is_localizer(1) else image.series_instance_uid
        # Whatever it is: one bad file never ends a batch.
        except Exception as error:
            return Task(path, error=error)

    def _archive(self, path: Path) -> Task:
        return Task(path, (path,), _refusal("an archive") if self.of_slice or self.alone else None)

    def _alone(self, path: Path) -> Task:
        try:
            return self._archive(path) if is_zip(_head(path)) else Task(path)
        except OSError as error:
            return Task(path, error=error)

    def _is_output(self, path: Path) -> bool:
        return self.output is not None and is_same_file(path, self.output)


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file; False where either leads nowhere."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _files_below(folder: Path, unread: list[Task]) -> Iterator[Path]:
    """All but hidden ones, through links too, each file and folder once: links may lead round. Folders that cannot be
    read are added to `unread`."""

    def note(error: OSError) -> None:
        unread.append(Task(Path(error.filename or folder), error=error))

    been: set[tuple[int, int]] = set()

    def is_new(path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:  # whoever opens it will tell
            return True
        known = (status.st_dev, status.st_ino) in been
        been.add((status.st_dev, status.st_ino))
        return not known

    for here, folders, names in os.walk(folder, followlinks=True, onerror=note):
        if is_new(Path(here)):
            folders.sort()
            yield from filter(is_new, (Path(here, name) for name in sorted(names) if not name.startswith(".")))
        else:
            folders.clear()


def _head(path: Path) -> bytes:
    """The first bytes of a file; raises OSError, for what has no end or is read only once too."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "Not a regular file")
    with path.open("rb") as stream:
        return stream.read(SNIFFED_BYTES)


def _image(path: Path, head: bytes) -> DicomImage | None:
    """The CT image in a file, its header only; None for another kind of file; raises the errors of a damaged one."""
    try:
        if sniff(head) != "dicom":
            return None
    except InputError:
        return None
    try:
        return DicomImage.parse(path.read_bytes())
    except BESIDE_SERIES:
        return None


def _refusal(what: str) -> InvalidParameter:
    return InvalidParameter(
        found=f"{what} with an option that is for single slices",
        expected="the file of one slice with --roi or --frame, and no archive with --slices",
        remedy="Name that file, unpacked; or leave the option out to judge the series.",
    )
