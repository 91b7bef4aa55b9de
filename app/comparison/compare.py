"""What has become of the nodules of a prior scan, and what is new in the current one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from app.comparison.growth import Change, Doubling, Verdict, change_of, doubling_of
from app.comparison.lung_shape import LungShape, ScanGrid
from app.comparison.matching import Match, matches
from app.comparison.patients import HeaderFacts, Interval, require_pair
from app.comparison.registration import Alignment, align
from app.comparison.words import NotCompared, Part, verdict_words
from app.imaging.ct import PointMm, PointPx, QualityNote
from app.inference.detector import MIN_SEPARATION_MM
from app.inference.prediction import Finding, Prediction
from app.inference.vocabulary import Language

NoDoubling = Literal["dates_missing", "same_day", "no_growth"]
UNLIKE_SLICES: Final = 1.25  # one distance of slices by the other: beyond it volumes differ by more than outlines tell


@dataclass(frozen=True, slots=True)
class Place:
    """Where a nodule of one scan would lie in the other."""

    index: int
    instance_uid: str | None
    point_px: PointPx
    point_mm: PointMm


Look = Callable[[Place, Finding], Finding | None]  # what is measured at the place of such a nodule, if one is there


def look_nowhere(_place: Place, _nodule: Finding) -> None:
    """Find nothing: of a scan without pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One of two scans as it was judged. `lungs` is None where none were found; `look` measures at a place where its
    search has found nothing."""

    prediction: Prediction
    grid: ScanGrid
    lungs: LungShape | None
    facts: HeaderFacts
    look: Look = look_nowhere

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that have a place."""
        return tuple(finding for finding in self.prediction.findings if finding.center_mm is not None)

    def middle_mm(self, finding: Finding) -> PointMm:
        """The middle of a finding in patient mm: its centre, moved from the slice on which it is largest to the middle
        of those on which it shows."""
        x, y, z = finding.center_mm or (0.0, 0.0, 0.0)
        if finding.slice is None or not finding.slices:
            return x, y, z
        up = (finding.slices[0].index + finding.slices[-1].index) / 2 - finding.slice.index
        along = up * self.grid.to_mm[:3, 0]
        return x + float(along[0]), y + float(along[1]), z + float(along[2])


@dataclass(frozen=True, slots=True, eq=False)
class Nodule:
    """One nodule in two scans, or in one of them: then `expected` is where it would lie in the other.

    `reason` says why it was not compared, `no_doubling` why there is no doubling time. `others` is how many findings
    lie as near as its partner. `looked_in` is the scan whose search has missed it, and in which it was found by looking
    at `expected`; its finding there is numbered after those of the search.
    """

    current: Finding | None
    prior: Finding | None
    verdict: Verdict
    reason: NotCompared | None = None
    change: Change | None = None
    doubling: Doubling | None = None
    no_doubling: NoDoubling | None = None
    apart_mm: float | None = None
    others: int = 0
    expected: Place | None = None
    looked_in: Part | None = None

    def display(self, language: Language) -> str:
        """The verdict in words, with why there is none, and which search has missed it."""
        return verdict_words(self.verdict, self.reason, self.looked_in, language)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two scans beside each other. The nodules are in the order of the current scan's findings, those of the prior
    alone after them. `left_out` findings of low suspicion, in the current and in the prior scan, have no partner."""

    nodules: tuple[Nodule, ...]
    alignment: Alignment | None
    interval: Interval
    notes: tuple[QualityNote, ...]
    left_out: tuple[int, int]


def compare(current: Scan, prior: Scan) -> Comparison:
    """Compare two scans of one patient; raises DifferentPatients, PriorAfterCurrent."""
    interval, remarks = require_pair(current.facts, prior.facts)
    alignment = None
    if current.lungs is not None and prior.lungs is not None:
        alignment = align(prior.lungs, current.lungs)
    nodules, left_out = _nodules(current, prior, alignment, interval)
    notes = (*remarks, *_unlike(current, prior), *_fit(alignment), *_missed(nodules))
    return Comparison(nodules, alignment, interval, notes, left_out)


def _nodules(
    current: Scan, prior: Scan, alignment: Alignment | None, interval: Interval
) -> tuple[tuple[Nodule, ...], tuple[int, int]]:
    now, before = current.findings, prior.findings
    pairs = {} if alignment is None or not alignment.is_good else _pairs(current, prior, alignment)
    partners = {match.prior for match in pairs.values()}
    alone = [n for n in range(len(before)) if n not in partners]
    singles = _Singles(current, prior, alignment, interval)
    nodules = [
        _pair(finding, before[pairs[n].prior], pairs[n], interval) if n in pairs else singles.of_current(finding)
        for n, finding in enumerate(now)
        if n in pairs or _counts(finding)
    ]
    nodules += [singles.of_prior(before[n]) for n in alone if _counts(before[n])]
    left_out = (
        sum(n not in pairs and not _counts(f) for n, f in enumerate(now)),
        sum(not _counts(before[n]) for n in alone),
    )
    return tuple(nodules), left_out


def _pairs(current: Scan, prior: Scan, alignment: Alignment) -> dict[int, Match]:
    places = [current.middle_mm(finding) for finding in current.findings]
    earlier = [alignment.to_current(prior.middle_mm(finding)) for finding in prior.findings]
    return {match.current: match for match in matches(places, earlier)}


def _counts(finding: Finding) -> bool:
    """Whether it counts in the decision: most of the others are no nodules, and not found twice."""
    return finding.suspicion != "low"


def _pair(now: Finding, before: Finding, match: Match, interval: Interval) -> Nodule:
    volumes = [None if finding.size is None else finding.size.volume_mm3 for finding in (before, now)]
    change = None if volumes[0] is None or volumes[1] is None else change_of(volumes[0], volumes[1])
    if change is None:
        return Nodule(now, before, "not_compared", "not_measured", apart_mm=match.apart_mm, others=match.others)
    doubling, why_not = _doubling(change, interval)
    return Nodule(now, before, change.verdict, None, change, doubling, why_not, match.apart_mm, match.others)


def _doubling(change: Change, interval: Interval) -> tuple[Doubling | None, NoDoubling | None]:
    if interval.days is None:
        return None, "dates_missing"
    if interval.days == 0:
        return None, "same_day"
    doubling = doubling_of(change.ratio, interval.days)
    return doubling, "no_growth" if doubling is None else None


@dataclass(frozen=True, slots=True, eq=False)
class _Singles:
    """Findings without partner: the other scan is looked at where it would show them. `seen` is what it shows there."""

    current: Scan
    prior: Scan
    alignment: Alignment | None
    interval: Interval
    seen: dict[Part, list[Finding]] = field(default_factory=lambda: {"current": [], "prior": []})

    def of_current(self, now: Finding) -> Nodule:
        """One of the current scan: new, unless the prior shows it after all."""
        if (why := self._incomparable(self.prior)) is not None:
            return Nodule(now, None, "not_compared", why)
        to_prior = self._good_alignment.to_prior
        if (place := _expected(to_prior(self.current.middle_mm(now)), self.prior)) is None:
            return Nodule(now, None, "not_compared", "outside_other_scan")
        before = self._seen("prior", place, now)
        return Nodule(now, None, "new", expected=place) if before is None else self._pair(now, before, place, "prior")

    def of_prior(self, before: Finding) -> Nodule:
        """One of the prior scan: gone, unless the current one shows it after all."""
        if (why := self._incomparable(self.current)) is not None:
            return Nodule(None, before, "not_compared", why)
        to_current = self._good_alignment.to_current
        if (place := _expected(to_current(self.prior.middle_mm(before)), self.current)) is None:
            return Nodule(None, before, "not_compared", "outside_other_scan")
        now = self._seen("current", place, before)
        return (
            Nodule(None, before, "gone", expected=place) if now is None else self._pair(now, before, place, "current")
        )

    @property
    def _good_alignment(self) -> Alignment:
        if self.alignment is None:
            raise ValueError("asked of scans that are not aligned")
        return self.alignment

    def _incomparable(self, other: Scan) -> NotCompared | None:
        if other.prediction.decision == "rejected":
            return "scan_rejected"
        return None if self.alignment is not None and self.alignment.is_good else "lungs_not_aligned"

    def _scan(self, part: Part) -> Scan:
        return self.current if part == "current" else self.prior

    def _seen(self, part: Part, place: Place, nodule: Finding) -> Finding | None:
        """What a scan shows at a place; not what is a nodule of its own."""
        scan, seen = self._scan(part), self.seen[part]
        found = scan.look(place, nodule)
        if found is None or any(_is_same(scan, found, other) for other in (*scan.findings, *seen)):
            return None
        seen.append(replace(found, id=len(scan.prediction.findings) + len(seen) + 1))
        return seen[-1]

    def _pair(self, now: Finding, before: Finding, place: Place, part: Part) -> Nodule:
        apart_mm = math.dist(self._scan(part).middle_mm(now if part == "current" else before), place.point_mm)
        paired = _pair(now, before, Match(0, 0, apart_mm, 0), self.interval)
        return replace(paired, expected=place, looked_in=part)


def _is_same(scan: Scan, one: Finding, other: Finding) -> bool:
    return math.dist(scan.middle_mm(one), scan.middle_mm(other)) <= MIN_SEPARATION_MM


def _expected(point_mm: PointMm, other: Scan) -> Place | None:
    if (place := other.grid.place_of(point_mm)) is None:
        return None
    index, point_px = place
    return Place(index, other.grid.instance_uids[index], point_px, point_mm)


def _unlike(current: Scan, prior: Scan) -> Iterator[QualityNote]:
    """Remarks on scans that were not made in one way, or that are one scan."""
    one, other = current.prediction.series, prior.prediction.series
    if one is not None and other is not None:
        if one.series_instance_uid is not None and one.series_instance_uid == other.series_instance_uid:
            yield QualityNote("same_series", "warning", "Both parts are the same series.")
        apart_mm = sorted((one.slice_spacing_mm, other.slice_spacing_mm))
        if apart_mm[1] > UNLIKE_SLICES * apart_mm[0]:
            message = f"Slices are {one.slice_spacing_mm:g} mm apart, in the prior {other.slice_spacing_mm:g} mm: "
            yield QualityNote("slices_differ", "warning", message + "volumes may differ by that alone.")
    kernels = {kernel for s in (current, prior) if (kernel := s.prediction.source.facts.kernel) is not None}
    if len(kernels) > 1:
        message = "Both series were reconstructed by different kernels: volumes may differ by that alone."
        yield QualityNote("kernels_differ", "warning", message)


def _missed(nodules: Sequence[Nodule]) -> Iterator[QualityNote]:
    """A remark where a scan's own answer lacks what was found by looking."""
    for part in ("current", "prior"):
        if count := sum(nodule.looked_in == part for nodule in nodules):
            message = (
                f"The search has missed {count} nodule(s) in the {part} series, measured where the other shows them."
            )
            yield QualityNote("search_missed", "warning", message)


def _fit(alignment: Alignment | None) -> Iterator[QualityNote]:
    if alignment is None:
        yield QualityNote("lungs_not_aligned", "warning", "No lungs were found in one of both series.")
    elif not alignment.is_good:
        message = (
            f"The lungs of both series do not fit together (overlap {alignment.overlap:.2f}): nothing is compared."
        )
        yield QualityNote("lungs_not_aligned", "warning", message)
