"""What /metrics shows of verdicts and drift. The values are those of all workers, read where they are asked for."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

FIGURES: Final = {
    "finding": ("auc", "sensitivity", "specificity", "observed_to_expected", "nodules"),
    "scan": ("sensitivity", "specificity"),
}
BOUNDS: Final = ("value", "low", "high")


class WatchMetrics:
    """The metrics of the watch; labels take few, known values."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.figures = Gauge(
            "lungscope_live_figure",
            "A figure of answers against verdicts, and the bounds of its 95 % interval; NaN while there are too few.",
            ["of", "figure", "bound"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.verdicts = Gauge(
            "lungscope_verdicts",
            "Verdicts that count, on answers of the model that judges.",
            ["of", "verdict"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.psi = Gauge(
            "lungscope_drift_index",
            "Population stability index of a feature against its reference; NaN while values are gathered.",
            ["feature"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.drifted = Gauge(
            "lungscope_drifted",
            "1 while a feature has drifted from its reference.",
            ["feature"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.unwritten = Counter(
            "lungscope_judgements_unnoted",
            "Judgements that could not be kept for verdicts, as the disk could not be written for long.",
            registry=registry,
        )
