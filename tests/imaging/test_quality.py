"""Every quality code, provoked once, and the places of a chest a roi may be set on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.blood_pool import blood_pools_hu
from app.imaging.ct import CTSlice, Orientation, QualityNote, SliceSource
from app.imaging.lung_survey import survey_lungs
from app.imaging.lungs import segment_lungs
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.quality import check_lungs, check_roi, check_roi_place, check_slice, check_view
from app.imaging.read import read_slice
from phantoms.slices import AIR_HU, CENTRAL_NODULE, Disc, chest, water
from tests.reference_scans import UNFIT, ReferenceScan

SPEC = PatchSpec(48, 0.7)
PLEURAL = Disc((41.0, 124.0), 12.0)
CALCIFIED = Disc((178.0, 124.0), 10.0, 700.0)


def slice_of(hu: NDArray[np.int16]) -> CTSlice:
    rows, columns = hu.shape
    return CTSlice(hu.astype(np.float32), (1.4, 1.4), SliceSource("array", rows, columns))


CHEST = slice_of(chest([CENTRAL_NODULE, PLEURAL, CALCIFIED]))


def codes(notes: Sequence[QualityNote]) -> list[tuple[str, str]]:
    assert all(note.message for note in notes)
    return [(note.code, note.severity) for note in notes]


def at(column: float, row: float) -> list[tuple[str, str]]:
    return codes(check_roi(extract_patch(CHEST, (column, row), SPEC)))


def test_a_fit_slice_has_nothing_to_say() -> None:
    assert check_slice(replace(CHEST, orientation=Orientation((1, 0, 0), (0, 1, 0)), thickness_mm=5.0)) == ()
    assert (check_lungs(CHEST, segment_lungs(CHEST)), check_view(CHEST, survey_lungs(CHEST))) == ((), ())


def test_what_reading_assumed_is_kept() -> None:
    note = QualityNote("spacing_assumed", "warning", "…")
    assert check_slice(replace(CHEST, notes=(note,))) == (note,)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (Orientation((1, 0, 0), (0, 0, -1)), [("not_axial", "error")]),
        (Orientation((1, 0, 0), (0, 0.92, 0.392)), [("not_axial", "error")]),
        (Orientation((1, 0, 0), (0, 0.95, 0.3122)), []),
    ],
    ids=["coronal", "23 degrees", "18 degrees"],
)
def test_tilt(orientation: Orientation, expected: list[tuple[str, str]]) -> None:
    assert codes(check_slice(replace(CHEST, orientation=orientation))) == expected


def test_thickness_and_contrast() -> None:
    assert codes(check_slice(replace(CHEST, thickness_mm=7.5))) == [("thick_slice", "warning")]
    assert codes(check_slice(slice_of(np.full((64, 64), 40, np.int16)))) == [("no_contrast", "error")]


def test_contrast_may_lie_anywhere() -> None:
    hu = np.full((64, 64), 40, np.int16)
    hu[13, 29] = 400
    assert check_slice(slice_of(hu)) == ()


def test_no_lung() -> None:
    bottle = slice_of(water())
    assert codes(check_lungs(bottle, segment_lungs(bottle))) == [("no_lung", "error")]
    assert codes(check_view(bottle, survey_lungs(bottle))) == [("no_lung", "error")]


def test_the_last_slices_of_a_lung_show_some(shared_data: Path) -> None:
    """The outermost with more than 3 cm² of lung in the whole scan: 4.5, 3.0, 4.2 and 8.5 cm²."""
    for name in ("cptac-c3n-00247/000014", "cptac-c3n-00247/000005", "lidc-0012/1-116", "lidc-0012/1-007"):
        ct_slice = read_slice((shared_data / "series" / f"{name}.dcm").read_bytes())
        assert codes(check_lungs(ct_slice, segment_lungs(ct_slice))) == [], name
        assert codes(check_view(ct_slice, survey_lungs(ct_slice))) == [], name


@pytest.mark.parametrize("scan", [scan for scan in UNFIT if "not-lung-ct" in scan.path], ids=lambda scan: scan.path)
def test_head_and_abdomen_show_no_lung_at_all(shared_data: Path, scan: ReferenceScan) -> None:
    ct_slice = read_slice((shared_data / scan.path).read_bytes())
    assert not segment_lungs(ct_slice).any()
    assert not survey_lungs(ct_slice).lungs


def test_a_narrow_view_is_left_to_the_roi() -> None:
    lung = slice_of(np.ascontiguousarray(chest()[60:200, 40:110]))
    survey = survey_lungs(lung)
    assert codes(check_view(lung, survey)) == [("narrow_view", "warning")]
    assert check_roi_place(lung, survey, (0, 0)) == ()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (CENTRAL_NODULE.centre_px, []),
        (PLEURAL.centre_px, []),
        (CALCIFIED.centre_px, []),
        ((178, 90), []),
        ((37, 110), []),
        ((5, 124), [("roi_near_edge", "warning"), ("roi_in_air", "error")]),
        ((127, 106), [("roi_in_air", "error")]),
        ((127, 179), [("roi_on_bone", "error")]),
        ((31, 127), [("roi_on_bone", "error")]),
        ((127, 142), [("roi_outside_lung", "error")]),
    ],
    ids=[
        *("nodule", "nodule on the pleura", "calcified nodule", "lung", "edge of the lung"),
        *("air at the border", "trachea", "spine", "rib", "mediastinum"),
    ],
)
def test_places_of_a_roi(place: tuple[float, float], expected: list[tuple[str, str]]) -> None:
    assert at(*place) == expected


def test_a_roi_far_from_the_lungs() -> None:
    survey = survey_lungs(CHEST)
    far = (127.0, 198.0)  # behind the spine
    assert codes(check_roi_place(CHEST, survey, far)) == [("roi_outside_lung", "error")]
    assert check_roi_place(CHEST, survey, CENTRAL_NODULE.centre_px) == ()
    bottle = slice_of(water())
    assert check_roi_place(bottle, survey_lungs(bottle), far) == ()


def test_air_alone_is_in_air() -> None:
    air = slice_of(np.full((256, 256), AIR_HU, np.int16))
    assert ("roi_in_air", "error") in codes(check_roi(extract_patch(air, (128, 128), SPEC)))


VESSEL, RIB = (120.0, 157.0), (31.0, 127.0)


def with_contrast(blood_hu: float) -> CTSlice:
    """The chest with a great vessel of 26 mm between the lungs, and a vessel of 310 HU beside it."""
    return slice_of(chest([Disc((128.0, 128.0), 26.0, blood_hu), Disc(VESSEL, 12.0, 310.0)]))


@pytest.mark.parametrize(
    ("blood_hu", "place", "code", "knows_blood"),
    [
        (280.0, VESSEL, "roi_like_blood", True),
        (180.0, VESSEL, "roi_on_bone", True),  # too dense for this blood
        (40.0, VESSEL, "roi_on_bone", False),  # no contrast
        (560.0, RIB, "roi_on_bone", False),  # a rib is none of the vessels, however dense
    ],
)
def test_what_is_as_dense_as_blood_is_no_bone(
    blood_hu: float, place: tuple[float, float], code: str, knows_blood: bool
) -> None:
    ct_slice = with_contrast(blood_hu)
    survey = survey_lungs(ct_slice)
    (note,) = check_roi(extract_patch(ct_slice, place, SPEC), lambda: blood_pools_hu(ct_slice, survey, place))
    assert note.code == code
    assert ("blood" in note.message) is knows_blood
