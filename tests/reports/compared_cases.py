"""A comparison of known numbers on phantoms: a nodule that grew, one that shrank, one of uncertain outline, a new one
that only looking has found before, one that is gone, and one that could not be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from app.comparison.compare import Comparison, NoDoubling, Nodule, Place, Scan
from app.comparison.growth import Doubling, change_of, doubling_of
from app.comparison.lung_shape import scan_grid
from app.comparison.patients import HeaderFacts, Interval
from app.comparison.registration import Alignment
from app.comparison.words import Part
from app.guidelines.case import Context
from app.imaging.ct import PointPx, QualityNote
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from app.inference.bundle import Bundle
from app.inference.prediction import Finding, Measured
from app.inference.vocabulary import Language
from app.judgement.answers import json_answer
from app.judgement.compared_case import compared_case
from app.judgement.comparing import ComparedPair, Headers, JudgedScan, no_headers
from app.judgement.guideline_case import guidance_of
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters
from app.reports.compared import ComparedReport
from phantoms.slices import derived_uid
from tests.reports.cases import PROBABILITY, WRITTEN, finding, header, in_series, predict, series_files

DAYS: Final = 212
NOTE: Final = QualityNote("kernels_differ", "warning", "Both series were reconstructed by different kernels.")
PLACES: Final[tuple[tuple[int, PointPx], ...]] = (
    *((1, (40.0, 60.5)), (3, (90.0, 61.0)), (3, (38.0, 50.0)), (2, (88.0, 52.0))),
    *((1, (36.0, 44.0)), (2, (92.0, 70.0))),
)
# Volumes in mm³, each with its interval, of the findings of either series.
NOW_MM3: Final = (
    *((2204.3, 1987.2, 2405.6), (305.4, 261.1, 352.9), (640.0, 330.0, 1250.0), (511.2, 470.0, 560.0)),
    *((98.7, 80.1, 120.4), (150.2, 120.0, 190.0)),
)
BEFORE_MM3: Final = (
    *((1100.1, 990.5, 1230.2), (612.7, 550.1, 680.3), (480.0, 240.0, 950.0), (498.7, 450.0, 545.0)),
    (222.2, 190.0, 260.0),
)
DIAMETERS_MM: Final = (15.5, 8.5, 11.0, 10.0, 6.5, 7.5)
BEFORE: Final = 0.8  # of these
GUIDELINES: Final = ("lung-rads", "fleischner", "bts", "brock", "mayo")
ASKED: Final = Parameters(guidelines=GUIDELINES, context=Context(age_years=62, sex="male", purpose="screening"))


def files_of(part: Part) -> list[bytes]:
    """The series of either part, the prior in a study of its own."""
    if part == "current":
        return series_files(AcquisitionDate="20260314", StudyDate="20260314")
    uids: dict[str, Any] = {
        "StudyInstanceUID": derived_uid("prior study"),
        "SeriesInstanceUID": derived_uid("prior series"),
    }
    return series_files(name="prior instance", AcquisitionDate="20250814", StudyDate="20250814", **uids)


def compared_pair(bundle: Bundle, asked: Parameters = ASKED, language: Language = "en") -> ComparedPair:
    """Four nodules with partner, of which the search of the prior series has missed the last; one that is new; one that
    the prior does not show; one that is gone."""
    current, prior = _scan(bundle, "current", language), _scan(bundle, "prior", language)
    now, (*before, missed, gone) = current.scan.findings, prior.scan.findings
    looked = replace(missed, id=9, suspicion=None, suspicion_score=None)
    prior = _without(prior, missed, language)
    nodules = [_paired(now[n], before[n]) for n in range(3)]
    nodules.append(replace(_paired(now[3], looked), looked_in="prior", expected=_place(prior, looked)))
    nodules.append(Nodule(now[4], None, "new", expected=_place(prior, now[4])))
    nodules.append(Nodule(now[5], None, "not_compared", "outside_other_scan"))
    nodules.append(Nodule(None, gone, "gone", expected=_place(current, gone)))
    alignment = Alignment(np.eye(4), 0.97, 0.8, (0.0, 0.0, 0.0))
    interval = Interval(DAYS, "AcquisitionDate")
    comparison = Comparison(tuple(nodules), alignment, interval, (NOTE,), (2, 1))
    guidance = None
    if asked.guidelines:
        predictions = current.scan.prediction, prior.scan.prediction
        guidance = guidance_of(compared_case(comparison, *predictions, asked.context), asked)
    return ComparedPair(current, prior, comparison, guidance, asked)


def odd_pairs(bundle: Bundle) -> dict[str, ComparedPair]:
    """Nothing to compare; a current series that was not judged, on another day than is known; one series twice; a
    change of which nothing is certain."""
    pair = compared_pair(bundle)
    first, gone = pair.comparison.nodules[0], pair.comparison.nodules[-1]
    assert first.change is not None
    nothing = Comparison((), None, Interval(), (), (0, 0))
    unjudged = predict("rejected", (), pair.current.volume.sources[0], (2.8, 2.8), pair.current.volume)
    rejected = _judged(replace(pair.current.judgement, prediction=unjudged), pair.current.volume, "en", no_headers)
    rejected = replace(rejected, headers=pair.current.headers)
    not_compared = replace(gone, verdict="not_compared", reason="scan_rejected", expected=None)
    ratio = replace(first.change, ratio=Measured(2.0, 0.0, math.inf))
    days = Doubling(Measured(200.0, 0.0, math.inf), ("at_most_400_days",))

    def of(*nodules: Nodule) -> Comparison:
        return replace(nothing, nodules=nodules)

    return {
        "nothing": replace(pair, comparison=nothing, guidance=None),
        "rejected": replace(pair, current=rejected, comparison=of(not_compared), guidance=None),
        "twice": replace(pair, prior=pair.current, comparison=of(replace(first, prior=first.current))),
        "uncertain": replace(pair, comparison=of(replace(first, change=ratio, doubling=days))),
    }


def written_pair(pair: ComparedPair) -> ComparedReport:
    """What DICOM and FHIR are written from."""
    return pair.with_headers(pair.report(WRITTEN, "en"))


def _scan(bundle: Bundle, part: Part, language: Language) -> JudgedScan:
    files, builder = files_of(part), SeriesBuilder()
    for data in files:
        builder.add(data)
    volume = builder.build()
    scale, volumes = (1.0, NOW_MM3) if part == "current" else (BEFORE, BEFORE_MM3)
    found = [_finding(n, volume, scale, mm3) for n, mm3 in enumerate(volumes, start=1)]
    prediction = predict("cancer_suspected", found, volume.sources[0], volume.spacing_mm[1:], volume)
    judgement = Judgement(volume, Parameters(), prediction, bundle, None, None, {})

    def headers(instances: Collection[str | None]) -> list[Dataset]:
        return [each for each in map(header, files) if each.SOPInstanceUID in instances]

    return _judged(judgement, volume, language, headers)


def _judged(judgement: Judgement, volume: CTVolume, language: Language, headers: Headers) -> JudgedScan:
    report = judgement.report((), WRITTEN)
    names = {finding.id: report.tracking_uid(finding) for finding in judgement.prediction.findings}
    scan = Scan(judgement.prediction, scan_grid(volume), None, HeaderFacts())
    return JudgedScan(judgement, scan, json.loads(json_answer(judgement, language, "")), headers, names)


def _without(scan: JudgedScan, missed: Finding, language: Language) -> JudgedScan:
    prediction = scan.judgement.prediction
    found = tuple(each for each in prediction.findings if each.id != missed.id)
    judgement = replace(scan.judgement, prediction=replace(prediction, findings=found))
    return _judged(judgement, scan.volume, language, scan.headers)


def _finding(number: int, volume: CTVolume, scale: float, mm3: tuple[float, float, float]) -> Finding:
    index, centre_px = PLACES[number - 1]
    probability = PROBABILITY["cancer_suspected"] / number
    found = finding(number, volume.slice_at(index), centre_px, scale * DIAMETERS_MM[number - 1], probability)
    found = replace(in_series(found, volume, index), suspicion="suspected", suspicion_score=7.0 - number)
    assert found.size is not None
    return replace(found, size=replace(found.size, volume_mm3=Measured(*mm3)))


def _paired(now: Finding, before: Finding) -> Nodule:
    volumes = [None if each.size is None else each.size.volume_mm3 for each in (before, now)]
    assert volumes[0] is not None
    assert volumes[1] is not None
    change = change_of(volumes[0], volumes[1])
    assert change is not None
    doubling = doubling_of(change.ratio, DAYS)
    why: NoDoubling | None = "no_growth" if doubling is None else None
    return Nodule(now, before, change.verdict, None, change, doubling, why, 1.3, 0)


def _place(scan: JudgedScan, finding: Finding) -> Place:
    assert finding.slice is not None
    assert finding.center_mm is not None
    index = finding.slice.index
    uid = scan.volume.sources[index].sop_instance_uid
    return Place(index, uid, finding.center_px, finding.center_mm)
