"""Work for a client that may disconnect before it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.inference.series_lane import SeriesSlot

T = TypeVar("T")


async def while_connected(request: Request, slot: SeriesSlot, judging: Coroutine[Any, Any, T]) -> T:
    """The result of `judging`. If the client disconnects first, wait for the end of the work and raise
    ClientDisconnect."""
    work, gone = asyncio.create_task(judging), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            slot.cancel()
            await asyncio.wait({work})
            raise ClientDisconnect
        return work.result()
    finally:
        gone.cancel()
        work.add_done_callback(forget)


def forget(work: asyncio.Task[Any]) -> None:
    """Read the outcome of abandoned work, or asyncio logs that nobody did."""
    if not work.cancelled():
        work.exception()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
