"""The parts of the benchmark on a generated chest, judged by arithmetic: denser than 200 HU is suspected, than -400
listed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.inference.bundle import load_bundle
from app.inference.model import Model
from benchmarks.scan import false_alarms, planted_series
from benchmarks.scan.answers import Judge
from benchmarks.scan.cubes import SIDE_VX, Cube
from benchmarks.scan.known import SCANS, KnownScan
from benchmarks.scan.networks import opened
from benchmarks.scan.pictures import Sheet
from benchmarks.whole_scans import Lesion
from phantoms.lung_volumes import Ball, chest_volume
from tests.benchmarks.test_planting import nodule
from tests.fakes import ArithmeticBackend, arithmetic_detector, arithmetic_look, write_bundle
from training.data.nodules import TRAIT_SCALES
from training.data.scans import Scan

KNOWN, UNKNOWN = Ball((85, 128), 75, 12, hu=300), Ball((85, 100), 110, 12, hu=300)


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    detector = arithmetic_detector(tmp_path)
    model = Model.load(load_bundle(write_bundle(tmp_path)), ArithmeticBackend())
    return Judge("arithmetic", model, detector, arithmetic_look(tmp_path, detector))


def chest(*balls: Ball, known: Ball | None = None, free: tuple[int, ...] = ()) -> KnownScan:
    volume = chest_volume(balls)
    spheres, lesions = np.zeros((0, 4)), []
    if known is not None:
        index = round(known.height_mm / volume.spacing_mm[0])
        position = np.array(volume.to_patient_mm(index, known.centre_px))
        spheres = np.array([[*position, known.diameter_mm / 2]])
        lesions = [Lesion(position, known.diameter_mm, 4, np.array([[index, *known.centre_px]]))]
    return KnownScan(SCANS["lidc-0012"], Scan("chest", volume, spheres), tuple(lesions), free)


def cube(hu: int) -> Cube:
    distance = np.linalg.norm(np.indices((SIDE_VX,) * 3) - SIDE_VX // 2, axis=0)
    rated = replace(nodule(radius_mm=7), traits=(3.0,) * len(TRAIT_SCALES))
    return Cube(rated, np.where(distance <= 7, hu, -860).astype(np.int16), distance <= 7)


@pytest.mark.parametrize(("hu", "suspected"), [(350, True), (0, False)])
def test_what_is_planted_is_found_where_it_is(judge: Judge, hu: int, suspected: bool) -> None:
    sheet = Sheet("test")
    found = planted_series.measure(chest(), [cube(hu)], judge, sheet, most=None)
    assert {p.setting for p in found.plantings} == {"free", "wall"}
    free = next(p for p in found.plantings if p.setting == "free")
    assert (free.listed, free.suspected) == (True, suspected)
    assert free.diameter_mm == pytest.approx(14, abs=0.5)
    assert len(sheet.missed_tiles) == sum(not p.suspected for p in found.plantings)


def test_a_whole_scan_tells_known_lesions_from_others(judge: Judge, tmp_path: Path) -> None:
    sheet = Sheet("test")
    known = chest(KNOWN, UNKNOWN, known=KNOWN)
    (series,) = false_alarms.measure([known], lambda _: judge, sheet).series
    assert [(lesion.listed, lesion.suspected) for lesion in series.lesions] == [(True, True)]
    assert (series.other_suspected, series.marked) == (1, 0)
    sheet.write(tmp_path / "pictures")
    assert (tmp_path / "pictures" / "test-false.png").is_file()
    assert not (tmp_path / "pictures" / "test-missed.png").exists()


def test_slices_and_parts_without_lesion_are_counted(judge: Judge) -> None:
    index = round(UNKNOWN.height_mm / 2.5)
    known = chest(UNKNOWN, free=tuple(range(10, 25)) + tuple(range(index - 7, index + 8)))
    found = false_alarms.measure([known], lambda _: judge, Sheet("test"))
    suspected = {a.index for a in found.slices if a.answer.decision == "cancer_suspected"}
    assert index in suspected
    assert suspected <= set(range(index - 3, index + 4))
    assert [(p.first, p.last) for p in found.parts] == [(10, 24), (index - 7, index + 7)]
    assert [any(f.suspicion == "suspected" for f in p.answer.findings) for p in found.parts] == [False, True]


def test_an_opened_judge_shows_what_was_below_every_point(judge: Judge) -> None:
    grey = Ball((85, 128), 75, 12, hu=-420)
    volume = chest(grey).scan.volume
    shown, everything = ([f.center_px for f in each.in_series(volume).findings] for each in (judge, opened(judge)))
    assert grey.centre_px not in shown
    assert grey.centre_px in everything
