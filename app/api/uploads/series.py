"""Receives the files of a series in memory, and decodes them once all are there: each is dropped when it is decoded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from app.api.uploads.body import BodyLimit, body_chunks, check_size, is_form
from app.api.uploads.file_buffer import FileBuffer
from app.api.uploads.form_parts import File, parts_of
from app.api.uploads.report import require_characters
from app.api.uploads.slice import merged, query_of, unique
from app.errors import ArchiveTooLarge, EmptyInput, InputError, InvalidParameter
from app.imaging.chunked import FileBytes
from app.imaging.decoder import Decoder
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from app.inference.series import Cancelled
from app.judgement.parameters import ASYNC, CONTEXT, KNOWN_OF_SERIES, REPORT

MAX_INFLATED_BYTES: Final = 2 << 30  # of all files of a request, as of one archive


@dataclass(frozen=True, slots=True, eq=False)
class StudyUpload:
    """The files of one series in memory, the texts of its parameters, and the text of the report that came with it."""

    files: deque[FileBuffer]
    parameters: dict[str, str]
    report: str | None = None


async def read_study(request: Request, limit: BodyLimit, report_limit: BodyLimit, most_parts: int) -> StudyUpload:
    """Receive a series and its parameters; raises the errors of `app.errors` for a body that cannot be one."""
    query = query_of(request)
    content_type = request.headers.get("content-type", "")
    fields: list[tuple[str, str]] = []
    files: deque[FileBuffer] = deque()
    report: str | None = None
    with limit.arrivals.begin() as arrival:
        body = body_chunks(request, limit, arrival)
        if is_form(content_type):
            async for part in parts_of(content_type, body, (*KNOWN_OF_SERIES, REPORT, CONTEXT), most_parts):
                if isinstance(part, File):
                    files.append(part.content)
                elif part.name == REPORT:
                    report = _report(part.text, report, report_limit)
                else:
                    fields.append((part.name, part.text))
        else:
            files.append(FileBuffer())
            async for chunk in body:
                files[0].append(chunk)
            if not len(files[0]):
                raise EmptyInput(found="no bytes", expected="a CT series", remedy="Check that the files were attached.")
    if any(name == ASYNC for name, _ in fields):
        raise InvalidParameter(
            found=f"{ASYNC} as a part of the form",
            expected=f"{ASYNC} in the address, which is read before the files come",
            remedy=f"Post to /v1/studies?{ASYNC}=true.",
        )
    return StudyUpload(files, merged(query, unique(fields)), report)


def decode(files: deque[FileBuffer], builder: SeriesBuilder, cancelled: Callable[[], bool]) -> tuple[CTVolume, float]:
    """The volume in the files, each of which is dropped once it is decoded, and the milliseconds that this took.

    Raises the errors of a series that is none, ArchiveTooLarge for archives that inflate to too much together, and
    Cancelled.
    """

    def go_on() -> None:
        if cancelled():
            raise Cancelled

    started = time.perf_counter()
    for data in unpacked(files, builder.decoder):
        go_on()
        builder.add(data, go_on=go_on)
    return builder.build(), (time.perf_counter() - started) * 1000


def unpacked(files: deque[FileBuffer], decoder: Decoder) -> Iterator[FileBytes | InputError]:
    """The files of a request, those in archives among them, each dropped when the next one is asked for; an error
    stands for one that cannot be had. Raises ArchiveTooLarge for archives that inflate to too much together."""
    left = MAX_INFLATED_BYTES
    while files:
        for data in files.popleft().files(decoder):
            left -= 0 if isinstance(data, InputError) else len(data)
            if left < 0:
                raise ArchiveTooLarge(
                    found=f"files of more than {MAX_INFLATED_BYTES >> 20} MB together",
                    expected="the files of one CT series",
                    remedy="Send one series at a time, without other files.",
                )
            yield data


def _report(text: str, before: str | None, limit: BodyLimit) -> str | None:
    """The text of a part; None for an empty one. Raises InvalidParameter, InputTooLarge, MalformedText."""
    if before is not None:
        raise InvalidParameter(found="two reports", expected="one report", remedy="Send it once.")
    if not text.strip():
        return None
    check_size(len(text.encode()), limit)
    require_characters(text)
    return text
