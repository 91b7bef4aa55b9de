"""A generated chest series with one sphere of 400 HU, as DICOM files: no patient."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from phantoms.slices import Disc, Hu, chest, derived_uid, dicom

SLICES, NODULE_SLICES = 16, range(6, 11)
SPACING_MM, SIZE_PX, SLICE_MM = 2.8, 128, 2.5
NODULE = Disc((37.0, 60.0), 14.0, hu=400.0)


def slice_file(index: int, hu: Hu | None = None, **attributes: Any) -> bytes:
    """One slice of the series; the chest with the nodule where it shows, unless `hu` is given."""
    if hu is None:
        hu = chest([NODULE] if index in NODULE_SLICES else [], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=index)
    given = {
        "SOPInstanceUID": derived_uid(f"slice {index}"),
        "ImagePositionPatient": [-178.5, -178.5, -140.0 + index * SLICE_MM],
        **attributes,
    }
    return dicom(hu, spacing_mm=SPACING_MM, **given)


def zipped(files: list[bytes]) -> bytes:
    """The files in one zip, in a folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("series/", b"")
        for n, data in enumerate(files):
            archive.writestr(f"series/{n}.dcm", data)
    return out.getvalue()
