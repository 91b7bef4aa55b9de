"""Pairs of scans that are made from one: what is changed, and what is told of it, on a phantom."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from app.comparison.compare import Scan
from app.comparison.patients import HeaderFacts
from app.imaging.volume import CTVolume
from app.inference.registry import ModelRegistry
from app.judgement.comparing import judged_scan
from app.judgement.judge import Judge
from app.judgement.parameters import Parameters
from app.telemetry import Metrics
from benchmarks import comparisons, scan_pairs
from benchmarks.comparisons import (
    Appearance,
    Figures,
    Outcome,
    Registration,
    Sown,
    appearances,
    is_right,
    measure,
    sow,
    tables,
)
from benchmarks.scan_pairs import CHANGES, PlantedBall, motion_of, moved, noisier, place_mm, thicker, with_balls
from benchmarks.serving.report import filled
from phantoms.lung_volumes import chest_volume
from tests.conftest import REPOSITORY
from tests.fakes import NAMES, arithmetic_backends, write_models
from training.data.scans import Scan as WholeScan

PLACE = (24, 120, 70)
DENSE_HU = -400


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    return chest_volume(slices=40)


def added(volume: CTVolume, plain: CTVolume) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray((volume.hu > DENSE_HU) & (plain.hu <= DENSE_HU))


def test_a_ball_has_its_volume_and_a_grown_one_a_multiple(volume: CTVolume) -> None:
    ball = PlantedBall(PLACE, 16.0)
    for factor in (1.0, 3.0):
        inside = added(with_balls(volume, [ball.grown(factor)]), volume)
        assert inside.sum() * math.prod(volume.spacing_mm) == pytest.approx(factor * math.pi / 6 * 16**3, rel=0.05)
        assert ndimage.center_of_mass(inside) == pytest.approx(PLACE, abs=0.3)


def test_a_scan_that_is_moved_shows_a_ball_where_it_comes_to_lie(volume: CTVolume) -> None:
    turn, shift = (2.0, -1.5, 4.0), (5.0, -9.0, 6.0)
    planted, plain = (moved(v, turn, shift) for v in (with_balls(volume, [PlantedBall(PLACE, 16.0)]), volume))
    wanted = motion_of(volume, turn, shift) @ (*place_mm(volume, PLACE), 1.0)
    index, row, column = ndimage.center_of_mass(added(planted, plain))
    found = place_mm(plain, (float(index), float(row), float(column)))
    assert found == pytest.approx(wanted[:3].tolist(), abs=1)
    assert np.linalg.norm(wanted[:3] - place_mm(volume, PLACE)) > 10


def test_the_other_changes_keep_places_and_geometry(volume: CTVolume) -> None:
    planted = with_balls(volume, [PlantedBall(PLACE, 16.0)])
    thick = thicker(planted)
    assert (len(thick), thick.spacing_mm[0]) == (20, 2 * volume.spacing_mm[0])
    assert place_mm(thick, (11.75, 120, 70)) == pytest.approx(place_mm(planted, PLACE))
    noisy = noisier(planted)
    assert np.array_equal(noisy.hu, noisier(planted).hu)
    assert float((noisy.hu.astype(float) - planted.hu).std()) == pytest.approx(25, rel=0.1)
    for change in CHANGES.values():
        assert change(planted).hu.dtype == np.int16


def outcome(pair: str, verdict: str, ratio: float | None, true_ratio: float = 1.0) -> Outcome:
    return Outcome.model_validate(
        {"scan": "a", "pair": pair, "verdict": verdict, "ratio": ratio, "true_ratio": true_ratio, "diameter_mm": 8.0}
    )


def test_the_tables_count_what_was_said() -> None:
    figures = Figures(
        outcomes=(
            *(outcome("noise", verdict, ratio) for verdict, ratio in (("stable", 1.1), ("grew", 1.5))),
            *(outcome("moved", "within_measurement_error", ratio) for ratio in (1.3, 1.2)),
            *(outcome("x 2.00", verdict, ratio, 2.0) for verdict, ratio in (("grew", 2.2), ("stable", 1.2))),
            outcome("x 0.50", "shrank", 0.5, 0.5),
        ),
        missed={"noise": 1},
        appearances=tuple(
            Appearance.model_validate({"scan": "a", "true": true, "diameter_mm": 8.0, "verdict": verdict})
            for true, verdict in (("new", "new"), ("new", "grew"), ("new", None), ("gone", "gone"))
        ),
        registrations=(Registration(scan="a", moved_mm=17.58, error_mm=0.162, overlap=0.971),),
    )
    text = tables(figures)
    assert "Of nodules in two scans of one day, 3 of 4 (0.75, 0.19 to 0.99) are not said to have grown" in text
    assert "| noise | 2 | 50.0% | 50.0% | 1.30 | 1 |" in text
    assert "| 2 | 2 | 50.0% | 0.0% | 25.0% | 0 |" in text
    assert "| new | 2 | 1 of 2 (0.50, 0.01 to 0.99) | 1 `grew` |" in text
    assert "| gone | 1 | 1 of 1 (1.00, 0.03 to 1.00) | none |" in text
    assert "| a | 17.6 mm | 0.16 mm | 0.97 |" in text
    assert is_right(outcome("x 0.50", "shrank", 0.5, 0.5))
    page = (REPOSITORY / "docs" / "comparisons.md").read_text("utf-8")
    assert text in filled(page, text, comparisons.BEGIN)


def test_pairs_of_a_phantom_are_told_apart(volume: CTVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path)
    registry = ModelRegistry.verified(tmp_path, NAMES, arithmetic_backends())
    registry.load()
    judge = Judge(registry, Metrics(), max_slices=100)

    def judged(each: CTVolume) -> Scan:
        judgement = judge.series(each, Parameters(), 0.0, lambda *_: None, lambda: False, 0.0)
        return judged_scan(judgement, {}, HeaderFacts(), judge.reader(each)).scan

    monkeypatch.setattr(comparisons, "CHANGES", {"moved": CHANGES["moved"]})
    monkeypatch.setattr(comparisons, "FACTORS", (2.0,))
    sown = sow(WholeScan("phantom", volume, np.empty((0, 4))), (12.0,))
    assert len(sown.balls) == 1
    # The second look of these models asks for 200 HU; a ball of soft tissue is of low suspicion, which is compared too.
    figures = measure([Sown("phantom", volume, sown.balls)], judged)
    said = {each.pair: each for each in figures.outcomes if each.diameter_mm is not None}
    assert (said["moved"].verdict, said["x 2.00"].verdict, said["x 0.50"].verdict) == ("stable", "grew", "shrank")
    assert said["x 2.00"].ratio == pytest.approx(2, rel=0.25)  # pixels of 1.4 mm
    assert not any(figures.missed.values())
    assert {each.verdict for each in figures.appearances} == {None}  # what counts for nothing is not said to be new
    monkeypatch.setattr(scan_pairs, "BALL_HU", 300.0)
    counting = appearances(Sown("phantom", volume, sown.balls), judged)
    assert {(each.true, each.verdict) for each in counting} == {("new", "new"), ("gone", "gone")}
