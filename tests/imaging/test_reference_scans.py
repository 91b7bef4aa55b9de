"""Real scans against the table of what they hold."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pydicom
import pytest

from app.errors import InputError
from app.imaging.ct import CTSlice
from app.imaging.lungs import lung_area_cm2, segment_lungs
from app.imaging.options import ReadOptions
from app.imaging.quality import check_lungs, check_slice
from app.imaging.read import read_slice
from phantoms.slices import WINDOW_8_BIT, WINDOW_16_BIT, picture, windowed
from tests.imaging.refusals import assert_explains
from tests.reference_scans import (
    LOSSLESS_VARIANTS,
    LOSSY_VARIANTS,
    REFUSED,
    SAME_COEFFICIENTS,
    SERIES,
    UNFIT,
    VARIANTS_ORIGINAL,
    ReferenceScan,
    Variant,
)

REFUSALS = [(path, error) for error, paths in REFUSED.items() for path in paths]
READABLE = (VARIANTS_ORIGINAL, *SERIES, *UNFIT)


def read(folder: Path, path: str) -> CTSlice:
    return read_slice((folder / path).read_bytes())


def variant(folder: Path, uid: str) -> CTSlice:
    (path,) = (folder / "dicom-variants").glob(f"*_{uid}.dcm")
    return read_slice(path.read_bytes())


def error_codes(ct_slice: CTSlice) -> tuple[str, ...]:
    notes = (*check_slice(ct_slice), *check_lungs(ct_slice, segment_lungs(ct_slice)))
    return tuple(note.code for note in notes if note.severity == "error")


@pytest.mark.parametrize("scan", READABLE, ids=lambda scan: Path(scan.path).stem[-30:])
def test_values_spacing_and_fitness(shared_data: Path, scan: ReferenceScan) -> None:
    ct_slice = read(shared_data, scan.path)
    assert (ct_slice.hu.min(), ct_slice.hu.max()) == (scan.low_hu, scan.high_hu)
    assert ct_slice.hu.mean(dtype=np.float64) == pytest.approx(scan.mean_hu, abs=0.01)
    assert ct_slice.spacing_mm == (scan.spacing_mm, scan.spacing_mm)
    assert error_codes(ct_slice) == scan.unfit


@pytest.mark.parametrize("lossless", LOSSLESS_VARIANTS, ids=lambda v: v.uid)
def test_lossless_syntaxes_give_the_same_values(shared_data: Path, lossless: Variant) -> None:
    original, ct_slice = read(shared_data, VARIANTS_ORIGINAL.path), variant(shared_data, lossless.uid)
    assert np.array_equal(ct_slice.hu, original.hu)
    assert (ct_slice.spacing_mm, ct_slice.position_mm) == (original.spacing_mm, original.position_mm)


@pytest.mark.parametrize("lossy", LOSSY_VARIANTS, ids=lambda v: v.uid)
def test_lossy_syntaxes_stay_within_their_own_error(shared_data: Path, lossy: Variant) -> None:
    error = np.abs(variant(shared_data, lossy.uid).hu - read(shared_data, VARIANTS_ORIGINAL.path).hu)
    assert 0 < error.max() <= lossy.max_error_hu
    assert error.mean(dtype=np.float64) <= lossy.mean_error_hu


def test_the_same_coefficients_decode_alike(shared_data: Path) -> None:
    slices = [variant(shared_data, uid).hu for uid in SAME_COEFFICIENTS]
    assert all(np.array_equal(slices[0], other) for other in slices[1:])


@pytest.mark.parametrize(("path", "error"), REFUSALS, ids=lambda value: value[-40:] if isinstance(value, str) else "")
def test_what_is_no_ct_is_refused_for_its_reason(shared_data: Path, path: str, error: type[InputError]) -> None:
    with pytest.raises(error) as caught:
        read(shared_data, path)
    assert caught.type is error
    assert_explains(caught.value)


def test_the_table_covers_the_folders(shared_data: Path) -> None:
    named = {scan.path for scan in READABLE} | {path for path, _ in REFUSALS}
    named |= {str(p.relative_to(shared_data)) for p in (shared_data / "dicom-variants").glob("*_1.2.*")}
    folders = ("dicom-variants", "not-lung-ct", "malformed")
    assert {str(p.relative_to(shared_data)) for f in folders for p in (shared_data / f).iterdir()} == named - {
        scan.path for scan in SERIES
    }
    assert len(list((shared_data / "dicom-variants").iterdir())) == 1 + len(LOSSLESS_VARIANTS) + len(LOSSY_VARIANTS)


@pytest.mark.parametrize("path", sorted({path for path, _ in REFUSALS} | {scan.path for scan in UNFIT}))
def test_no_error_quotes_the_file(shared_data: Path, path: str) -> None:
    data = (shared_data / path).read_bytes()
    try:
        message = str(read_slice(data).notes)
    except InputError as error:
        message = str(error)
    try:
        dataset = pydicom.dcmread(shared_data / path, force=True, stop_before_pixels=True)
        keywords = ("PatientName", "PatientID", "SOPInstanceUID", "StudyInstanceUID", "AccessionNumber")
        values = [str(dataset.get(keyword, "")) for keyword in keywords]
    except Exception:
        pytest.skip("not even pydicom reads its header")
    # A name of one or two letters is in any sentence.
    assert not any(value in message for value in values if len(value) > 2)


@pytest.mark.parametrize("path", [SERIES[0].path, SERIES[1].path])
def test_a_picture_of_a_real_slice_keeps_its_values(shared_data: Path, path: str) -> None:
    original = read(shared_data, path)
    for bits, window in ((16, WINDOW_16_BIT), (8, WINDOW_8_BIT)):
        values = windowed(original.hu.astype(np.int16), window, 16 if bits == 16 else 8)
        options = ReadOptions(pixel_spacing_mm=original.spacing_mm, window=window)
        copy = read_slice(picture(values), options)
        inside = (original.hu >= window.low_hu) & (original.hu <= window.high_hu)
        step = window.width_hu / ((1 << bits) - 1)
        assert np.abs(copy.hu - original.hu)[inside].max() <= step / 2 + 1e-3


@pytest.mark.parametrize(("series", "slices"), [("lidc-0012", 128), ("cptac-c3n-00247", 99)])
def test_lungs_grow_and_shrink_smoothly_through_a_chest(shared_data: Path, series: str, slices: int) -> None:
    paths = sorted((shared_data / "series" / series).glob("*.dcm"))
    assert len(paths) == slices
    scans = sorted((read_slice(p.read_bytes()) for p in paths[::4]), key=lambda s: (s.position_mm or (0, 0, 0))[2])
    areas = [lung_area_cm2(segment_lungs(scan), scan) for scan in scans]
    assert max(areas) > 150
    # Four slices are 10 to 12 mm: a lung that comes or goes within them was taken for air, or air for a lung.
    assert all(abs(b - a) < 120 for a, b in itertools.pairwise(areas))
