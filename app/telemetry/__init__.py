"""Logs without patient data, the request id, and the metrics."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.telemetry.labels import by_labels
from app.telemetry.versions import ShadowCounts, VersionMetrics, shadow_counts

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

LATENCY_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SERIES_BUCKETS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0, 600.0)
SLICES_BUCKETS: Final = (16, 32, 64, 128, 256, 512, 1024, 2048)
QUIET_LOGGERS: Final = ("pydicom", "pynetdicom", "PIL", "uvicorn.access")  # they quote values, paths or addresses


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request id, and the exception's type and place."""

    def format(self, record: logging.LogRecord) -> str:
        """Format without the exception's message: it may quote what was sent."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            entry["exception"] = record.exc_info[0].__name__
            entry["raised_at"] = _places(record)
        return json.dumps({k: v for k, v in entry.items() if v is not None}, ensure_ascii=False)


def _places(record: logging.LogRecord) -> list[str]:
    places = []
    traceback = record.exc_info[2] if record.exc_info else None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places


def configure_logging(level: str) -> None:
    """Send all logs to standard error as JSON lines and silence loggers that quote what was sent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET_LOGGERS:
        quiet = logging.getLogger(name)
        quiet.setLevel(logging.CRITICAL + 1)
        quiet.propagate = False


def worker_restarts(registry: CollectorRegistry) -> Counter:
    """The one metric that the workers' supervisor counts."""
    return Counter("lungscope_worker_restarts", "Workers that died and were replaced.", registry=registry)


class _RequestMetrics:
    """What every request counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = by_labels(
            Counter("lungscope_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
        )
        self.in_flight = Gauge(
            "lungscope_requests_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.latency = by_labels(
            Histogram(
                "lungscope_request_seconds",
                "Time from the first byte of a request to the last of its answer.",
                ["route"],
                buckets=LATENCY_BUCKETS_S,
                registry=registry,
            )
        )
        self.stages = by_labels(
            Histogram(
                "lungscope_stage_seconds",
                "Time in one stage of a prediction.",
                ["stage"],
                buckets=LATENCY_BUCKETS_S,
                registry=registry,
            )
        )
        self.handed_over = Counter(
            "lungscope_slices_handed_over",
            "Slices that came to a busy worker and went to another, with their connection.",
            registry=registry,
        )
        self.decoders_lost = by_labels(
            Counter(
                "lungscope_decoders_lost",
                "Processes that decode which ended, or were ended, before their time.",
                ["cause"],
                registry=registry,
            )
        )
        self.network_inputs = by_labels(
            Counter(
                "lungscope_network_inputs",
                "Inputs that clients had a network run on, without a judgement.",
                ["model", "version"],
                registry=registry,
            )
        )
        self.decisions = by_labels(
            Counter("lungscope_decisions", "Predictions by decision.", ["decision"], registry=registry)
        )
        self.connections_closed = by_labels(
            Counter(
                "lungscope_connections_closed",
                "Connections closed because of what their clients owe: head, next, rest, taking; or for room.",
                ["reason"],
                registry=registry,
            )
        )
        self.problems = by_labels(Counter("lungscope_problems", "Error answers by code.", ["code"], registry=registry))


class _SeriesMetrics:
    """What every series counts besides."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.series_stages = by_labels(
            Histogram(
                "lungscope_series_stage_seconds",
                "Time in one stage of judging a series; total is from its first byte.",
                ["stage"],
                buckets=SERIES_BUCKETS_S,
                registry=registry,
            )
        )
        self.series_slices = Histogram(
            "lungscope_series_slices", "Slices of a judged series.", buckets=SLICES_BUCKETS, registry=registry
        )
        self.series_in_memory = Gauge(
            "lungscope_series_in_memory",
            "Series being decoded or judged.",
            registry=registry,
            multiprocess_mode="livesum",
        )


class _DeliveryMetrics:
    """What comes by STOW-RS, and what is sent of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stow_instances = by_labels(
            Counter("lungscope_stow_instances", "Instances sent by STOW-RS.", ["outcome"], registry=registry)
        )
        self.spooled_series = by_labels(
            Counter(
                "lungscope_spooled_series",
                "Series that came by STOW-RS, by what became of them.",
                ["outcome"],
                registry=registry,
            )
        )
        self.results_unwritten = by_labels(
            Counter(
                "lungscope_results_unwritten",
                "Results that could not be written, by kind; the others of the same prediction were.",
                ["kind"],
                registry=registry,
            )
        )
        self.spooled_waiting = Gauge(
            "lungscope_spooled_series_waiting",
            "Series in the spool of all workers.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.quarantined = Counter(
            "lungscope_spool_quarantined", "Entries of the spool that nobody can use, set apart.", registry=registry
        )
        self.results_bytes = Gauge(
            "lungscope_results_bytes",
            "Bytes that results of all workers take.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.storage_writable = Gauge(
            "lungscope_storage_writable",
            "1 while every worker can write spool and results.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.deliveries = by_labels(
            Counter("lungscope_deliveries", "Attempts to send a result.", ["destination", "outcome"], registry=registry)
        )
        self.pulls = by_labels(
            Counter("lungscope_pulls", "Attempts to fetch the series of a job.", ["outcome"], registry=registry)
        )
        self.deliveries_waiting = by_labels(
            Gauge(
                "lungscope_deliveries_waiting",
                "Results to be sent, of all workers.",
                ["destination"],
                registry=registry,
                multiprocess_mode="livemostrecent",
            )
        )
        self.last_delivered = by_labels(
            Gauge(
                "lungscope_last_delivery_timestamp_seconds",
                "When a destination last took a result.",
                ["destination"],
                registry=registry,
                multiprocess_mode="livemax",
            )
        )
        self.deliveries_refused = by_labels(
            Gauge(
                "lungscope_deliveries_refused",
                "Results that a destination refused, and that nobody has sent again.",
                ["destination"],
                registry=registry,
                multiprocess_mode="livemostrecent",
            )
        )


class DimseMetrics:
    """What the DIMSE door counts, which is a process of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instances = by_labels(
            Counter("lungscope_dimse_instances", "Instances sent by C-STORE.", ["outcome"], registry=self.registry)
        )
        self.associations = by_labels(
            Counter("lungscope_dimse_associations", "Associations asked for.", ["outcome"], registry=self.registry)
        )
        self.open = Gauge("lungscope_dimse_associations_open", "Associations that are open.", registry=self.registry)
        self.storage_writable = Gauge(
            "lungscope_storage_writable", "1 while the spool can be written.", registry=self.registry
        )
        self.storage_writable.set(1)


class _AuditMetrics:
    """Whether what happens is on record."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.audit_writable = Gauge(
            "lungscope_audit_writable",
            "1 while every worker can write its audit trail, or none is kept.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.audit_writable.set(1)
        self.audit_lost = Counter(
            "lungscope_audit_events_lost", "Events that could not be written to the audit trail.", registry=registry
        )
        self.audit_forwarded = Counter(
            "lungscope_audit_lines_forwarded", "Lines of the audit trail sent to the collector.", registry=registry
        )

    def audit_told(self, writable: bool, lost: int) -> None:
        """Note whether the trail can be written, and how many events were lost."""
        self.audit_writable.set(int(writable))
        self.audit_lost.inc(lost)


class Metrics(_RequestMetrics, _SeriesMetrics, _DeliveryMetrics, _AuditMetrics, VersionMetrics):
    """Everything /metrics shows; labels take few, known values.

    Workers share a `folder` of counts, and each shows those of all: a gauge is their sum unless it says otherwise.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self._folder = folder
        self._at_scrape: list[tuple[Gauge, Callable[[], float]]] = []
        _RequestMetrics.__init__(self, self.registry)
        _SeriesMetrics.__init__(self, self.registry)
        _DeliveryMetrics.__init__(self, self.registry)
        _AuditMetrics.__init__(self, self.registry)
        VersionMetrics.__init__(self, self.registry)
        self.worker_restarts = worker_restarts(self.registry)
        self.ready = Gauge(
            "lungscope_ready",
            "1 when the models of every worker are ready.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.model = by_labels(
            Gauge(
                "lungscope_model_info",
                "1 while it is loaded.",
                ["name", "version", "digest", "backend"],
                registry=self.registry,
                multiprocess_mode="livemax",
            )
        )

    def slice_judged(self, decision: str, stages_ms: Mapping[str, float]) -> None:
        """Count one slice, and the milliseconds that each stage took."""
        self.decisions(decision).inc()
        for stage, ms in stages_ms.items():
            self.stages(stage).observe(ms / 1000)

    def series_judged(self, decision: str, slices: int, stages_ms: Mapping[str, float]) -> None:
        """Count one series of so many slices, and the milliseconds that each stage took."""
        self.decisions(decision).inc()
        self.series_slices.observe(slices)
        for stage, ms in stages_ms.items():
            self.series_stages(stage).observe(ms / 1000)

    def at_scrape(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Set a gauge whenever it is looked at, by whichever worker is asked."""
        self._at_scrape.append((gauge, read))

    def text(self) -> bytes:
        """All of it, of all workers, in Prometheus' text format."""
        for gauge, read in self._at_scrape:
            gauge.set(read())
        return generate_latest(self._gathered())

    def shadow_counts(self, judging: str, shadow: str) -> ShadowCounts:
        """What the shadow `shadow` said beside the version `judging`, in all workers."""
        return shadow_counts(self._gathered().collect(), judging, shadow)

    def _gathered(self) -> CollectorRegistry:
        if self._folder is None:
            return self.registry
        gathered = CollectorRegistry()
        MultiProcessCollector(gathered, str(self._folder))  # type: ignore[no-untyped-call]  # untyped there
        return gathered
