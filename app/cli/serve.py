"""`lungscope serve`: one process, or several workers on one port under uvicorn's supervisor."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.cli.exits import CANNOT_START, OK
from app.cli.models import verified_reader, verified_registry
from app.errors import SettingsError, StartupError
from app.inference.registry import pinned_name
from app.machine import usable_cores
from app.private_files import state_folder
from app.security.hosts import is_loopback
from app.server.load_board import LoadBoard
from app.server.metrics_folder import PAGE, hold, no_shared_room, require_room, reserve, shared_metrics_folder
from app.server.sockets import bound_sockets
from app.server.tls import require_certificate, tls_options
from app.server.worker_process import (
    allow_open_files,
    end_with_parent,
    leave_no_core,
    long_lived_objects,
    use_batch_scheduling,
)
from app.settings import Settings, counts_shared_in

logger = logging.getLogger(__name__)
PASSING_FAILURE: Final = 1  # of a worker that the supervisor shall try to replace again, while others work


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Answer until told to stop; returns the exit code, and raises StartupError."""
    use_batch_scheduling()
    allow_open_files()
    leave_no_core()
    if options.insecure_open:
        settings = settings.model_copy(update={"open": True})
    if settings.spool_dir is not None:
        state_folder(settings.spool_dir)  # every worker would say the same
    with bound_sockets(options.host, options.port) as sockets:
        _require_guard(settings, sockets)
        require_certificate(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        if options.workers == 1:
            _configure(settings, sockets)
            return _alone(options, settings, sockets)
        with shared_metrics_folder() as folder, counts_shared_in(folder):
            _configure(settings, sockets)
            return _supervised(options, settings, folder, sockets)


def _require_guard(settings: Settings, sockets: Sequence[socket]) -> None:
    """Raise SettingsError where others could reach a service that asks nobody who they are, unless that is meant."""
    reachable = [address for each in sockets if not is_loopback(address := each.getsockname()[0])]
    if not reachable or settings.guarded or settings.open:
        return
    raise SettingsError(
        found=f"an address that other machines reach ({reachable[0]}), where anybody may call",
        expected="keys for the callers: LUNGSCOPE_KEYS_FILE, LUNGSCOPE_API_TOKEN or LUNGSCOPE_JWT_ISSUER",
        remedy="See docs/security.md. If whoever reaches it may use it: --insecure-open, or LUNGSCOPE_OPEN=true.",
    )


def _configure(settings: Settings, sockets: Sequence[socket]) -> None:
    # Imports prometheus_client, which looks for the folder of shared metrics then and not later.
    from app.telemetry import configure_logging

    configure_logging(settings.log_level)
    for each in sockets:
        address, port = each.getsockname()[:2]
        logger.info("to answer on %s port %s", address, port)
        if not settings.guarded and not is_loopback(address):
            logger.warning("anybody who reaches %s may use the service", address)


def _alone(options: argparse.Namespace, settings: Settings, sockets: list[socket]) -> int:
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    with long_lived_objects():
        from app.main import create_app

        app = create_app(settings, on_fatal=stop)
    server = uvicorn.Server(_config(app, options, settings))
    _end_when_drained()
    server.run(sockets)
    if failures:
        print(f"lungscope: {failures[0]}", file=sys.stderr)
        return CANNOT_START
    return OK


def _supervised(options: argparse.Namespace, settings: Settings, folder: Path, sockets: list[socket]) -> int:
    from app.server.supervisor import Supervisor, start_failed

    # Here and not in every worker: once.
    require_room(folder, options.workers)
    pinned = _pinned(settings)
    if "threads" not in settings.model_fields_set:
        threads = {"threads": max(1, usable_cores() // options.workers)}
        settings, pinned = (each.model_copy(update=threads) for each in (settings, pinned))
    board = None if settings.server == "stock" else _load_board(options.workers, folder)
    config = _config(partial(worker_app, pinned, folder, board), options, settings, factory=True)
    config.workers = options.workers
    if board is None:
        supervisor = Multiprocess(config, sockets)
    else:
        replacement = partial(worker_app, pinned, folder, board, load_first=True)

        def renew() -> Callable[[], Any]:
            return partial(worker_app, _pinned(settings), folder, board, load_first=True)

        supervisor = Supervisor(config, sockets, replacement, board, folder, renew=renew)
    supervisor.run()
    return CANNOT_START if start_failed(supervisor) else OK


def _pinned(settings: Settings) -> Settings:
    """Settings that name the bundles which are the newest now, verified: workers replaced later serve the same. Raises
    BundleError."""
    registry, tagger = verified_registry(settings), verified_reader(settings).tagger
    names = registry.pinned_names()
    pins = {"model": names.classifier, "detector": names.detector}
    pins |= {"second_look": names.second_look, "view": names.view}
    if tagger is not None:
        pins["tagger"] = pinned_name(tagger.path)
    return settings.model_copy(update=pins)


def _load_board(workers: int, folder: Path) -> LoadBoard:
    try:
        return LoadBoard(workers, folder)
    except OSError as error:  # of semaphores, which the system keeps there
        raise no_shared_room(Path("/dev/shm"), PAGE, error) from None


def worker_app(settings: Settings, metrics_folder: Path, board: LoadBoard | None, *, load_first: bool = False) -> Any:
    """The application of one worker. When its models cannot be used, one of the first ends with STARTUP_FAILURE; a
    later one is tried again, while others serve what they have loaded."""
    end_worker = partial(_end_worker, code=PASSING_FAILURE if load_first else STARTUP_FAILURE)
    hold(metrics_folder)  # until it ends
    end_with_parent()
    with long_lived_objects():
        from app.main import create_app
        from app.telemetry import configure_logging

        configure_logging(settings.log_level)
        try:
            reserve(metrics_folder)
            return create_app(
                settings, on_fatal=end_worker, metrics_folder=metrics_folder, board=board, load_first=load_first
            )
        except StartupError as error:
            end_worker(error)


def _end_worker(error: Exception, code: int) -> None:
    """End at once, so that the supervisor sees this code and no other."""
    print(f"lungscope: {error}", file=sys.stderr, flush=True)
    os._exit(code)


def _config(app: Any, options: argparse.Namespace, settings: Settings, *, factory: bool = False) -> uvicorn.Config:
    own = settings.server == "lungscope"
    return uvicorn.Config(
        app,
        factory=factory,
        host=options.host,
        port=options.port,
        http="app.server.connection:Connection" if own else "httptools",  # imported in each worker
        loop="app.server.loop:ServerLoop" if own else "auto",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        timeout_keep_alive=settings.idle_seconds,
        timeout_worker_healthcheck=settings.hung_seconds,
        # Ours closes who waits longest instead; plain uvicorn can only answer 503.
        limit_concurrency=None if own else settings.max_connections,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=sorted(settings.trusted_proxies),
        **tls_options(settings.tls_certificate, settings.tls_key, settings.tls_client_ca),
    )


def _end_when_drained() -> None:
    """Have a clean end be exit code 0: once drained, uvicorn raises the signal again. Before there is a server to
    drain, a signal ends the process as it does any other."""
    signal.signal(signal.SIGTERM, _drained)
    signal.signal(signal.SIGINT, _drained)


def _drained(_signal: int, _frame: FrameType | None) -> None:
    return
