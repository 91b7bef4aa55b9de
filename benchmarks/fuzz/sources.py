"""The well-formed files that mutants are made of: generated phantoms in every encoding that is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any, Final

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from benchmarks.fuzz.tree import PIXEL_DATA, File, in_syntax, taken_apart
from phantoms.series import NODULE, SIZE_PX, SLICE_MM, SPACING_MM, slice_file
from phantoms.slices import (
    ENCODERS,
    NATIVE,
    WINDOW_8_BIT,
    WINDOW_16_BIT,
    Hu,
    PixelCoding,
    chest,
    dicom,
    enhanced_dicom,
    functional_group,
    picture,
    windowed,
)

FIRST_SLICE: Final = 4  # the nodule shows on slices 6 to 10
SERIES_SLICES: Final = 8
SIGNED: Final = PixelCoding(signed=True, bits_stored=12, intercept=0.0)
EIGHT_BITS: Final = PixelCoding(bits_stored=8, slope=16.0)
ON_NODULE: Final = f"{NODULE.centre_px[0]:g},{NODULE.centre_px[1]:g}"
DESCRIBED: Final[dict[str, Any]] = {
    "StudyDate": "20260102",
    "StudyTime": "120000",
    "AccessionNumber": "A1",
    "StudyID": "1",
    "PatientBirthDate": "19600101",
    "PatientSex": "O",
    "PatientAge": "066Y",
    "StudyDescription": "Phantom",
    "SpecificCharacterSet": "ISO_IR 100",
    "InstanceNumber": 1,
    "ReferringPhysicianName": "A^B",
    "BodyPartExamined": "CHEST",
    "KVP": 120,
    "ConvolutionKernel": "B50f",
    "TimezoneOffsetFromUTC": "+0100",
}


def _nodule() -> Hu:
    return chest([NODULE], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=FIRST_SLICE)


def _encapsulated(syntax: UID, encode: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.generic]]], bytes]) -> bytes:
    """The 8-bit slice, its pixels encoded anew: these syntaxes are not among those of `phantoms.slices`."""
    dataset = pydicom.dcmread(BytesIO(dicom(_nodule(), EIGHT_BITS, spacing_mm=SPACING_MM, **DESCRIBED)))
    dataset.PixelData = encapsulate([encode(dataset.pixel_array)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def _jpeg(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(values, level=95))


def _htj2k(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return bytes(imagecodecs.htj2k_encode(values))


def _enhanced(coding: PixelCoding) -> bytes:
    frames = [
        chest([NODULE] if 6 <= n <= 10 else [], size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=n)
        for n in range(FIRST_SLICE, FIRST_SLICE + SERIES_SLICES)
    ]
    group = functional_group
    shared = (
        group("PixelMeasuresSequence", PixelSpacing=[SPACING_MM, SPACING_MM], SliceThickness=SLICE_MM),
        group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"),
        group("CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]),
    )
    places = [
        group("PlanePositionSequence", ImagePositionPatient=[-178.5, -178.5, -140.0 + n * SLICE_MM])
        for n in range(SERIES_SLICES)
    ]
    return enhanced_dicom(frames, coding, shared=shared, per_frame=places, **DESCRIBED)


@cache
def slices() -> dict[str, File]:
    """Single slices: the one with a nodule in every syntax, a small one, and other pixel codings."""
    hu = _nodule()
    files = {
        uid.keyword: dicom(hu, PixelCoding(transfer_syntax=uid), spacing_mm=SPACING_MM, **DESCRIBED)
        for uid in (ExplicitVRLittleEndian, *ENCODERS)
    }
    files["signed"] = dicom(hu, SIGNED, spacing_mm=SPACING_MM, PixelPaddingValue=-2000, **DESCRIBED)
    files["8 bits"] = dicom(hu, EIGHT_BITS, spacing_mm=SPACING_MM, **DESCRIBED)
    files["JPEG"] = _encapsulated(JPEGBaseline8Bit, _jpeg)
    files["JPEG extended"] = _encapsulated(JPEGExtended12Bit, _jpeg)
    files["HTJ2K"] = _encapsulated(HTJ2KLossless, _htj2k)
    apart = {name: taken_apart(data) for name, data in files.items()}
    return apart | {uid.keyword: in_syntax(apart[ExplicitVRLittleEndian.keyword], uid) for uid in NATIVE}


@cache
def encapsulated() -> dict[str, File]:
    """Those of `slices` whose pixels are compressed."""
    found = {name: file.find(PIXEL_DATA) for name, file in slices().items()}
    return {name: slices()[name] for name, pixels in found.items() if pixels is not None and pixels.fragments}


@cache
def enhanced() -> dict[str, File]:
    """Multi-frame images of eight frames."""
    syntaxes = (ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless)
    apart = {uid.keyword: taken_apart(_enhanced(PixelCoding(transfer_syntax=uid))) for uid in syntaxes}
    return apart | {"big": in_syntax(apart[ExplicitVRLittleEndian.keyword], ExplicitVRBigEndian)}


@cache
def series() -> tuple[File, ...]:
    """Eight slices 2.5 mm apart, the nodule on five of them."""
    return tuple(
        taken_apart(slice_file(n, **(DESCRIBED | {"InstanceNumber": n})))
        for n in range(FIRST_SLICE, FIRST_SLICE + SERIES_SLICES)
    )


@cache
def pictures() -> dict[str, bytes]:
    """PNG, JPEG and TIFF in the manners that occur."""
    eight, sixteen = windowed(_nodule(), WINDOW_8_BIT, 8), windowed(_nodule(), WINDOW_16_BIT, 16)
    colour = np.repeat(eight[:, :, None], 3, axis=2)
    return {
        "PNG": picture(eight),
        "PNG 16": picture(sixteen),
        "PNG colour": picture(colour),
        "JPEG": picture(eight, "JPEG", quality=95),
        "JPEG progressive": picture(eight, "JPEG", progressive=True),
        "JPEG colour": picture(colour, "JPEG"),
        "TIFF": picture(sixteen, "TIFF"),
        "TIFF LZW": picture(eight, "TIFF", compression="tiff_lzw"),
        "TIFF deflate": picture(sixteen, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF pages": picture([eight, eight], "TIFF"),
    }
