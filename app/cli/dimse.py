"""`lungscope dimse`: takes series by C-STORE into the spool of the running service."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from app.audit.chain import ChainLimits
from app.audit.forwarding import Forwarding
from app.audit.syslog import Collector, Header, SyslogSender
from app.audit.trail import AuditTrail, TrailOptions
from app.cli.exits import OK
from app.delivery.database.storage import RESULTS, SPOOL
from app.delivery.database.store import ResultStore
from app.delivery.inbox import Inbox
from app.delivery.spool.spool import Spool, SpoolLimits
from app.dimse.desk import Bounds, Desk
from app.errors import SettingsError, StartupError
from app.imaging.header import quiet_pydicom
from app.private_files import state_folder
from app.security.hosts import is_loopback
from app.security.pseudonyms import load_key, pseudonym
from app.server.tls import server_context
from app.settings import KILOBYTE, MEGABYTE, Settings
from app.signing import SigningKey
from app.telemetry import DimseMetrics, configure_logging

ENDING: Final = (signal.SIGTERM, signal.SIGINT)
logger = logging.getLogger(__name__)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Take in what comes until told to stop; returns the exit code, and raises StartupError."""
    folder = _required_folder(settings)
    try:
        from app.dimse.server import DimseDoor
    except ModuleNotFoundError as error:
        raise SettingsError(
            found=f"no {error.name}", expected="pynetdicom", remedy="Install it: pip install 'lungscope[dimse]'."
        ) from None
    configure_logging(settings.log_level)
    _be_quiet()
    tls = server_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    metrics = DimseMetrics()
    with _trail(settings) as trail:
        desk = Desk(_inbox(folder, settings, metrics), metrics, _bounds(settings), trail)
        try:
            address = (options.host, options.port)
            door = DimseDoor(address, options.aet or settings.dimse_title, settings.dimse_callers, desk, tls)
        except OSError as error:
            raise StartupError(
                found=f"{options.host} port {options.port}, which cannot be listened on: {error.strerror}",
                expected="a free port at an address of this machine",
                remedy="Name another by --host and --port.",
            ) from None
        _show(metrics, options.metrics_port)
        stop = threading.Event()
        for each in ENDING:
            signal.signal(each, lambda *_: stop.set())
        with door.opened(settings.drain_seconds):
            logger.info("DIMSE is taken on %s port %d", options.host, door.port)
            if not is_loopback(options.host) and settings.tls_client_ca is None:
                logger.warning("whoever reaches %s and knows a title in LUNGSCOPE_DIMSE_CALLERS may send", options.host)
            stop.wait()
    return OK


def _required_folder(settings: Settings) -> Path:
    if settings.spool_dir is None:
        raise SettingsError(
            found="no LUNGSCOPE_SPOOL_DIR",
            expected="the folder of the running service, which judges what comes",
            remedy="Set it as for `lungscope serve`.",
        )
    if not settings.dimse_callers:
        raise SettingsError(
            found="no LUNGSCOPE_DIMSE_CALLERS",
            expected="the AE titles of those who may send, between commas",
            remedy="Name the titles of your modalities and archives.",
        )
    return settings.spool_dir


def _be_quiet() -> None:
    """Have no library write past the log format: texts of warnings and errors quote what was sent."""
    warnings.simplefilter("ignore")
    quiet_pydicom()
    threading.excepthook = _thread_failed


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    logger.warning("a thread of an association ended: %s", failure.exc_type.__name__, exc_info=failure.exc_value)


def _inbox(folder: Path, settings: Settings, metrics: DimseMetrics) -> Inbox:
    state_folder(folder)
    spool = Spool(folder / SPOOL, SpoolLimits(*settings.spool_limits))
    store = ResultStore(folder / RESULTS, settings.database)
    metrics.storage_writable.set(store.watch.trouble is None)
    store.watch.on_change = metrics.storage_writable.set
    store.watch.mend = spool.make_places
    hashed = partial(pseudonym, load_key(folder))
    return Inbox(spool, store, hashed, most_bytes=settings.results_mb * MEGABYTE, keep_hours=settings.result_hours)


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        settings.dimse_associations,
        settings.header_seconds,
        settings.dimse_idle_seconds,
        settings.upload_patience_seconds,
        settings.min_rate_kb * KILOBYTE,
        settings.max_study_mb * MEGABYTE,
    )


@contextmanager
def _trail(settings: Settings) -> Iterator[AuditTrail | None]:
    """The chain of this process, if there is an audit trail, and what sends it to a collector."""
    if settings.audit_dir is None:
        yield None
        return
    key = None if settings.signing_key is None else SigningKey.read(settings.signing_key)
    limits = ChainLimits(settings.audit_file_mb * MEGABYTE, settings.audit_days)
    trail = AuditTrail.at(
        settings.audit_dir, TrailOptions(limits, settings.audit_when_full, settings.audit_anchors, key)
    )
    forwarding = None
    if settings.audit_syslog is not None:
        collector = Collector.parse(settings.audit_syslog, settings.ca_file, settings.audit_syslog_certificate)
        header = Header(socket.gethostname(), str(os.getpid()))
        forwarding = Forwarding(lambda: trail.chain, SyslogSender(collector), header, settings.audit_syslog_format)
    trail.start()
    if forwarding is not None:
        forwarding.start()
    try:
        yield trail
    finally:
        if forwarding is not None:
            forwarding.close()
        trail.close()


def _show(metrics: DimseMetrics, port: int | None) -> None:
    """Answer Prometheus, on this machine alone: nobody is asked who they are."""
    if port is not None:
        from prometheus_client import start_http_server

        start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
