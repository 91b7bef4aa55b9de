"""Logs without patient data, the request id, and the metrics."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

LATENCY_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
QUIET_LOGGERS: Final = ("pydicom", "PIL", "uvicorn.access")  # they quote values, paths or addresses


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


class Metrics:
    """Everything /metrics shows; labels take few, known values."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lungscope_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "lungscope_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.stages = Histogram(
            "lungscope_stage_seconds",
            "Time in one stage of a prediction.",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.decisions = Counter(
            "lungscope_decisions", "Predictions by decision.", ["decision"], registry=self.registry
        )
        self.problems = Counter("lungscope_problems", "Error answers by code.", ["code"], registry=self.registry)
        self.in_flight = Gauge("lungscope_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.ready = Gauge("lungscope_ready", "1 when the model is ready.", registry=self.registry)
        self.model = Gauge(
            "lungscope_model_info", "Always 1.", ["name", "version", "digest", "backend"], registry=self.registry
        )
