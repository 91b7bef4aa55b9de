"""Whether HU are HU: phantoms, real chests, and both with a wrong slope or intercept."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InputError
from app.imaging.ct import CTSlice, QualityNote, SliceSource
from app.imaging.options import ReadOptions, Window
from app.imaging.read import read_slice
from app.imaging.scale import CODE, check_scale, check_volume_scale
from app.imaging.volume import CTVolume
from phantoms.lung_volumes import chest_volume, series_volume, slice_of
from phantoms.slices import WINDOW_8_BIT, WINDOW_16_BIT, chest, picture, water, windowed

SCANS = ("lidc-0012", "lidc-0001", "cptac-c3n-00247")


def severities(notes: tuple[QualityNote, ...]) -> list[str]:
    assert all(note.code == CODE and note.bars_normal and "HU" in note.message for note in notes)
    return [note.severity for note in notes]


def rescaled(ct_slice: CTSlice, slope: float, intercept: float) -> CTSlice:
    """As if the header said so of values stored with slope 1 and intercept -1024."""
    return replace(ct_slice, hu=(slope * (ct_slice.hu + 1024) + intercept).astype(np.float32))


def rescaled_volume(volume: CTVolume, slope: float, intercept: float) -> CTVolume:
    return replace(volume, hu=np.rint(slope * (volume.hu + 1024.0) + intercept).astype(np.int16))


def readable(folder: Path) -> dict[str, CTSlice]:
    found = {}
    for path in sorted(folder.glob("*.dcm")):
        with suppress(InputError):
            found[path.name] = read_slice(path.read_bytes())
    return found


CHEST = slice_of(chest())


@pytest.mark.parametrize("hu", [chest(), chest([]), water(), chest(size_px=128, spacing_mm=2.8)])
def test_phantoms_are_plausible(hu: NDArray[np.int16]) -> None:
    assert check_scale(slice_of(hu)) == ()


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        (1.0, -1024.0, []),
        (1.1, -1024.0, []),
        (1.2, -1024.0, ["error"]),
        (1.5, -1024.0, ["error"]),
        (2.0, -1024.0, ["error"]),
        (0.8, -1024.0, ["error"]),
        (0.7, -1024.0, ["error"]),
        (1.0, -800.0, ["error"]),
        (1.0, -924.0, ["warning"]),
        (1.0, -1124.0, ["warning"]),
        (1.0, -1200.0, ["error"]),
    ],
)
def test_a_wrong_slope_or_intercept(slope: float, intercept: float, expected: list[str]) -> None:
    assert severities(check_scale(rescaled(CHEST, slope, intercept))) == expected
    volume = rescaled_volume(chest_volume(slices=20), slope, intercept)
    assert severities(check_volume_scale(volume)) == expected


def test_both_values_are_named() -> None:
    (note,) = check_scale(rescaled(CHEST, 1.0, -800.0))
    assert note.message.startswith("Air is at -776 HU and soft tissue at 268 HU; expected -1080 to -930 and -50 to 155")


@pytest.mark.parametrize("padding", [-1024, -2000, -2048, -3024])
def test_padding_beyond_a_round_view_is_no_air(padding: int) -> None:
    hu = chest()
    along = np.arange(256) - 127.5
    hu[np.hypot(along[:, None], along) > 128] = padding
    assert check_scale(slice_of(hu)) == ()


def test_a_body_that_fills_the_view_is_judged_by_its_lungs() -> None:
    inside = np.ascontiguousarray(chest()[60:196, 20:236])
    assert check_scale(slice_of(inside)) == ()
    assert severities(check_scale(rescaled(slice_of(inside), 1.0, -800.0))) == ["error"]


def test_tissue_alone_has_no_air_to_measure() -> None:
    assert check_scale(slice_of(np.full((256, 256), 40, np.int16))) == ()


@pytest.mark.parametrize("window", [WINDOW_16_BIT, WINDOW_8_BIT, Window(-600, 1500), Window(-600, 1200)])
@pytest.mark.parametrize("stated", [True, False])
def test_a_picture_holds_nothing_beyond_its_window(window: Window, stated: bool) -> None:
    """Where air or soft tissue is at the window's end it may lie beyond, and nothing is said."""
    hu = np.clip(chest(), window.low_hu, window.high_hu).astype(np.float32)
    notes = () if stated else (QualityNote("window_assumed", "warning", "…"),)
    picture = CTSlice(hu, (1.4, 1.4), SliceSource("png", *hu.shape), notes=notes)
    assert check_scale(picture) == ()


def test_an_assumed_window_is_remarked_and_no_reason_to_reject() -> None:
    data = picture(windowed(chest(), Window(40, 400), 8))
    assert severities(check_scale(read_slice(data))) == ["warning"]
    assert severities(check_scale(read_slice(data, ReadOptions(window=Window(-600, 1500))))) == ["error"]


@pytest.mark.parametrize("scan", SCANS)
def test_no_slice_of_a_real_scan_is_implausible(shared_data: Path, scan: str) -> None:
    volume = series_volume(shared_data / "series" / scan)
    slices = [volume.slice_at(n) for n in range(len(volume))]
    assert [n for n, each in enumerate(slices) if check_scale(each)] == []
    assert check_volume_scale(volume) == ()


@pytest.mark.parametrize(
    ("slope", "intercept", "caught"),
    [
        (1.5, -1024, "error"),
        (2.0, -1024, "error"),
        (1.0, -800, "error"),
        (1.0, -1200, "error"),
        (1.2, -1024, "remarked"),
        (0.8, -1024, "remarked"),
        (0.7, -1024, "remarked"),
        (1.0, -900, "remarked"),
    ],
)
def test_every_slice_of_real_scans_with_a_wrong_scale(
    shared_data: Path, slope: float, intercept: float, caught: str
) -> None:
    for scan in SCANS:
        volume = series_volume(shared_data / "series" / scan)
        said = Counter(
            tuple(severities(check_scale(rescaled(volume.slice_at(n), slope, intercept)))) for n in range(len(volume))
        )
        assert not said[()], scan
        assert caught == "remarked" or set(said) == {("error",)}, scan
        assert check_volume_scale(rescaled_volume(volume, slope, intercept)), scan


@pytest.mark.parametrize("folder", ["chest-slices", "not-lung-ct", "dicom-variants"])
def test_other_slices_are_plausible(shared_data: Path, folder: str) -> None:
    slices = readable(shared_data / folder)
    assert len(slices) == {"chest-slices": 48, "not-lung-ct": 5, "dicom-variants": 15}[folder]
    assert [name for name, each in slices.items() if check_scale(each)] == []
