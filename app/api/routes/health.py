"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.deps import ServicesDep, authorise
from app.api.readiness import readiness
from app.api.schemas import Health

router = APIRouter(tags=["operations"])
OK: Final = {"example": {"status": "ok", "reason": "model ready"}}
DOWN: Final = {"example": {"status": "unavailable", "reason": "model loading"}}
LIVES: Final[dict[int | str, dict[str, object]]] = {
    200: {"content": {"application/json": OK}},
    503: {
        "model": Health,
        "description": "A thread has been at one slice for minutes.",
        "content": {"application/json": {"example": {"status": "unavailable", "reason": "a thread stands still"}}},
    },
}
NOT_READY: Final[dict[int | str, dict[str, object]]] = {
    200: {"content": {"application/json": OK}},
    503: {"model": Health, "description": "Not ready, and why.", "content": {"application/json": DOWN}},
}


@router.get("/health", summary="Overall health", responses=NOT_READY)
async def health(services: ServicesDep, response: Response) -> Health:
    """The same as readiness."""
    return await readiness(services, response)


@router.get("/health/live", summary="Does the process do its work?", responses=LIVES)
async def live(services: ServicesDep, response: Response) -> Health:
    """200 while the process answers and no thread is stuck; it does not depend on the model. Restart it when this
    fails."""
    if not services.engine.stuck():
        return Health(status="ok", reason="process answers")
    response.status_code = 503
    return Health(status="unavailable", reason="a thread stands still")


@router.get("/health/ready", summary="May it get traffic?", responses=NOT_READY)
async def ready(services: ServicesDep, response: Response) -> Health:
    """200 once the model has passed its golden case; 503 with the reason before that, while stopping, and while the
    disk of spool and results, or that of the audit trail where it must be written, cannot be. The reason also names
    newer bundles on the disk that are damaged."""
    return await readiness(services, response)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    dependencies=[Depends(authorise)],
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus text.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "lungscope_ready 1.0"}},
        }
    },
)
async def metrics(services: ServicesDep) -> Response:
    """Requests, latency by stage, decisions and problems, of all workers; no patient data."""
    return Response(await asyncio.to_thread(services.metrics.text), media_type=CONTENT_TYPE_LATEST)
