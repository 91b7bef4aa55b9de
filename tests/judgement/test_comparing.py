"""Two scans with a planted ball, compared as the service compares them, on models whose answers are arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from app.comparison.compare import Nodule, Scan, compare
from app.comparison.patients import HeaderFacts
from app.guidelines import bts
from app.guidelines.case import Context
from app.imaging.volume import CTVolume
from app.inference.registry import ModelRegistry
from app.inference.series import Cancelled
from app.judgement.compared_case import compared_case
from app.judgement.comparing import judged_scan
from app.judgement.judge import Judge
from app.judgement.parameters import Parameters
from app.telemetry import Metrics
from phantoms.lung_volumes import Ball, chest_volume
from tests.fakes import NAMES, arithmetic_backends, write_models

PLACE, HEIGHT_MM = (70.0, 120.0), 30.0
HU: Final = 150.0  # leaves the decision open, and is no calcium; these models rate everything as ground glass
SMALL_MM: Final = 14.0
NEAR_PX: Final = 5.0
LARGE_MM: Final = SMALL_MM * 2 ** (1 / 3)  # of twice the volume


def ball(diameter_mm: float) -> CTVolume:
    return chest_volume([Ball(PLACE, HEIGHT_MM, diameter_mm, hu=HU)] if diameter_mm else [], slices=24)


def without(scan: Scan) -> Scan:
    """The scan as if its search had found nothing."""
    nothing = replace(
        scan.prediction, decision="normal", findings=(), probability=None, prediction_set=("normal",), reasons=()
    )
    return replace(scan, prediction=nothing)


def of_ball(current: Scan, prior: Scan) -> list[Nodule]:
    """What is said of the ball; the phantom has other things that look like nodules to these models."""
    return [
        nodule
        for nodule in compare(current, prior).nodules
        if any(f is not None and math.dist(f.center_px, PLACE) < NEAR_PX for f in (nodule.current, nodule.prior))
    ]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    folder: Path = tmp_path_factory.mktemp("models")
    write_models(folder)
    registry = ModelRegistry.verified(folder, NAMES, arithmetic_backends())
    registry.load()
    return Judge(registry, Metrics(), max_slices=100)


def judged(judge: Judge, volume: CTVolume, *, gone: bool = False) -> Scan:
    judgement = judge.series(volume, Parameters(), 0.0, lambda *_: None, lambda: False, 0.0)
    return judged_scan(judgement, {}, HeaderFacts(), judge.reader(volume), lambda: gone).scan


@pytest.fixture(scope="module")
def small(judge: Judge) -> Scan:
    return judged(judge, ball(SMALL_MM))


@pytest.fixture(scope="module")
def large(judge: Judge) -> Scan:
    return judged(judge, ball(LARGE_MM))


def test_a_finding_that_is_taken_away_is_found_again_by_looking(small: Scan, large: Scan) -> None:
    (plain,) = of_ball(large, small)
    assert (plain.verdict, plain.looked_in) == ("grew", None)
    for current, prior, part in ((large, without(small), "prior"), (without(large), small, "current")):
        (nodule,) = of_ball(current, prior)
        assert (nodule.verdict, nodule.looked_in) == ("grew", part)
        assert _ratio(nodule) == pytest.approx(_ratio(plain), rel=0.1)
        assert nodule.apart_mm == pytest.approx(0, abs=4)


def test_where_there_is_none_it_is_new_or_gone(judge: Judge, small: Scan) -> None:
    empty = judged(judge, ball(0.0))
    assert [(n.verdict, n.looked_in) for n in of_ball(small, empty)] == [("new", None)]
    assert [(n.verdict, n.looked_in) for n in of_ball(empty, small)] == [("gone", None)]


def test_who_goes_away_is_not_looked_for(judge: Judge, small: Scan) -> None:
    with pytest.raises(Cancelled):
        compare(small, judged(judge, ball(0.0), gone=True))


def test_guidelines_are_told_what_the_prior_shows(judge: Judge, small: Scan, large: Scan) -> None:
    def assessed(current: Scan, prior: Scan) -> tuple[str | None, tuple[str, ...]]:
        case = compared_case(compare(current, prior), current.prediction, prior.prediction, Context())
        found = bts.assess(case)
        assert ("prior_ct" in found.missing) == (not case.is_compared)
        return found.category, tuple(code for each in found.nodules if each.counts for code in each.missing)

    grown = ("subsolid-grew", {"interval"})
    for current, prior in ((large, small), (large, without(small)), (without(large), small)):
        category, missing = assessed(current, prior)
        assert (category, set(missing) & {"interval", "new_nodule", "not_compared"}) == grown
    category, missing = assessed(small, judged(judge, ball(0.0)))
    assert (category, "new_nodule" in missing) == ("subsolid-brock-open", True)
    same_day = {"AcquisitionDate": date(2026, 1, 1)}
    at_once = [replace(each, facts=HeaderFacts({}, same_day)) for each in (large, small)]
    assert assessed(at_once[0], at_once[1])[0] == "subsolid-brock-open"


def _ratio(nodule: Nodule) -> float:
    assert nodule.change is not None
    return nodule.change.ratio.value
