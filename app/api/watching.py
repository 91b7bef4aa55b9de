"""The watch over what is answered, as the settings want it, and what the metrics show of it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final

from app.delivery.database.storage import readable_count
from app.inference.registry import ModelRegistry
from app.private_files import state_folder
from app.settings import Settings
from app.telemetry import Metrics
from app.watch.metrics import BOUNDS, FIGURES, WatchMetrics
from app.watch.performance import VERDICTS
from app.watch.watch import Watch, WatchOptions

WHOLES: Final = {"finding": "findings", "scan": "scans"}  # names in metrics, and in the watch


def watch_of(settings: Settings, registry: ModelRegistry, metrics: Metrics) -> Watch | None:
    """The watch, its thread not begun; None without a folder. Raises SettingsError for one that cannot be used."""
    folder = settings.feedback_dir
    if folder is None:
        return None
    state_folder(folder, "LUNGSCOPE_FEEDBACK_DIR")
    options = WatchOptions(settings.feedback_days, settings.feedback_findings, settings.on_drift)
    own = WatchMetrics(metrics.registry)
    watch = Watch(folder, options, lambda: registry.bundle.digest, own, database=settings.database)
    for of, whole in WHOLES.items():
        for verdict in VERDICTS:
            count = partial(_verdicts, watch, whole, verdict)
            metrics.at_scrape(own.verdicts.labels(of, verdict), readable_count(count))
        for figure in FIGURES[of]:
            for bound in BOUNDS:
                value = partial(_figure, watch, whole, figure, bound)
                metrics.at_scrape(own.figures.labels(of, figure, bound), readable_count(value))
    return watch


def _verdicts(watch: Watch, whole: str, verdict: str) -> float:
    agreement: Any = getattr(watch.performance(), whole)
    return float(agreement.verdicts[verdict])


def _figure(watch: Watch, whole: str, figure: str, bound: str) -> float:
    found = getattr(getattr(watch.performance(), whole), figure)
    return math.nan if found is None else float(getattr(found, bound))
