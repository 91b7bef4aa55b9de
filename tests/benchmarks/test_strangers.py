"""Named strangers: what they are made of, and how what is said of them is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.imaging.patches import PatchSpec
from app.inference.bundle import load_bundle
from app.inference.model import Model
from benchmarks.stranger_pictures import (
    BODY_HU,
    CHANGES,
    MARGIN_MM,
    METAL_HU,
    PLACES,
    Shown,
    chosen_hosts,
    places_in_body,
    plane,
    strangers,
    with_metal,
)
from benchmarks.strangers import SHARES, figures, judged, table
from tests.fakes import SIZE_PX, ArithmeticBackend, write_bundle
from training.data.nodules import TRAIT_SCALES, Nodule


def patch(mean_hu: float, centre_hu: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    hu = np.full((SIZE_PX, SIZE_PX), mean_hu, np.float32)
    hu[SIZE_PX // 2 - 2 : SIZE_PX // 2 + 2, SIZE_PX // 2 - 2 : SIZE_PX // 2 + 2] = centre_hu
    return hu


def test_what_is_said_is_counted_by_group(tmp_path: Path) -> None:
    """The arithmetic classifier finds a mean beyond ±950 HU strange and a centre below -700 HU no nodule."""
    model = Model.load(load_bundle(write_bundle(tmp_path)), ArithmeticBackend())
    shown = [
        Shown("nodule", "A", patch(-800, 600)),
        Shown("nodule", "A", patch(-800, -100)),
        Shown("metal", "B", patch(2000, 600)),
        Shown("air", "C", patch(-800, -900)),
    ]
    rows = {row["group"]: row for row in figures(shown, judged(shown, model))}
    assert list(rows) == ["nodule", "metal", "air"]
    assert (rows["nodule"]["of"], rows["nodule"]["patches"]) == (1, 2)
    assert [rows["nodule"][name][0] for name in SHARES] == [0, 0, 0, 0.5]
    assert [rows["metal"][name][0] for name in SHARES] == [1, 0, 1, 0]  # what is rejected is not called
    assert [rows["air"][name][0] for name in SHARES] == [0, 1, 1, 0]
    assert "| metal | 1 | 1 | 1.00 (0.03 to 1.00) |" in table(list(rows.values()))


def test_places_lie_deep_in_the_body_and_are_the_same_every_time() -> None:
    hu = np.full((200, 200), -1000, np.float32)
    hu[50:150, 60:160] = 40
    found = places_in_body(plane(hu, 0.8), np.random.default_rng(0))
    assert found == places_in_body(plane(hu, 0.8), np.random.default_rng(0))
    assert len(found) == PLACES
    edge_px = MARGIN_MM / 0.8
    for column, row in found:
        assert 60 + edge_px - 1 <= column <= 159 - edge_px + 1
        assert 50 + edge_px - 1 <= row <= 149 - edge_px + 1
    assert places_in_body(plane(np.full((90, 90), BODY_HU - 1, np.float32), 0.8), np.random.default_rng(0)) == []


def test_changes_are_what_they_are_called() -> None:
    hu, rng = np.full((71, 71), -500, np.float32), np.random.default_rng(0)
    made = {name: change(hu, 0.7, rng) for name, change in CHANGES.items()}
    assert all(found.dtype == np.float32 and found.shape == hu.shape for found in made.values())
    np.testing.assert_array_equal(made["nodule"], hu)
    np.testing.assert_array_equal(made["nodule, inverted"], hu)  # -500 is its own mirror image
    assert made["nodule, stored values taken for HU"][0, 0] == 524
    assert made["nodule, scale of 2"][0, 0] == 24
    assert made["nodule, noise of 300 HU"].std() == pytest.approx(300, rel=0.05)
    assert 0 <= made["nodule, grey levels taken for HU"].min() <= made["nodule, grey levels taken for HU"].max() <= 255


def test_metal_is_small_dense_and_streaks() -> None:
    found = with_metal(np.full((71, 71), -800, np.float32), 0.7, np.random.default_rng(1))
    area_mm2 = np.count_nonzero(found == METAL_HU) * 0.7**2
    assert 2 <= area_mm2 <= np.pi * 3.5**2
    assert np.abs(found[found != METAL_HU] + 800).max() > 150


def nodule(number: int, patient: str) -> Nodule:
    traits = (3.0,) * len(TRAIT_SCALES)
    return Nodule(number, patient, 0, "", "", "", 0.7, 8.0, (0, 0), (3,), traits, np.zeros((71, 71), np.int16), None)


def test_a_patient_lends_one_nodule() -> None:
    given = [nodule(1, "A"), nodule(2, "A"), nodule(3, "B"), replace(nodule(4, "C"), spacing_mm=0.6)]
    assert [host.nodule_id for host in chosen_hosts(given)] == [1, 3, 4]


def test_every_stranger_of_the_development_data_fills_the_input(shared_data: Path) -> None:
    spec = PatchSpec(64, 0.5)
    shown = list(strangers(shared_data, spec))
    groups = {s.group for s in shown}
    assert {
        "nodule",
        "nodule with metal, generated",
        "noise alone",
        "mass",
        "places in abdomen (chest-slices)",
    } <= groups
    assert {"places in head (not-lung-ct)", "nodule, inverted", "nodule, scale of 2"} <= groups
    assert all(s.hu.shape == (64, 64) and s.hu.dtype == np.float32 for s in shown)
    assert len({s.owner for s in shown if s.group == "mass"}) >= 3
