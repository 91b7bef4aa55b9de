"""A generated archive: folders with a chest series each, as many as are asked for. No patient."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from phantoms.series import SIZE_PX, SPACING_MM, slice_file
from phantoms.slices import chest

SHOWN: Final = range(4, 12)  # of the phantom series: the nodule with slices on both sides
PER_FOLDER: Final = 1000  # series below one folder
FIRST: Final = 10**38  # all UIDs have one length, so that a file is made from another by putting its own in


def write_archive(folder: Path, series: int) -> None:
    """Write so many series of eight slices; every second one without a nodule."""
    for number in range(series):
        write_series(folder / f"{number // PER_FOLDER:04d}" / f"{number:06d}", number)


def write_series(folder: Path, number: int) -> None:
    """Write the series of this number into a folder of its own."""
    folder.mkdir(parents=True)
    for place, index in enumerate(SHOWN):
        (folder / f"{place}.dcm").write_bytes(archived_slice(number, index))


def archived_slice(number: int, index: int) -> bytes:
    """One slice, of SHOWN, of the series of this number."""
    own = number * len(SHOWN) + index - SHOWN.start
    made = _template(index, nodule=number % 2 == 0)
    return (
        made.replace(_uid(1, 0), _uid(1, number)).replace(_uid(2, 0), _uid(2, own)).replace(_uid(3, 0), _uid(3, number))
    )


def _uid(kind: int, number: int) -> bytes:
    return f"2.25.{kind * FIRST + number}".encode()


@cache
def _template(index: int, *, nodule: bool) -> bytes:
    uids = {
        "SeriesInstanceUID": _uid(1, 0).decode(),
        "SOPInstanceUID": _uid(2, 0).decode(),
        "StudyInstanceUID": _uid(3, 0).decode(),
    }
    hu = None if nodule else chest([], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=index)
    return slice_file(index, hu, **uids)
