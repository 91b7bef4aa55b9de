"""Whether the service may get traffic, and why not."""

from __future__ import annotations

import asyncio

from fastapi import Response

from app.api.deps import Services
from app.api.schemas import Health
from app.watch.watch import described


async def readiness(services: Services, response: Response) -> Health:
    """The state of models, disks, audit trail and watch; the response gets 503 where there may be no traffic."""
    status = services.registry.status
    reason = f"model {status}"
    if status == "ready":
        trouble = None if services.delivery is None else await asyncio.to_thread(services.delivery.watch.look)
        trail = services.records.trail
        unrecorded = None if trail is None or trail.trouble is None else f"audit cannot be written: {trail.trouble}"
        drifted = [] if services.watch is None else [described(each) for each in services.watch.drifted]
        if services.watch is not None and services.watch.stops:
            return _unavailable(response, "; ".join(drifted))
        if trouble is None and services.records.may_begin():
            damaged = await asyncio.to_thread(services.registry.unserved.damaged)
            remarks = [*([] if unrecorded is None else [unrecorded]), *(f"not served: {each}" for each in damaged)]
            remarks += drifted
            return Health(status="ok", reason="; ".join([reason, *remarks]))
        reason = unrecorded if trouble is None and unrecorded else f"spool and results cannot be written: {trouble}"
    return _unavailable(response, reason)


def _unavailable(response: Response, reason: str) -> Health:
    response.status_code = 503
    response.headers["Retry-After"] = "2"
    return Health(status="unavailable", reason=reason)
