"""Reads the one image and the parameters of a request, from a form or a raw body, in memory only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import Request

from app.api.uploads.body import BodyLimit, body_of, is_form
from app.api.uploads.form_parts import form_of_one
from app.errors import InvalidParameter
from app.judgement.parameters import CONTEXT, KNOWN

LARGE_BYTES: Final = 4 << 20  # larger forms may take longer than others can wait for, when made for that


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of one file and the texts of all parameters."""

    data: bytes | memoryview
    parameters: dict[str, str]


async def read_upload(request: Request, limit: BodyLimit) -> Upload:
    """Read one image and its parameters from a request; raises the errors of `app.errors` for a body that is not an
    image."""
    query = query_of(request)
    content_type = request.headers.get("content-type", "")
    body = await body_of(request, limit)
    if not is_form(content_type):
        return Upload(body, query)
    read = partial(form_of_one, content_type, body, (*KNOWN, CONTEXT))
    data, fields = read() if len(body) <= LARGE_BYTES else await asyncio.to_thread(read)
    return Upload(data, merged(query, unique(fields)))


def query_of(request: Request) -> dict[str, str]:
    """The parameters of the query; raises InvalidParameter for one twice, and for what belongs into no address."""
    query = unique(request.query_params.multi_items())
    if CONTEXT in query:
        raise InvalidParameter(
            found=f"{CONTEXT} in the address, which is logged by whatever it passes",
            expected=f"{CONTEXT} as a part of a form",
            remedy=f"Send a form, with curl: -F file=@slice.dcm -F {CONTEXT}='{{…}}'.",
        )
    return query


def merged(query: dict[str, str], fields: dict[str, str]) -> dict[str, str]:
    """The parameters of query and form together; raises InvalidParameter when they contradict each other."""
    if any(query[name] != fields[name] for name in query.keys() & fields.keys()):
        raise InvalidParameter(
            found="a parameter with one value in the query and another in the form",
            expected="each parameter once",
            remedy="Send it in one place.",
        )
    return {**query, **fields}


def unique(items: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name; raises InvalidParameter for a name that comes twice."""
    if len({name for name, _ in items}) != len(items):
        raise InvalidParameter(found="a parameter given twice", expected="each parameter once", remedy="Send it once.")
    return dict(items)
