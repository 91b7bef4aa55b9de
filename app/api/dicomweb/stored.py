"""Results as DICOMweb names them: those of a study, a series or an instance, and what a request asks of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from app.delivery.worker import Delivery
from app.errors import InvalidParameter, UnknownResult

MAX_FRAMES: Final = 256  # of one request; a series has a few hundred slices and a result a few dozen
FRAME_LIST: Final = re.compile("[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", re.ASCII)
VIEWPORT: Final = re.compile("([1-9][0-9]{0,3}),([1-9][0-9]{0,3})", re.ASCII)


def subject(study: str = "", series: str = "", instance: str = "") -> dict[str, str]:
    """The UIDs of a path, as the audit trail calls them."""
    return {"study": study, "series": series, "instance": instance}


def found_in(delivery: Delivery, *scope: str) -> Sequence[str]:
    """The UIDs of the results of a study, of a series, or of one; raises UnknownResult."""
    if uids := delivery.store.find(*scope):
        return uids
    raise UnknownResult(
        found="no result of that study, series or instance",
        expected="a result of this service that has not expired",
        remedy="GET /dicom-web/studies lists the studies with results; source images are not kept.",
    )


def attributes_of(delivery: Delivery, uids: Sequence[str]) -> Iterator[str]:
    """The data sets of results without their pixels, as DICOM JSON, of those that are still there."""
    return (text for uid in uids if (text := delivery.store.attributes(uid)) is not None)


def frame_numbers(text: str) -> list[int]:
    """1-based frame numbers between commas; raises InvalidParameter."""
    if FRAME_LIST.fullmatch(text) and text.count(",") < MAX_FRAMES:
        return list(map(int, text.split(",")))
    raise InvalidParameter(
        found="a list of frames that is none",
        expected=f"1 to {MAX_FRAMES} frame numbers from 1, between commas",
        remedy="Number of Frames (0028,0008) says how many there are.",
    )


def viewport_of(text: str | None) -> tuple[int, int] | None:
    """Columns and rows into which a picture shall fit, of `viewport` (PS3.18 8.3.5.1.3); raises InvalidParameter."""
    if text is None:
        return None
    if size := VIEWPORT.fullmatch(text):
        return int(size[1]), int(size[2])
    raise InvalidParameter(
        found="a viewport that is no size",
        expected="columns,rows from 1 to 9999",
        remedy="A part of a picture is not cut out.",
    )
