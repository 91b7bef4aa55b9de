"""Builds every object of the service, loads and warms the model, drains on shutdown."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request

from app import __version__
from app.api import contract, problems, start_page
from app.api.deps import Services, actor_of
from app.api.dialects.served import networks_of
from app.api.early_answers import EarlyAnswers, malformed_answers
from app.api.guard import quota, refused_with, trusted_hosts, who_may_call
from app.api.judging import judge_of
from app.api.middleware import BelowRoot, HeadAsGet, RequestContext, WellFormed
from app.api.neighbours import allow_scripts_of, require_free
from app.api.optional_models import load_optional, report_reader, second_opinions
from app.api.record_keeping import records_of
from app.api.routes import (
    comparisons,
    dialects,
    dicomweb,
    docs,
    feedback,
    health,
    jobs,
    models,
    pixels,
    predict,
    pull,
    reports,
    results,
    retrieval,
    studies,
    versions,
    viewer,
    workitems,
)
from app.api.routing import NoRoute
from app.api.spooling import delivery_of
from app.api.version_keeping import loaded_versions
from app.api.watching import watch_of
from app.cell.cells import CellLimits, Cells, decoder_of
from app.imaging.decoder import InProcess
from app.imaging.read import quiet_decoders, spare_threads
from app.inference.arrivals import Arrivals
from app.inference.backends import Backend
from app.inference.engine import Engine
from app.inference.model import create_backend
from app.inference.naming import name_model, name_models
from app.inference.registry import Backends, BundleNames, ModelRegistry
from app.inference.second_opinion import SecondOpinions
from app.inference.series_lane import SeriesLane
from app.judgement.shadow import IdleRoom, Shadow
from app.machine import own_cores
from app.security.hosts import TrustedHosts
from app.server.bounds import ConnectionBounds
from app.server.connections import Connections, Reason
from app.server.cores import Cores
from app.server.hooks import CONNECTIONS, EARLY_ANSWER, MALFORMED, PASS_ON, PULSE, WANTS_WHOLE_BODY
from app.server.load_board import LoadBoard
from app.server.pulse import Pulse
from app.server.sharing import Sharing
from app.settings import KILOBYTE, MEGABYTE, Settings
from app.telemetry import Metrics
from app.text.reader import ReportReader
from app.versions.kept import as_kept

# Python's own 5 ms is what a single slice would wait, several times over, whenever a series computes beside it.
THREAD_SWITCH_S: Final = 0.0005
CONTRACT_AFTER_S: Final = 1.0
logger = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None,
    *,
    backends: Backends | None = None,
    tagger_backend: Backend | None = None,
    sequence_backend: Backend | None = None,
    beside_backend: Callable[[], Backend] | None = None,
    on_fatal: Callable[[Exception], None] | None = None,
    metrics_folder: Path | None = None,
    board: LoadBoard | None = None,
    load_first: bool = False,
) -> FastAPI:
    """Build the service, by default with the settings of the environment; any ASGI server can run it.

    Raises SettingsError, and BundleError when a bundle is missing or does not match its digests or contract.

    The models themselves load in the background, so that liveness answers meanwhile, or with `load_first` before any
    request is taken; should one fail, `on_fatal` is called to stop the process. Workers share `metrics_folder` and
    `board`.
    """
    settings = as_kept(settings or Settings.load())
    quiet_decoders()
    spare_threads()
    sys.setswitchinterval(THREAD_SWITCH_S)
    registry = _registry(settings, backends)
    metrics = Metrics(metrics_folder)
    decoder = _decoder(settings, metrics)
    # Another process has not the keys of a connection that is encrypted.
    passes = board is not None and "connection-passing" not in settings.without and settings.tls_certificate is None
    sharing = Sharing(board, predict.ROUTE.path, metrics.handed_over.inc) if board is not None and passes else None
    cores = _cores(settings, board, sharing)
    optional = report_reader(settings, tagger_backend), second_opinions(settings, sequence_backend)
    opened = beside_backend or partial(create_backend, settings.backend, settings.threads)
    services = _services(settings, registry, metrics, sharing, cores, decoder, *optional, opened)
    app = FastAPI(
        title="Lungscope",
        version=__version__,
        description=start_page.description(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=None,  # the docs pages bring it, written once
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # FastAPI would lead to whatever host the caller names
        lifespan=_lifespan(services, decoder, sharing, cores, on_fatal, load_first=load_first),
    )
    app.state.services = services
    off = [] if settings.spool_dir is not None else [jobs.PATH, pull.PATH, dicomweb.ROOT]
    asked = refused_with(services.callers, settings)
    app.openapi = lambda: contract.write(app, guarded=services.callers.guarded, asked=asked, off=off)  # type: ignore[method-assign]  # FastAPI documents this way to change it
    _add_routes(app, services, trusted_hosts(settings))
    return app


def _add_routes(app: FastAPI, services: Services, hosts: TrustedHosts) -> None:
    metrics = services.metrics

    def refused(request: Request, code: str) -> None:
        route = request.scope.get("route")
        services.records.refused_request(actor_of(request), getattr(route, "path", "unknown"), code)

    for error, handler in problems.handlers(metrics, refused).items():
        app.add_exception_handler(error, handler)
    if root_path := services.settings.root_path:
        require_free(root_path)
        app.add_middleware(BelowRoot, root_path=root_path)
    app.add_middleware(HeadAsGet)
    app.add_middleware(WellFormed, metrics=metrics, hosts=hosts)
    if origins := services.settings.cors_origins:
        allow_scripts_of(app, origins)
    app.add_middleware(RequestContext, metrics=metrics)
    # Slices come most often: the route that is looked at first is theirs.
    of_spool = (jobs, pull, dicomweb, results, retrieval, workitems)
    of_series = (studies, comparisons, pixels)
    of_models = (models, versions, dialects)
    for module in (predict, *of_series, reports, feedback, *of_models, health, *of_spool, docs, viewer):
        # As they are: `include_router` builds each anew for each application, a fifth of a second in all.
        app.router.routes.extend(module.router.routes)
    docs.mount_assets(app)
    viewer.mount_assets(app)
    app.router.default = NoRoute(app.router)


def _registry(settings: Settings, backends: Backends | None) -> ModelRegistry:
    names = BundleNames(settings.model, settings.detector, settings.second_look, settings.view)
    backends = backends or Backends.create(settings.backend, settings.threads)
    return ModelRegistry.verified(settings.models_dir, names, backends, settings.operating_point, settings.trusted_key)


def _services(
    settings: Settings,
    registry: ModelRegistry,
    metrics: Metrics,
    sharing: Sharing | None,
    cores: Cores,
    decoder: Cells | InProcess,
    reader: ReportReader,
    opinions: SecondOpinions,
    beside_backend: Callable[[], Backend],
) -> Services:
    def series_changed(series: int) -> None:
        metrics.series_in_memory.set(series)
        if sharing is not None:
            sharing.publish_series(series)

    changed = (lambda _: None) if sharing is None else sharing.publish_slices
    engine = Engine(settings.threads, settings.queue_limit, settings.queue_mb * MEGABYTE, changed)
    folder = settings.spool_dir
    reserved = 0 if folder is None else 1
    lane = SeriesLane(settings.max_series, series_changed, engine.give_way, cores.release, reserved)
    records = records_of(settings, registry, metrics)
    watch = watch_of(settings, registry, metrics)
    shadow = Shadow(metrics, settings.shadow_share, IdleRoom(engine, lane), cores.release)
    judge = judge_of(settings, registry, metrics, opinions, decoder, records, watch, shadow)
    delivery = None if folder is None else delivery_of(folder, settings, judge, lane, metrics, records)
    callers = who_may_call(settings)
    received = Arrivals(settings.study_queue_mb * MEGABYTE)
    places = quota(callers, settings)
    networks = networks_of(registry, reader, opinions, settings, beside_backend)
    told = metrics, records
    versions = loaded_versions(registry, networks, shadow, told, settings, beside_backend, cores.release)
    served = (networks[0], versions, delivery, reader, records, watch)
    return Services(settings, registry, judge, engine, lane, metrics, received, callers, places, *served)


def _decoder(settings: Settings, metrics: Metrics) -> Cells | InProcess:
    limits = CellLimits(settings.decoder_mb * MEGABYTE, settings.decoder_seconds, settings.threads)
    return decoder_of(settings.decoding, limits, lambda cause: metrics.decoders_lost(cause).inc())


def _cores(settings: Settings, board: LoadBoard | None, sharing: Sharing | None) -> Cores:
    """All cores, if the engines of all workers that know each other have a thread for each and no more; else none."""
    own = own_cores()
    workers = 1 if board is None else board.workers
    pinned = settings.server == "lungscope" and "core-pinning" not in settings.without
    if not pinned or len(own) != settings.threads * workers or (workers > 1 and sharing is None):
        return Cores(())
    return Cores(own) if sharing is None else Cores(own, sharing.rank)


def _lifespan(
    services: Services,
    decoder: Cells | InProcess,
    sharing: Sharing | None,
    cores: Cores,
    on_fatal: Callable[[Exception], None] | None,
    *,
    load_first: bool,
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        services.records.start()
        if services.watch is not None:
            services.watch.start()
        loading = asyncio.create_task(_get_ready(services, decoder, sharing, cores, on_fatal))
        writing = asyncio.create_task(_write_contract(app, loading))
        if load_first:
            await loading
        yield _asked_of_server(services, sharing)
        services.registry.stop()
        services.metrics.ready.set(0)
        writing.cancel()
        await asyncio.wait([writing])
        await loading
        cores.stop()
        await _drain(services, sharing)
        decoder.close()

    return lifespan


def _asked_of_server(services: Services, sharing: Sharing | None) -> dict[str, Any]:
    """What the shipped server finds in the state of the lifespan (`app.server.hooks`)."""
    without = services.settings.without
    settings = services.settings
    state: dict[str, Any] = {
        MALFORMED: malformed_answers(services.metrics, settings),
        CONNECTIONS: _connections(settings, services.metrics),
        PULSE: Pulse(asyncio.get_running_loop(), services.engine.stuck),
    }
    if "body-buffer" not in without:
        state[WANTS_WHOLE_BODY] = True
    # It knows nothing of other origins, whose scripts could not read its answer.
    if "early-answers" not in without and not settings.cors_origins:
        state[EARLY_ANSWER] = EarlyAnswers(services, predict.ROUTE)
    if sharing is not None:
        state[PASS_ON] = sharing.pass_on
    return state


def _connections(settings: Settings, metrics: Metrics) -> Connections:
    def count(reason: Reason) -> None:
        metrics.connections_closed(reason).inc()

    bounds = ConnectionBounds(
        head_bytes=settings.max_header_kb * KILOBYTE,
        head_lines=settings.max_headers,
        target_bytes=settings.max_url_kb * KILOBYTE,
        head_s=settings.header_seconds,
        idle_s=settings.idle_seconds,
        patience_s=settings.upload_patience_seconds,
        min_rate=settings.min_rate_kb * KILOBYTE,
        connections=settings.max_connections,
        connections_of_address=settings.max_connections_per_address,
    )
    return Connections(bounds, count)


async def _write_contract(app: FastAPI, loading: asyncio.Task[None]) -> None:
    """Write the contract once, so that nobody waits for it; a while after what loads, which it would hold up."""
    await asyncio.wait([loading])
    await asyncio.sleep(CONTRACT_AFTER_S)
    await asyncio.to_thread(contract.written, app)


async def _get_ready(
    services: Services,
    decoder: Cells | InProcess,
    sharing: Sharing | None,
    cores: Cores,
    on_fatal: Callable[[Exception], None] | None,
) -> None:
    """Load the models and begin what needs them, or report why that cannot be."""
    registry = services.registry
    decoder.launch()
    await services.versions.load()
    named = partial(name_model, services.metrics)
    await asyncio.to_thread(load_optional, services.reader, services.judge.opinions, named)
    try:
        await asyncio.to_thread(registry.load)
    # Whatever a runtime raises while it loads: a process that can never be ready must not linger.
    except Exception as error:
        logger.critical("the model cannot be used: %s", error, exc_info=error)
        if on_fatal is not None:
            on_fatal(error)
        return
    name_models(registry, services.metrics)
    await services.versions.follow()
    if services.delivery is not None:
        services.delivery.start()
    if sharing is not None:
        await sharing.start()
    await asyncio.to_thread(decoder.start)
    # Last: threads that a pinned event loop starts, those of the runtime and of deliveries, would keep to its core too.
    cores.start(services.engine.start())
    services.records.began(registry)
    services.metrics.ready.set(1)
    origin = "the bundle's" if registry.site_threshold is None else "set by LUNGSCOPE_OPERATING_POINT"
    logger.info("model ready; operating point %.4f, %s", registry.threshold, origin)


async def _drain(services: Services, sharing: Sharing | None) -> None:
    """End what was begun, taking nothing new: connections of other workers, the shadow, the series, what is at work."""
    if sharing is not None:
        await sharing.stop()
    await services.versions.close()
    with services.delivery.stopping() if services.delivery is not None else nullcontext():
        services.lane.close()
    services.engine.close()
    if services.watch is not None:
        services.watch.close()
    services.records.ended()
