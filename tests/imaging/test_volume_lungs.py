"""Lungs of volumes: generated chests of known extent, the two real series, and the quality verdicts on them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from app.imaging.lungs import cut_length_mm, segment_lungs
from app.imaging.quality import MIN_LUNG_CM2, check_lungs, check_volume_lungs
from app.imaging.volume_lungs import segment_volume
from phantoms.lung_volumes import chest_volume, series_volume, slice_of
from phantoms.slices import chest

TRUE_AREA_CM2 = 2 * math.pi * 5.5 * 7.8
MAX_BYTES_PER_SLICE = 50_000


def test_lungs_have_their_volume_and_nothing_else_is_lung() -> None:
    volume = chest_volume(slices=40, covered=(5, 3))
    lungs = segment_volume(volume)
    assert len(lungs) == 40
    assert lungs.volume_ml == pytest.approx(TRUE_AREA_CM2 * 32 * 2.5 / 10, rel=0.06)
    assert np.flatnonzero(lungs.areas_cm2).tolist() == list(range(5, 37))
    mask = lungs.mask_at(20)
    assert mask.shape == volume.hu.shape[1:]
    assert mask[100, 90]
    assert not mask[106, 127]  # the trachea
    assert lungs.packed.nbytes <= MAX_BYTES_PER_SLICE * len(lungs)
    assert check_volume_lungs(lungs) == ()


@pytest.mark.parametrize("covered", [(0, 4), (4, 0), (0, 0)])
def test_a_scan_that_does_not_hold_the_whole_lungs_is_not_normal(covered: tuple[int, int]) -> None:
    (note,) = check_volume_lungs(segment_volume(chest_volume(slices=12, covered=covered)))
    assert (note.code, note.severity, note.bars_normal) == ("lungs_not_whole", "warning", True)
    (largest,) = {int(found) for found in re.findall(r"(\d+) cm² ", note.message)} - {0, 10}
    assert largest == pytest.approx(TRUE_AREA_CM2, rel=0.03)


def test_a_scan_without_lung_is_not_judged() -> None:
    lungs = segment_volume(chest_volume(slices=12, covered=(6, 6)))
    assert [note.code for note in check_volume_lungs(lungs)] == ["no_lung"]


def test_lung_that_the_edge_of_the_view_cuts_is_remarked() -> None:
    whole, cut = slice_of(chest([])), slice_of(np.ascontiguousarray(chest([])[:, 50:]))
    assert check_lungs(whole, segment_lungs(whole)) == ()
    lungs = segment_lungs(cut)
    assert lungs[124, 10]
    assert cut_length_mm(lungs, cut) > 50
    assert [(n.code, n.severity) for n in check_lungs(cut, lungs)] == [("partial_lung", "warning")]


def test_progress_counts_every_slice() -> None:
    told: list[int] = []
    segment_volume(chest_volume(slices=10, covered=(0, 0)), progress=told.append)
    assert told == list(range(1, 11))


@pytest.mark.parametrize(("series", "volume_ml"), [("lidc-0012", 5637), ("cptac-c3n-00247", 4654)])
def test_a_real_chest(shared_data: Path, series: str, volume_ml: float) -> None:
    volume = series_volume(shared_data / "series" / series)
    lungs = segment_volume(volume)
    assert lungs.volume_ml == pytest.approx(volume_ml, rel=0.02)
    assert check_volume_lungs(lungs) == ()
    shown = np.flatnonzero(lungs.areas_cm2 > MIN_LUNG_CM2 + 1)  # a slice on its own shows a little less
    assert shown.tolist() == list(range(shown[0], shown[-1] + 1))
    for index in (*shown[:6].tolist(), *shown[-6:].tolist()):
        ct_slice = volume.slice_at(index)
        assert "no_lung" not in {note.code for note in check_lungs(ct_slice, segment_lungs(ct_slice))}, index
