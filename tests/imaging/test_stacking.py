"""Where slices lie: what makes one regular axial stack and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import (
    DuplicatePosition,
    GantryTilt,
    IrregularSpacing,
    MissingSlices,
    NotAxial,
    SpacingTooLarge,
    TooFewSlices,
)
from tests.imaging.series_files import LOWEST_MM, STEP_MM, built, refused, series_files, slice_file

bounded = settings(derandomize=True, deadline=None, max_examples=40)


@bounded
@given(slices=st.integers(4, 12), data=st.data())
def test_any_one_missing_inner_slice_is_a_gap(slices: int, data: st.DataObject) -> None:
    missing = data.draw(st.integers(1, slices - 2))
    files = series_files(slices)
    del files[missing]
    below, above = (LOWEST_MM + STEP_MM * (missing + step) for step in (-1, 1))
    place = f"the first of 5 mm between z = {below:.2f} mm and z = {above:.2f} mm"
    assert refused(files, MissingSlices) == f"1 gap(s), {place}"


def test_missing_ends_cannot_be_seen() -> None:
    assert len(built(series_files(6)[1:-1])) == 4


@bounded
@given(which=st.integers(1, 8), off_mm=st.floats(0.11, 1.0))
def test_an_uneven_distance(which: int, off_mm: float) -> None:
    files = series_files(10)
    files[which] = slice_file(which, z_mm=LOWEST_MM + STEP_MM * which + round(off_mm, 4))
    assert "2 uneven distance(s)" in refused(files, IrregularSpacing)


def test_different_slices_at_one_place() -> None:
    again = slice_file(70, z_mm=LOWEST_MM)
    found = refused([*series_files(), again], DuplicatePosition)
    assert found == "1 pair(s) of different slices at one place, the first at z = -140.00 mm"


@pytest.mark.parametrize("tilt_deg", [-19, -1.2, 1.2, 15])
def test_gantry_tilt(tilt_deg: float) -> None:
    """The table moves along z while the slices lean: their normal is not the direction they are stacked in."""
    lean = np.radians(tilt_deg)
    cosines = [1, 0, 0, 0, round(float(np.cos(lean)), 6), round(float(np.sin(lean)), 6)]
    found = refused(series_files(ImageOrientationPatient=cosines), GantryTilt)
    assert f"{abs(tilt_deg):.1f}°" in found


def test_less_than_a_degree_is_no_tilt() -> None:
    assert len(built(series_files(ImageOrientationPatient=[1, 0, 0, 0, 0.999877, 0.015708]))) == 6


def test_not_axial() -> None:
    coronal = [
        slice_file(n, ImageOrientationPatient=[1, 0, 0, 0, 0, -1], ImagePositionPatient=[-120, 2 * n, 100])
        for n in range(5)
    ]
    assert refused(coronal, NotAxial) == "slices tilted 90° from axial"


def test_slices_too_far_apart() -> None:
    assert len(built([slice_file(n, z_mm=5.0 * n) for n in range(4)])) == 4
    assert refused([slice_file(n, z_mm=5.5 * n) for n in range(4)], SpacingTooLarge) == "slices 5.5 mm apart"


@pytest.mark.parametrize("slices", [1, 2])
def test_too_few_slices(slices: int) -> None:
    assert refused(series_files(slices), TooFewSlices) == f"{slices} slice(s)"


def test_overlapping_reconstructions_are_legal() -> None:
    files = [slice_file(index, z_mm=0.4 * index, SliceThickness=5.0) for index in range(9)]
    assert built(files).spacing_mm[0] == pytest.approx(0.4)


def test_positions_rounded_to_a_tenth_are_legal() -> None:
    heights = [round(0.625 * index, 1) for index in range(20)]
    volume = built([slice_file(index, z_mm=z) for index, z in enumerate(heights)])
    assert volume.spacing_mm[0] == pytest.approx(0.625, abs=0.01)


def test_a_slight_tilt_of_the_patient_is_no_gantry_tilt() -> None:
    sine, cosine = np.sin(np.radians(10)), np.cos(np.radians(10))
    files = [
        slice_file(
            index,
            ImageOrientationPatient=[1, 0, 0, 0, round(cosine, 6), round(sine, 6)],
            ImagePositionPatient=[-120, round(-sine * 2 * index, 4), round(cosine * 2 * index, 4)],
        )
        for index in range(6)
    ]
    volume = built(files)
    assert volume.spacing_mm[0] == pytest.approx(2.0, abs=1e-4)
    assert volume.to_patient_mm(0, (0, 0)) == volume.positions_mm[0]
