"""Writes a comparison of two series: numbers, codes, and words in English and Chinese."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.comparison.compare import NoDoubling, Nodule, Place
from app.comparison.growth import Change, Doubling, Pace, Verdict
from app.comparison.registration import Alignment
from app.comparison.words import NotCompared, Part, count_words
from app.imaging.ct import PointMm, PointPx
from app.inference.prediction import Finding
from app.inference.vocabulary import Language
from app.judgement.answer_types import DISCLAIMER, Answer, QualityOut, SliceOut
from app.judgement.comparing import ComparedPair, JudgedScan
from app.judgement.guideline_answers import GuidelinesOut, guidelines_out
from app.judgement.size_answers import SizeOut, size_out
from app.reports.compared import nodule_uid


class OpenIntervalOut(TypedDict):
    """A number and its interval; null at an end that the measurement leaves open."""

    value: float
    interval: tuple[float | None, float | None]


class DoublingOut(OpenIntervalOut):
    """Days in which the volume doubles, if it grows as it did."""

    paces: Annotated[
        list[Pace], Field(description="of the BTS guideline: all that the interval touches, the measured one first")
    ]


class ExpectedPlaceOut(TypedDict):
    """Where a nodule would lie in the other scan, for a reader to look there."""

    slice: SliceOut
    center_px: PointPx
    center_mm: PointMm


class LookedOut(TypedDict):
    """What was measured in a series whose search has missed a nodule, at the place where the other shows it."""

    series: Part
    id: Annotated[int, Field(description="after those of the series' own findings, among which it is not")]
    nodule_probability: Annotated[float, Field(description="that it is a nodule, by the model that judges findings")]
    slice: SliceOut
    center_px: PointPx
    center_mm: PointMm
    size: SizeOut | None


class ComparedNoduleOut(TypedDict):
    """One nodule in both series, or in one of them."""

    tracking_uid: Annotated[
        str, Field(description="of the prior's finding where there is one, as in its result objects; else of its own")
    ]
    current: Annotated[int | None, Field(description="id of the finding in `current`; null where it has none")]
    prior: Annotated[int | None, Field(description="id of the finding in `prior`")]
    verdict: Verdict
    display: str
    possible: Annotated[
        list[Verdict], Field(description="of grew, stable and shrank: all that the volumes' intervals allow")
    ]
    reason: Annotated[NotCompared | None, Field(description="why it was not compared")]
    volume_change: Annotated[
        OpenIntervalOut | None, Field(description="share of the volume before: 0.25 is a quarter more")
    ]
    doubling_days: DoublingOut | None
    no_doubling: Annotated[NoDoubling | None, Field(description="why there is no doubling time for a compared nodule")]
    apart_mm: Annotated[
        float | None, Field(description="between both findings' middles, with the lungs laid over each other")
    ]
    other_partners: Annotated[int, Field(ge=0, description="findings as near: another one may be the partner")]
    expected: Annotated[
        ExpectedPlaceOut | None, Field(description="of what only one series' search has found: its place in the other")
    ]
    looked: Annotated[
        LookedOut | None, Field(description="what was found at `expected`: by looking there, not by the search")
    ]


class RegistrationOut(TypedDict):
    """How the prior lies to the current series."""

    matrix: Annotated[
        list[list[float]], Field(description="4 x 4, from patient mm of the prior to those of the current")
    ]
    rotation_deg: float
    shift_mm: Annotated[float, Field(description="of the middle of the prior's lungs")]
    overlap: Annotated[float, Field(description="of both lungs, 0 to 1 (Dice)")]
    apart_mm: Annotated[float, Field(description="between the lungs' surfaces, median")]


class IntervalOut(TypedDict):
    """Time from the prior to the current series."""

    days: int | None
    source: Annotated[str | None, Field(description="the attribute of both headers that says so")]


class UnpairedOut(TypedDict):
    """Findings of low suspicion without partner: most are no nodules, so that nothing is said of them."""

    current: int
    prior: int


class ComparisonAnswer(TypedDict):
    """Two series beside each other."""

    request_id: str
    display: str
    nodules: list[ComparedNoduleOut]
    low_suspicion_unpaired: UnpairedOut
    interval: IntervalOut
    registration: Annotated[RegistrationOut | None, Field(description="null where one series shows no lungs")]
    quality: list[QualityOut]
    guidelines: NotRequired[
        Annotated[
            GuidelinesOut,
            Field(description="of the current series beside the prior; only where guidelines were asked for"),
        ]
    ]
    current: Annotated[Answer, Field(description="as /v1/studies answers")]
    prior: Answer
    timing_ms: dict[str, float]
    disclaimer: str


def comparison_answer(
    pair: ComparedPair, language: Language, request_id: str, timing_ms: dict[str, float]
) -> dict[str, Any]:
    """The members of a ComparisonAnswer; remarks about the request come first."""
    comparison, current, prior = pair.comparison, pair.current, pair.prior
    now, before = comparison.left_out
    written: dict[str, Any] = {
        "request_id": request_id,
        "display": count_words((each.verdict for each in comparison.nodules), language),
        "nodules": [_nodule(each, current, prior, language) for each in comparison.nodules],
        "low_suspicion_unpaired": UnpairedOut(current=now, prior=before),
        "interval": IntervalOut(days=comparison.interval.days, source=comparison.interval.source),
        "registration": None if comparison.alignment is None else _registration(comparison.alignment),
        "quality": [
            QualityOut(code=n.code, severity=n.severity, message=n.message)
            for n in (*pair.parameters.notes, *comparison.notes)
        ],
        "current": current.answer,
        "prior": prior.answer,
        "timing_ms": {name: round(ms, 2) for name, ms in timing_ms.items()},
        "disclaimer": DISCLAIMER,
    }
    if pair.guidance is not None:
        written["guidelines"] = guidelines_out(pair.guidance)
    return written


def _nodule(nodule: Nodule, current: JudgedScan, prior: JudgedScan, language: Language) -> ComparedNoduleOut:
    found = {"current": nodule.current, "prior": nodule.prior}
    looked = None if nodule.looked_in is None else found.pop(nodule.looked_in)
    now, before = found.get("current"), found.get("prior")
    return ComparedNoduleOut(
        tracking_uid=nodule_uid(nodule, lambda f: current.tracking_uids[f.id], lambda f: prior.tracking_uids[f.id]),
        current=None if now is None else now.id,
        prior=None if before is None else before.id,
        verdict=nodule.verdict,
        display=nodule.display(language),
        possible=[] if nodule.change is None else list(nodule.change.possible),
        reason=nodule.reason,
        volume_change=None if nodule.change is None else _volume_change(nodule.change),
        doubling_days=None if nodule.doubling is None else _doubling(nodule.doubling),
        no_doubling=nodule.no_doubling,
        apart_mm=None if nodule.apart_mm is None else round(nodule.apart_mm, 1),
        other_partners=nodule.others,
        expected=None if nodule.expected is None else _place(nodule.expected),
        looked=None if looked is None or nodule.looked_in is None else _looked(looked, nodule.looked_in, language),
    )


def _looked(finding: Finding, series: Part, language: Language) -> LookedOut | None:
    if finding.slice is None or finding.center_mm is None:
        return None
    return LookedOut(
        series=series,
        id=finding.id,
        nodule_probability=round(finding.nodule_probability, 4),
        slice=SliceOut(index=finding.slice.index, sop_instance_uid=finding.slice.sop_instance_uid),
        center_px=finding.center_px,
        center_mm=finding.center_mm,
        size=None if finding.size is None else size_out(finding.size, language),
    )


def _volume_change(change: Change) -> OpenIntervalOut:
    share = change.share
    return OpenIntervalOut(value=share.value, interval=(share.low, share.high))


def _doubling(doubling: Doubling) -> DoublingOut:
    days = doubling.rounded
    return DoublingOut(value=days.value, interval=(days.low, days.high), paces=list(doubling.paces))


def _place(place: Place) -> ExpectedPlaceOut:
    column, row = place.point_px
    x, y, z = place.point_mm
    return ExpectedPlaceOut(
        slice=SliceOut(index=place.index, sop_instance_uid=place.instance_uid),
        center_px=(round(column, 1), round(row, 1)),
        center_mm=(round(x, 1), round(y, 1), round(z, 1)),
    )


def _registration(alignment: Alignment) -> RegistrationOut:
    return RegistrationOut(
        matrix=alignment.matrix.round(6).tolist(),
        rotation_deg=round(alignment.rotation_deg, 2),
        shift_mm=round(alignment.shift_mm, 2),
        overlap=round(alignment.overlap, 3),
        apart_mm=round(alignment.apart_mm, 2),
    )
