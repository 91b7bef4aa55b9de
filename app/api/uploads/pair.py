"""Receives the files of two series, of one patient at two times, in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from fastapi import Request

from app.api.uploads.body import BodyLimit, body_chunks, is_form
from app.api.uploads.file_buffer import FileBuffer
from app.api.uploads.form_parts import File, parts_of
from app.api.uploads.slice import merged, query_of, unique
from app.errors import SeriesMissing
from app.judgement.parameters import CONTEXT, KNOWN_OF_COMPARISON

Part = Literal["current", "prior"]
KNOWN: Final = (*KNOWN_OF_COMPARISON, CONTEXT)
PARTS: Final[tuple[Part, Part]] = ("current", "prior")


@dataclass(frozen=True, slots=True, eq=False)
class PairUpload:
    """The files of both series, and the texts of parameters."""

    files: dict[Part, deque[FileBuffer]]
    parameters: dict[str, str]


async def read_pair(request: Request, limit: BodyLimit, most_parts: int) -> PairUpload:
    """Receive both series, each as several parts of one name or as a part with a zip, together within the limit of one
    body. Raises SeriesMissing, and the errors of a form."""
    query = query_of(request)
    content_type = request.headers.get("content-type", "")
    if not is_form(content_type):
        raise _missing("a body that is no form")
    files: dict[Part, deque[FileBuffer]] = {part: deque() for part in PARTS}
    fields: list[tuple[str, str]] = []
    with limit.arrivals.begin() as arrival:
        async for part in parts_of(content_type, body_chunks(request, limit, arrival), KNOWN, most_parts):
            if not isinstance(part, File):
                fields.append((part.name, part.text))
            elif (name := _part_of(part.name)) is None:
                raise _missing("a file in a part of another name")
            else:
                files[name].append(part.content)
    for name in PARTS:
        if not files[name]:
            raise _missing(f"no file in a part named {name}")
    return PairUpload(files, merged(query, unique(fields)))


def _part_of(name: str) -> Part | None:
    return next((part for part in PARTS if part == name), None)


def _missing(found: str) -> SeriesMissing:
    return SeriesMissing(
        found=found,
        expected="a form whose parts named current and prior hold the files of one series each, or one zip each",
        remedy="With curl: -F current=@later.zip -F prior=@earlier.zip (mind the @).",
    )
