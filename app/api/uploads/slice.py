"""The one image and the parameters of a request, sent as a form or as a raw body. Nothing touches the disk."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.uploads.body import BodyLimit, bounded_body, read_body
from app.api.uploads.form_parts import MAX_FIELD_BYTES, MAX_FIELDS, is_form
from app.errors import FileMissing, InvalidParameter, MalformedForm


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of one file and the texts of all parameters."""

    data: bytes | memoryview
    parameters: dict[str, str]


async def read_upload(request: Request, limit: BodyLimit) -> Upload:
    """Read one image with its parameters; raises the errors of `app.errors` for what cannot be one."""
    query = unique(request.query_params.multi_items())
    if is_form(request.headers.get("content-type", "")):
        return await _read_form(request, query, limit)
    return Upload(await read_body(request, limit), query)


async def _read_form(request: Request, query: dict[str, str], limit: BodyLimit) -> Upload:
    parser = MultiPartParser(
        request.headers,
        bounded_body(request, limit),
        max_files=2,  # one too many, to say so
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    parser.spool_max_size = limit.max_bytes + 1  # larger than any body: a file never spills to disk
    try:
        form = await parser.parse()
    # python-multipart and Starlette raise these for what does not follow the syntax.
    except (MultiPartException, UnicodeDecodeError, KeyError):
        raise MalformedForm(
            found="a multipart body that does not follow its syntax or has a field that is too long",
            expected="multipart/form-data (RFC 7578) with the image as a file part",
            remedy="With curl: -F file=@slice.dcm (mind the @).",
        ) from None
    try:
        fields = unique([(name, value) for name, value in form.multi_items() if isinstance(value, str)])
        return Upload(_only_file(form), merged(query, fields))
    finally:
        await form.close()


def _only_file(form: FormData) -> bytes:
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise FileMissing(
            found=f"{len(files)} file parts" if files else "no file part",
            expected="one file, under any field name",
            remedy="With curl: -F file=@slice.dcm (mind the @). Send several slices one by one.",
        )
    # Read directly: it is in memory, and UploadFile.read would go through a thread for it.
    return files[0].file.read()


def merged(query: dict[str, str], fields: dict[str, str]) -> dict[str, str]:
    """Parameters from query and form; raises InvalidParameter where they contradict each other."""
    if any(query[name] != fields[name] for name in query.keys() & fields.keys()):
        raise InvalidParameter(
            found="a parameter with one value in the query and another in the form",
            expected="each parameter once",
            remedy="Send it in one place.",
        )
    return {**query, **fields}


def unique(items: list[tuple[str, str]]) -> dict[str, str]:
    """Parameters by name; raises InvalidParameter for one given twice."""
    if len({name for name, _ in items}) != len(items):
        raise InvalidParameter(found="a parameter given twice", expected="each parameter once", remedy="Send it once.")
    return dict(items)
