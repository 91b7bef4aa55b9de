"""A request's turn on the engine: its body is received, and work on it waits in the bounded queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.deps import Services
from app.api.uploads.body import BodyLimit, announced_bytes, body_of, has_left
from app.inference.engine import Abandoned

T = TypeVar("T")


async def in_turn(request: Request, services: Services, limit: BodyLimit, work: Callable[[bytes | memoryview], T]) -> T:
    """What `work` makes of a request's body, in a thread of the engine; raises its errors, those of a body,
    Overloaded and ClientDisconnect."""
    with services.engine.coming(announced_bytes(request)):
        body = await body_of(request, limit)
    try:
        return await services.engine.submit(partial(work, body), len(body), partial(has_left, request))
    except Abandoned:
        raise ClientDisconnect from None
