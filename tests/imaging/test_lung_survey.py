"""A survey of the lungs says what their whole segmentation says, and no check of a roi depends on which was asked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.lung_survey import LungSurvey, survey_lungs
from app.imaging.lungs import Pocket, cut_length_mm, distance_to_lung_mm, lung_area_cm2, segment_lungs
from app.imaging.quality import MAX_LUNG_DISTANCE_MM, check_lungs, check_roi_place, check_view
from phantoms.lung_volumes import slice_of
from phantoms.slices import AIR_HU, Disc, chest, water

TRUE_AREA_CM2 = 2 * math.pi * 5.5 * 7.8


@pytest.mark.parametrize(
    ("size_px", "spacing_mm", "work_px"),
    [(512, 0.7, 128), (511, 0.7, 127), (512, 0.9, 164), (1024, 0.35, 128), (256, 1.4, 128), (128, 2.8, 128)],
)
def test_a_survey_finds_the_same_lungs_on_coarser_pixels(size_px: int, spacing_mm: float, work_px: int) -> None:
    ct_slice = slice_of(chest(size_px=size_px, spacing_mm=spacing_mm), (spacing_mm, spacing_mm))
    survey = survey_lungs(ct_slice)
    lungs = survey.mask
    assert lungs.shape == survey.hu.shape == (work_px, work_px)
    assert survey.is_whole
    assert not (survey.unclosed & ~lungs).any()
    whole = segment_lungs(ct_slice)
    assert lung_area_cm2(lungs, ct_slice) == pytest.approx(lung_area_cm2(whole, ct_slice), rel=0.03)
    assert cut_length_mm(lungs, ct_slice, survey.hu) == cut_length_mm(whole, ct_slice) == 0
    for share in ((0.5, 0.13), (0.3, 0.5), (0.5, 0.95), (0.02, 0.5)):
        column, row = (at * size_px for at in share)
        found = distance_to_lung_mm(lungs, ct_slice, (column, row))
        # Each is right to within STRIDE_PX pixels of the slice.
        assert found == pytest.approx(distance_to_lung_mm(whole, ct_slice, (column, row)), abs=4 * spacing_mm + 2)


def test_a_survey_of_pixels_that_are_no_squares() -> None:
    ct_slice = slice_of(np.ascontiguousarray(chest(size_px=512, spacing_mm=0.7)[::2]), (1.4, 0.7))
    assert lung_area_cm2(survey_lungs(ct_slice).mask, ct_slice) == pytest.approx(TRUE_AREA_CM2, rel=0.07)


def test_a_survey_does_not_lose_a_lung_behind_a_thin_wall() -> None:
    along = (np.arange(512) - 255.5) * 0.7
    radius_mm = np.hypot(along[:, None], along)
    hu = np.where(radius_mm < 120, np.where(radius_mm < 118, -850, 40), AIR_HU).astype(np.int16)
    ct_slice = slice_of(hu, (0.7, 0.7))
    assert lung_area_cm2(survey_lungs(ct_slice).mask, ct_slice) == pytest.approx(math.pi * 11.8**2, rel=0.03)


def test_without_lung_a_survey_finds_none() -> None:
    for hu in (water(), np.full((256, 256), AIR_HU, np.int16), np.zeros((32, 32), np.int16)):
        survey = survey_lungs(slice_of(hu))
        assert not survey.lungs
        assert not survey.mask.any()
        assert not survey.unclosed.any()


def test_lung_at_the_edge_of_the_view_is_not_whole() -> None:
    whole = chest(size_px=512, spacing_mm=0.7)
    assert survey_lungs(slice_of(whole, (0.7, 0.7))).is_whole
    cut = slice_of(np.ascontiguousarray(whole[:, 120:]), (0.7, 0.7))
    survey = survey_lungs(cut)
    assert not survey.is_whole
    assert [note.code for note in check_view(cut, survey)] == ["partial_lung"]


@pytest.mark.parametrize(("beyond_columns", "is_whole"), [(0, True), (9, True), (11, False), (20, False)])
def test_lung_beside_what_lies_beyond_a_round_view_is_not_whole(beyond_columns: int, is_whole: bool) -> None:
    hu = np.full((64, 64), -850, np.float32)
    hu[:, :beyond_columns] = -2000
    labels = np.zeros((64, 64), np.int32)
    labels[20:40, 10:30] = 1
    lung = Pocket(1, 400 * 2.8**2, np.s_[20:40, 10:30], -850.0)
    assert LungSurvey(hu, labels, (lung,), 2.8).is_whole is is_whole


@settings(max_examples=60, deadline=None)
@given(
    cut=st.tuples(*(st.integers(0, 40) for _ in range(4))),
    discs=st.lists(
        st.tuples(st.floats(0, 255), st.floats(0, 255), st.floats(4, 60), st.sampled_from([AIR_HU, -850, -700, 40])),
        max_size=4,
    ),
    roi=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_what_is_asked_of_a_survey_is_answered_as_by_closed_lungs(
    cut: tuple[int, int, int, int],
    discs: list[tuple[float, float, float, float]],
    roi: tuple[float, float],
) -> None:
    hu = chest([Disc((x, y), diameter_mm, density) for x, y, diameter_mm, density in discs])
    left, right, top, bottom = cut
    ct_slice = slice_of(np.ascontiguousarray(hu[top : 256 - bottom, left : 256 - right]))
    survey = survey_lungs(ct_slice)
    rows, columns = ct_slice.hu.shape
    point = (roi[0] * (columns - 1), roi[1] * (rows - 1))
    assert not (survey.unclosed & ~survey.mask).any()
    # Whether the lungs hold air says nothing of a roi that somebody chose.
    asked = [note for note in check_lungs(ct_slice, survey.mask, survey.hu) if note.code != "opacified_lung"]
    assert [replace(note, bars_normal=False) for note in asked] == list(check_view(ct_slice, survey))
    far = distance_to_lung_mm(survey.mask, ct_slice, point) > MAX_LUNG_DISTANCE_MM
    codes = [note.code for note in check_roi_place(ct_slice, survey, point)]
    assert codes == (["roi_outside_lung"] if survey.lungs and far else [])
