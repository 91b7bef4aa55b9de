"""What became of each series: one result at each destination, one stated failure, or something that may not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.doors.destinations import Destination, Result, current
from benchmarks.doors.senders import Standing
from benchmarks.doors.series import Series

Kind = Literal["result", "failure", "lost", "doubled", "partial", "unsettled"]
GOOD: Final[tuple[Kind, ...]] = ("result", "failure")


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one series; `detail` has what the service and the destinations say of it."""

    series: int
    kind: Kind
    detail: str
    replaced: int = 0  # results that came before the one that stands

    @classmethod
    def on(cls, series: Series, standing: Standing, destinations: Mapping[str, Destination]) -> Verdict:
        """Compare what the service says with what the destinations have."""
        every = {name: each.results(series) for name, each in destinations.items()}
        standing_results = {name: current(results) for name, results in every.items()}
        detail = "; ".join(
            [f"{standing.state} {standing.code}".strip(), *map(_said, every, every.values(), standing_results.values())]
        )
        replaced = max(len(every[name]) - len(found) for name, found in standing_results.items())
        return cls(series.number, _kind(series, standing, list(standing_results.values())), detail, replaced)


def _kind(series: Series, standing: Standing, found: Sequence[Sequence[Result]]) -> Kind:
    if not standing.is_settled:
        return "unsettled"
    if any(len(results) > 1 for results in found):
        return "doubled"
    if standing.state != "delivered":
        # Of what was not judged a destination may hear, but of nothing else.
        return "failure" if standing.code and all(each.reason for results in found for each in results) else "lost"
    if not all(found):
        return "lost"
    every = [each for results in found for each in results]
    if all(each.reason for each in every):
        return "failure"
    return "result" if all(each.reason is None and each.is_whole(series) for each in every) else "partial"


def _said(name: str, every: Sequence[Result], standing: Sequence[Result]) -> str:
    words = [
        f"{each.uid[-6:]}{'' if each in standing else ' (replaced)'}"
        f"{' replaces ' + ','.join(uid[-6:] for uid in each.replaces) if each.replaces else ''}"
        f"{' because ' + each.reason if each.reason else ''}"
        for each in every
    ]
    return f"{name}: {', '.join(words) or 'nothing'}"
