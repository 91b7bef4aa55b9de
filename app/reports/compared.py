"""Two series beside each other to be written: their reports, and what has become of each nodule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from pydicom.dataset import Dataset

from app.comparison.compare import Comparison, Nodule
from app.comparison.growth import OpenInterval
from app.comparison.words import count_words
from app.guidelines.guidance import Guidance
from app.inference.finding_words import place_words
from app.inference.prediction import Finding
from app.reports.figures import significant
from app.reports.report import DISCLAIMER, Report
from app.reports.summary import decision_words


@dataclass(frozen=True, slots=True, eq=False)
class NumberedNodule:
    """A nodule with its place, from 1, among all that were compared, and the tracking UID that it keeps."""

    number: int
    tracking_uid: str
    nodule: Nodule


@dataclass(frozen=True, slots=True, eq=False)
class ComparedReport:
    """The reports on both series, each with the findings of the nodules shown, and the nodules. `current` holds what
    guidelines say of the current series beside the prior one."""

    current: Report
    prior: Report
    comparison: Comparison
    nodules: tuple[NumberedNodule, ...]

    @classmethod
    def of(cls, current: Report, prior: Report, comparison: Comparison, guidance: Guidance | None = None) -> Self:
        """From the reports on both series as each would be written alone. Shown is a nodule of which one report shows a
        finding."""
        shown = ({f.id for f in current.findings}, {f.id for f in prior.findings})
        nodules = tuple(
            NumberedNodule(number, nodule_uid(nodule, current.own_tracking_uid, prior.own_tracking_uid), nodule)
            for number, nodule in enumerate(comparison.nodules, start=1)
            if _id(nodule.current) in shown[0] or _id(nodule.prior) in shown[1]
        )
        now = _with(current, ((each.nodule.current, each.tracking_uid) for each in nodules))
        before = _with(prior, ((each.nodule.prior, each.tracking_uid) for each in nodules))
        return cls(replace(now, guidance=guidance), before, comparison, nodules)

    def with_headers(self, current: Sequence[Dataset], prior: Sequence[Dataset]) -> Self:
        """The same with the data sets of the slices that both reports show."""
        reports = replace(self.current, headers=current), replace(self.prior, headers=prior)
        return type(self)(*reports, self.comparison, self.nodules)


def nodule_uid(nodule: Nodule, of_current: Callable[[Finding], str], of_prior: Callable[[Finding], str]) -> str:
    """What a nodule is called: as its prior's finding is, else as its current one's; what only looking has found has no
    name of its own."""
    if nodule.prior is not None and nodule.looked_in != "prior":
        return of_prior(nodule.prior)
    return "" if nodule.current is None else of_current(nodule.current)


def comparison_summary(compared: ComparedReport) -> tuple[str, ...]:
    """In English sentences: the decision on the current series, how many nodules have which verdict, each nodule
    shown, and the disclaimer."""
    days = compared.comparison.interval.days
    when = "an earlier series" if days is None else f"a series of {days} days before"
    counted = count_words((each.verdict for each in compared.comparison.nodules), "en")
    whole = f"Compared with {when}: {counted}."
    return (decision_words(compared.current), whole, *map(nodule_words, compared.nodules), DISCLAIMER)


def nodule_words(numbered: NumberedNodule) -> str:
    """One nodule: where, its verdict, the change of its volume and its doubling time, and its findings."""
    nodule = numbered.nodule
    finding = nodule.current or nodule.prior
    told = [f"Nodule {numbered.number}", place_words(finding, "en")] if finding else [f"Nodule {numbered.number}"]
    words = f"{', '.join(told)}: {nodule.display('en')}"
    if nodule.change is not None:
        share = nodule.change.share
        words += f"; volume {_percent(share.value)} ({_range(share, _percent)})"
    if nodule.doubling is not None:
        words += f"; doubling time {_doubling(nodule.doubling.rounded)}"
    return f"{words}; {_findings(nodule)}."


def _doubling(days: OpenInterval) -> str:
    """The least alone where there is no upper end: of a change that may be none the value says nothing."""
    if days.high is None and days.low is not None:
        return f"{_days(days.low)} days or more"
    return f"{_days(days.value)} days ({_range(days, _days)})"


def _findings(nodule: Nodule) -> str:
    told = (("current", nodule.current), ("prior", nodule.prior))
    words = [f"{part} finding {finding.id}" for part, finding in told if finding is not None]
    where = nodule.expected
    if where is not None and nodule.looked_in is None:
        missing = "prior" if nodule.prior is None else "current"
        words.append(f"expected on slice {where.index + 1} of the {missing} series")
    return ", ".join(words)


def _range(interval: OpenInterval, written: Callable[[float], str]) -> str:
    if interval.high is None:
        return "open" if interval.low is None else f"{written(interval.low)} or more"
    return (
        f"up to {written(interval.high)}"
        if interval.low is None
        else (f"{written(interval.low)} to {written(interval.high)}")
    )


def _percent(share: float) -> str:
    return f"{significant(share * 100):+g} %"


def _days(days: float) -> str:
    return f"{significant(days):g}"


def _id(finding: Finding | None) -> int | None:
    return None if finding is None else finding.id


def _with(report: Report, named: Iterable[tuple[Finding | None, str]]) -> Report:
    """The report with these findings alone, the most suspicious first, and what they are called."""
    names = {finding.id: (finding, uid) for finding, uid in named if finding is not None}
    chosen = tuple(names[number][0] for number in sorted(names))
    return replace(report, chosen=chosen, names={number: uid for number, (_, uid) in names.items()})
