"""Builds every object of the service, loads and warms the model, drains on shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from app import __version__
from app.api import contract, problems
from app.api.deps import Services
from app.api.middleware import RequestContext
from app.api.routes import docs, health, models, predict
from app.imaging.read import quiet_decoders
from app.inference.backends import Backend
from app.inference.bundle import find_bundle, load_bundle
from app.inference.engine import Engine
from app.inference.model import create_backend
from app.inference.registry import ModelRegistry
from app.settings import Settings
from app.telemetry import Metrics

DESCRIPTION = (
    "Is a lung cancer suspected on this CT slice, how sure is that, why, where, or can it not be told?\n\n"
    "**Research use only. Not a medical device.**"
)
logger = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    backend: Backend | None = None,
    on_fatal: Callable[[Exception], None] | None = None,
) -> FastAPI:
    """Build the service; raises BundleError when the bundle does not match its digests or contract.

    The model itself loads in the background, so that liveness answers meanwhile; should it fail, `on_fatal` is
    called to stop the process.
    """
    quiet_decoders()
    bundle = load_bundle(find_bundle(settings.models_dir, settings.model))
    registry = ModelRegistry(bundle, backend or create_backend(settings.backend, settings.threads))
    services = Services(settings, registry, Engine(settings.threads, settings.queue_limit), Metrics())
    app = FastAPI(
        title="Lungscope",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(services, on_fatal),
    )
    app.state.services = services
    app.openapi = lambda: contract.write(app, guarded=settings.api_token is not None)  # type: ignore[method-assign]  # FastAPI documents this way to change it
    app.add_middleware(RequestContext, metrics=services.metrics)
    problems.install(app, services.metrics)
    for module in (predict, models, health, docs):
        app.include_router(module.router)
    docs.mount_assets(app)
    return app


def _lifespan(
    services: Services, on_fatal: Callable[[Exception], None] | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    async def load() -> None:
        registry, manifest = services.registry, services.registry.bundle.manifest
        try:
            await asyncio.to_thread(registry.load)
        # Whatever a runtime raises while it loads: a process that can never be ready must not linger.
        except Exception as error:
            logger.critical("the model cannot be used: %s", error, exc_info=error)
            if on_fatal is not None:
                on_fatal(error)
            return
        identity = (manifest.name, str(manifest.version), registry.bundle.digest, registry.backend_name)
        services.metrics.model.labels(*identity).set(1)
        logger.info("model ready: %s/%s %s on %s", *identity)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(load())
        yield
        services.registry.stop()
        await loading
        services.engine.close()

    return lifespan
