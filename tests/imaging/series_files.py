"""Files of a generated series: what a scanner would write, small enough to write hundreds."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.errors import InputError
from app.imaging.chunked import FileBytes
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from phantoms.slices import PLAIN, PixelCoding, derived_uid, dicom, enhanced_dicom, functional_group
from tests.imaging.refusals import assert_explains

SIZE_PX: Final = 32
SPACING_MM: Final = 1.5
STEP_MM: Final = 2.5
LOWEST_MM: Final = -140.0
MEASURES: Final = functional_group("PixelMeasuresSequence", PixelSpacing=[SPACING_MM, SPACING_MM], SliceThickness=2.5)
AXIAL: Final = functional_group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
TO_HU: Final = functional_group(
    "PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"
)


def slice_hu(index: int) -> NDArray[np.int16]:
    """Pixels that are different for every index."""
    return np.random.default_rng(index).integers(-1000, 1000, (SIZE_PX, SIZE_PX), np.int16)


def slice_file(index: int, z_mm: float | None = None, coding: PixelCoding = PLAIN, **attributes: Any) -> bytes:
    """The slice `index` of a series, STEP_MM above the one before unless `z_mm` says otherwise."""
    z_mm = LOWEST_MM + STEP_MM * index if z_mm is None else z_mm
    stated: dict[str, Any] = {
        "ImagePositionPatient": [-120.0, -110.0, z_mm],
        "SOPInstanceUID": derived_uid(f"slice {index}"),
    }
    return dicom(slice_hu(index), coding, spacing_mm=SPACING_MM, **(stated | attributes))


def series_files(slices: int = 6, **attributes: Any) -> list[bytes]:
    """The files of a regular series, lowest first."""
    return [slice_file(index, **attributes) for index in range(slices)]


def enhanced_file(heights_mm: Sequence[float], name: str = "enhanced", **attributes: Any) -> bytes:
    """One Enhanced CT object with a frame at each height, each with the pixels of its index."""
    places = [plane_position(height) for height in heights_mm]
    stated: dict[str, Any] = {"SOPInstanceUID": derived_uid(name)}
    shared = (MEASURES, AXIAL, TO_HU)
    frames = [slice_hu(index) for index in range(len(heights_mm))]
    return enhanced_dicom(frames, shared=shared, per_frame=places, **(stated | attributes))


def plane_position(z_mm: float) -> Dataset:
    """Where a frame lies."""
    return functional_group("PlanePositionSequence", ImagePositionPatient=[-120.0, -110.0, z_mm])


def built(files: Sequence[bytes]) -> CTVolume:
    """The volume of these files."""
    builder = SeriesBuilder()
    for data in files:
        builder.add(data)
    return builder.build()


def taken_files(monkeypatch: pytest.MonkeyPatch) -> list[FileBytes]:
    """What every builder is given from now on."""
    taken: list[FileBytes] = []
    add = SeriesBuilder.add

    def watched(builder: SeriesBuilder, file: FileBytes, *others: Any, **named: Any) -> None:
        taken.append(file)
        add(builder, file, *others, **named)

    monkeypatch.setattr(SeriesBuilder, "add", watched)
    return taken


def refused(files: list[bytes], error: type[InputError]) -> str:
    """What was found, of the error of exactly this class that the files raise."""
    with pytest.raises(error) as caught:
        built(files)
    assert caught.type is error
    assert_explains(caught.value)
    return caught.value.found


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files by name; a name that ends in a slash is a folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()
