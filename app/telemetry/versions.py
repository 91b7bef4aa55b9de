"""What is counted of versions: of the shadow, which judges beside the one that answers, and of those wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from app.telemetry.labels import by_labels

Outcome: TypeAlias = Literal["compared", "not_sampled", "busy", "failed"]
PAIR: Final = ("judging", "shadow")  # versions
DIFFERENCES: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
REQUESTS: Final = "lungscope_shadow_requests"
DECISIONS: Final = "lungscope_shadow_decisions"
DIFFERENCE: Final = "lungscope_shadow_probability_difference"


@dataclass(slots=True)
class ShadowCounts:
    """What one version says beside another: requests by outcome, pairs of decisions, the version that answers first,
    and differences of probability, how many up to each bound (`inf` for all) and their sum."""

    requests: dict[str, int] = field(default_factory=dict)
    decisions: dict[tuple[str, str], int] = field(default_factory=dict)
    up_to: dict[float, int] = field(default_factory=dict)
    sum: float = 0.0


class VersionMetrics:
    """What each judgement that the shadow may look at counts, and whether the versions are those that are wanted."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.versions_behind = Gauge(
            "lungscope_versions_behind",
            "Workers that could not load the versions that an operator wants.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._requests = by_labels(
            Counter(REQUESTS, "Judgements while there is a shadow, by outcome.", [*PAIR, "outcome"], registry=registry)
        )
        self._decisions = by_labels(
            Counter(
                DECISIONS,
                "Judgements that the shadow repeated, by the decision answered and the shadow's.",
                [*PAIR, "decision", "shadow_decision"],
                registry=registry,
            )
        )
        self._difference = by_labels(
            Histogram(
                DIFFERENCE,
                "How far the shadow's probability is from the one answered.",
                PAIR,
                buckets=DIFFERENCES,
                registry=registry,
            )
        )

    def shadow_passed_over(self, judging: str, shadow: str, outcome: Outcome) -> None:
        """Count a judgement with which the shadow was not compared."""
        self._requests(judging, shadow, outcome).inc()

    def shadow_compared(self, judging: str, shadow: str, decisions: tuple[str, str], difference: float | None) -> None:
        """Count a judgement that the shadow repeated: both decisions, the one answered first, and how far the
        probabilities lie apart; None where one of them has none."""
        self._requests(judging, shadow, "compared").inc()
        self._decisions(judging, shadow, *decisions).inc()
        if difference is not None:
            self._difference(judging, shadow).observe(difference)


def shadow_counts(metrics: Iterable[Metric], judging: str, shadow: str) -> ShadowCounts:
    """What was counted for two versions, among all metrics."""
    counts = ShadowCounts()
    for sample in (sample for metric in metrics for sample in metric.samples):
        labels, value = sample.labels, sample.value
        if (labels.get("judging"), labels.get("shadow")) != (judging, shadow):
            continue
        if sample.name == f"{REQUESTS}_total":
            counts.requests[labels["outcome"]] = int(value)
        elif sample.name == f"{DECISIONS}_total":
            counts.decisions[labels["decision"], labels["shadow_decision"]] = int(value)
        elif sample.name == f"{DIFFERENCE}_bucket":
            counts.up_to[float(labels["le"])] = int(value)
        elif sample.name == f"{DIFFERENCE}_sum":
            counts.sum = value
    return counts
