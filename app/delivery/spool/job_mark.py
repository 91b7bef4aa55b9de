"""The mark of a waiting series that one job alone has brought, and may withdraw."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.private_files import private_opener

MARK: Final = ".job"


def mark(place: Path, job: str) -> None:
    """Say that all instances in the folder of a series came with this job."""
    with open(place / MARK, "w", encoding="ascii", opener=private_opener) as file:
        file.write(job)


def unmark(place: Path) -> None:
    """Say that others bring instances too."""
    (place / MARK).unlink(missing_ok=True)


def marked(place: Path) -> str | None:
    """The job that brought all of a waiting series; None where there is none, or no such series."""
    try:
        return (place / MARK).read_text("ascii")
    except (OSError, UnicodeError):
        return None
