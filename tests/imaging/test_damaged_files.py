"""Whatever the bytes, reading gives a valid slice or an input error that explains itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from app.errors import InputError
from app.imaging.ct import MAX_SPACING_MM, MIN_SPACING_MM
from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from phantoms.slices import (
    WINDOW_8_BIT,
    WINDOW_16_BIT,
    PixelCoding,
    dicom,
    enhanced_dicom,
    functional_group,
    picture,
    small,
    windowed,
)
from tests.imaging.refusals import assert_explains

HU = small()
EIGHT, SIXTEEN = windowed(HU, WINDOW_8_BIT, 8), windowed(HU, WINDOW_16_BIT, 16)
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)
ENHANCED = enhanced_dicom(
    [HU, HU],
    shared=[functional_group("PixelMeasuresSequence", PixelSpacing=[1.4, 1.4])],
    per_frame=[
        functional_group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024) for _ in range(2)
    ],
)
FILES = {
    **{uid.keyword: dicom(HU, PixelCoding(transfer_syntax=uid), PixelPaddingValue=0) for uid in SYNTAXES},
    "Enhanced": ENHANCED,
    "PNG": picture(EIGHT),
    "PNG 16": picture(SIXTEEN),
    "JPEG": picture(EIGHT, "JPEG"),
    "progressive JPEG": picture(EIGHT, "JPEG", progressive=True),
    "TIFF": picture(SIXTEEN, "TIFF"),
    "TIFF pages": picture([EIGHT, EIGHT], "TIFF", compression="tiff_lzw"),
}
STRUCTURE_BYTES = 2000  # half of the damage goes where headers are

bounded = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
places = st.one_of(st.integers(0, STRUCTURE_BYTES), st.integers(0, 1 << 16))
extremes = st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff", b"\0\0", b"\1\0"])
changes = st.lists(
    st.tuples(
        places,
        st.sampled_from(["write", "remove", "insert", "cut", "splice"]),
        st.one_of(extremes, st.binary(max_size=8)),
    ),
    min_size=1,
    max_size=6,
)


def assert_reads_or_explains(data: bytes, options: ReadOptions | None = None) -> None:
    try:
        ct_slice = read_slice(data, options)
    except InputError as error:
        assert_explains(error)
        return
    assert np.isfinite(ct_slice.hu).all()
    assert all(MIN_SPACING_MM <= s <= MAX_SPACING_MM for s in ct_slice.spacing_mm)


def damaged(data: bytes, damage: list[tuple[int, str, bytes]]) -> bytes:
    out = bytearray(data)
    for place, how, piece in damage:
        at = place % max(1, len(out))
        match how:
            case "write":
                out[at : at + len(piece)] = piece
            case "remove":
                del out[at : at + len(piece)]
            case "insert":
                out[at:at] = piece
            case "cut" if piece[:1] > b"\x80":
                del out[at:]
            case _:
                out[at : at + 32] = out[at // 2 : at // 2 + 32 + len(piece)]
    return bytes(out)


@pytest.mark.parametrize("name", FILES)
@bounded
@given(damage=changes, frame=st.sampled_from([None, 1, 2]))
def test_a_damaged_file(name: str, damage: list[tuple[int, str, bytes]], frame: int | None) -> None:
    assert_reads_or_explains(damaged(FILES[name], damage), ReadOptions(frame=frame, pixel_spacing_mm=(0.7, 0.7)))


@bounded
@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    assert_reads_or_explains(data)


@pytest.mark.parametrize(
    "start",
    [
        b"\0" * 128 + b"DICM",
        ENHANCED[:360],
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08",
    ],
    ids=["DICM", "DICOM header", "PNG", "JPEG", "TIFF", "big-endian TIFF"],
)
@bounded
@given(data=st.binary(max_size=300))
def test_any_bytes_after_a_good_start(start: bytes, data: bytes) -> None:
    assert_reads_or_explains(start + data)
