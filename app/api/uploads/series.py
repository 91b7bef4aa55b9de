"""Reads the files of a series during the upload: decodes each as soon as it is complete, and drops its bytes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from app.api.uploads.body import BodyLimit, body_chunks, check_size, is_form
from app.api.uploads.file_buffer import FileBuffer
from app.api.uploads.form_parts import Field, parts_of
from app.api.uploads.report import require_characters
from app.api.uploads.slice import merged, unique
from app.errors import EmptyInput, InvalidParameter
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from app.inference.engine import SeriesSlot
from app.inference.series import Cancelled
from app.judgement.formats import Headers
from app.judgement.parameters import KNOWN_OF_SERIES, REPORT


@dataclass(frozen=True, slots=True, eq=False)
class StudyUpload:
    """One series, the texts of its parameters, the milliseconds that decoding took, the headers that were kept, and the
    text of the report that came with it."""

    volume: CTVolume
    parameters: dict[str, str]
    decode_ms: float
    headers: Headers
    report: str | None = None


async def read_study(
    request: Request, builder: SeriesBuilder, slot: SeriesSlot, limit: BodyLimit, report_limit: BodyLimit
) -> StudyUpload:
    """Read a series and its parameters from a request; raises the errors of `app.errors` for a body that is not a
    series."""
    query = unique(request.query_params.multi_items())
    content_type = request.headers.get("content-type", "")
    body = body_chunks(request, limit)
    fields: list[tuple[str, str]] = []
    report: str | None = None
    decode_ms = 0.0
    if is_form(content_type):
        async for part in parts_of(content_type, body, (*KNOWN_OF_SERIES, REPORT)):
            if isinstance(part, Field) and part.name == REPORT:
                report = _report(part.text, report, report_limit)
            elif isinstance(part, Field):
                fields.append((part.name, part.text))
            else:
                decode_ms += await slot.run(partial(_take, part.content, builder, slot))
    else:
        received = FileBuffer()
        async for chunk in body:
            received.append(chunk)
        if not len(received):
            raise EmptyInput(found="no bytes", expected="a CT series", remedy="Check that the files were attached.")
        decode_ms += await slot.run(partial(_take, received, builder, slot))
    parameters = merged(query, unique(fields))
    return StudyUpload(await slot.run(builder.build), parameters, decode_ms, builder.headers, report)


def _report(text: str, before: str | None, limit: BodyLimit) -> str | None:
    """The text of a part; None for an empty one. Raises InvalidParameter, InputTooLarge, MalformedText."""
    if before is not None:
        raise InvalidParameter(found="two reports", expected="one report", remedy="Send it once.")
    if not text.strip():
        return None
    check_size(len(text.encode()), limit)
    require_characters(text)
    return text


def _take(received: FileBuffer, builder: SeriesBuilder, slot: SeriesSlot) -> float:
    """Give a file, or every file of an archive, to the builder; returns milliseconds."""
    started = time.perf_counter()
    for data in received.files(builder.decoder):
        if slot.cancelled():
            raise Cancelled
        builder.add(data)
    return (time.perf_counter() - started) * 1000
