"""DICOM CT to slices: values, geometry, frames, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

from app.errors import (
    FrameOutOfRange,
    FrameRequired,
    ImageSizeOutOfRange,
    LocalizerImage,
    MalformedDicom,
    NoPixelData,
    NoPixelSpacing,
    NotHounsfield,
    UnsupportedPixelFormat,
    WrongModality,
    WrongSopClass,
)
from app.imaging.chunked import ChunkedFile
from app.imaging.ct import AIR_HU, CTSlice
from app.imaging.dicom import DicomImage
from app.imaging.options import ReadOptions, Window
from app.imaging.read import read_slice
from phantoms.slices import (
    LOSSLESS_SYNTAXES,
    PixelCoding,
    derived_uid,
    dicom,
    enhanced_dicom,
    functional_group,
    small,
)
from tests.imaging.refusals import refused

HU = small()
MEASURES = functional_group("PixelMeasuresSequence", PixelSpacing=[0.8, 0.6], SliceThickness=1.25)
PLANE = functional_group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
TO_HU = functional_group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")


def codes(ct_slice: CTSlice) -> set[str]:
    return {note.code for note in ct_slice.notes}


def frame_groups(z_mm: float, intercept: float) -> Dataset:
    """One frame's own groups: where it lies and how its values become HU."""
    groups = functional_group("PlanePositionSequence", ImagePositionPatient=[-10, -20, z_mm])
    groups.update(
        functional_group(
            "PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU"
        )
    )
    return groups


@pytest.mark.parametrize("transfer_syntax", LOSSLESS_SYNTAXES, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(
    ("signed", "bits_stored", "intercept"),
    [(False, 16, -1024), (True, 16, 0), (False, 12, -1024), (True, 12, 1024), (True, 13, -24)],
)
def test_every_coding_gives_the_same_hu(transfer_syntax: UID, signed: bool, bits_stored: int, intercept: float) -> None:
    coding = PixelCoding(signed, bits_stored, 1, intercept, transfer_syntax)
    assert np.array_equal(read_slice(dicom(HU, coding)).hu, HU)


def test_slope_and_intercept_make_hu() -> None:
    coding = PixelCoding(slope=0.5, intercept=-2000)
    assert np.array_equal(read_slice(dicom(HU, coding)).hu, HU)
    assert read_slice(dicom(HU, PixelCoding(), RescaleSlope=2, RescaleIntercept=-3)).hu[0, 0] == (-1000 + 1024) * 2 - 3


def test_eight_bits_are_read() -> None:
    coarse = (np.round((HU.astype(float) + 1024) / 16) * 16 - 1024).astype(np.int16)
    coding = PixelCoding(bits_stored=8, slope=16, intercept=-1024)
    assert np.array_equal(read_slice(dicom(np.minimum(coarse, 3000), coding)).hu, coarse)


def test_geometry_and_identity_come_along() -> None:
    ct_slice = read_slice(dicom(HU, PixelSpacing=[0.8, 0.6], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    assert ct_slice.spacing_mm == (0.8, 0.6)
    assert ct_slice.orientation is not None
    assert (ct_slice.orientation.row, ct_slice.orientation.column) == ((0, 1, 0), (0, 0, -1))
    assert (ct_slice.position_mm, ct_slice.thickness_mm) == ((-178.5, -178.5, -140.0), 2.5)
    source = ct_slice.source
    assert (source.kind, source.rows, source.columns, source.frame) == ("dicom", 48, 48, None)
    assert (source.sop_class_uid, source.sop_instance_uid) == (CTImageStorage, derived_uid("instance"))
    assert (source.series_instance_uid, source.study_instance_uid) == (derived_uid("series"), derived_uid("study"))
    assert (source.frame_of_reference_uid, source.manufacturer) == (derived_uid("frame of reference"), "Phantom")
    assert ct_slice.notes == ()


def test_what_is_optional_may_be_absent() -> None:
    ct_slice = read_slice(
        dicom(HU, ImageOrientationPatient=None, ImagePositionPatient=None, SliceThickness="", Manufacturer=None)
    )
    assert (ct_slice.orientation, ct_slice.position_mm, ct_slice.thickness_mm) == (None, None, None)
    assert ct_slice.source.manufacturer is None
    assert codes(ct_slice) == {"orientation_assumed"}


def test_monochrome1_changes_display_not_hu() -> None:
    assert np.array_equal(read_slice(dicom(HU, PhotometricInterpretation="MONOCHROME1")).hu, HU)


def test_bits_above_bits_stored_are_dropped() -> None:
    coding = PixelCoding(bits_stored=12)
    stored = coding.store(HU)
    with_overlay = stored | np.uint16(0xA000)
    assert np.array_equal(read_slice(dicom(HU, coding, PixelData=with_overlay.tobytes())).hu, HU)


@pytest.mark.parametrize(
    ("signed", "intercept", "padding"),
    [
        (True, 0, DataElement("PixelPaddingValue", "SS", -2000)),
        (True, 0, DataElement("PixelPaddingValue", "US", 63536)),
        (False, -1024, DataElement("PixelPaddingValue", "US", 24)),
        (False, -1024, DataElement("PixelPaddingValue", "SS", 24)),
        (False, -1024, DataElement("PixelPaddingValue", "US", 65000)),
        (False, -1024, DataElement("PixelPaddingValue", "SS", -536)),
    ],
    ids=["signed", "signed as unsigned", "unsigned", "unsigned as signed", "large", "large as signed"],
)
def test_padding_becomes_air(signed: bool, intercept: float, padding: DataElement) -> None:
    coding = PixelCoding(signed, 16, 1, intercept)
    stored = coding.store(HU).copy()
    stored[:5] = padding.value & 0xFFFF
    hu = read_slice(dicom(HU, coding, PixelData=stored.tobytes(), PixelPaddingValue=padding)).hu
    assert np.all(hu[:5] == AIR_HU)
    kept = stored[5:] != padding.value & 0xFFFF
    assert np.array_equal(hu[5:][kept], HU[5:][kept])


@pytest.mark.parametrize(("value", "limit"), [(60000, 60010), (60010, 60000)])
def test_a_range_of_padding_may_be_given_either_way(value: int, limit: int) -> None:
    stored = PixelCoding().store(HU).copy()
    stored[0, :3], stored[0, 3:5] = [60000, 60005, 60010], [59999, 60011]
    data = dicom(HU, PixelData=stored.tobytes(), PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
    assert read_slice(data).hu[0, :5].tolist() == [AIR_HU, AIR_HU, AIR_HU, 59999 - 1024, 60011 - 1024]


def test_padding_that_occurs_nowhere_changes_nothing() -> None:
    assert np.array_equal(read_slice(dicom(HU, PixelPaddingValue=65535)).hu, HU)


@pytest.mark.parametrize("value", ["1e300", "-40000", "0.5"])
def test_padding_that_no_pixel_can_hold_is_ignored_and_said_so(value: str) -> None:
    ct_slice = read_slice(dicom(HU, PixelPaddingValue=DataElement("PixelPaddingValue", "DS", value)))
    assert codes(ct_slice) == {"attribute_ignored"}
    assert np.array_equal(ct_slice.hu, HU)


def test_spacing_by_the_caller_fills_in_but_never_replaces() -> None:
    stated = ReadOptions(pixel_spacing_mm=(0.9, 0.8))
    filled = read_slice(dicom(HU, PixelSpacing=None), stated)
    assert (filled.spacing_mm, codes(filled)) == ((0.9, 0.8), {"spacing_stated"})
    kept = read_slice(dicom(HU), stated)
    assert (kept.spacing_mm, codes(kept)) == ((1.4, 1.4), {"spacing_ignored"})
    refused(dicom(HU, PixelSpacing=None), NoPixelSpacing)


def test_a_window_is_not_used() -> None:
    ct_slice = read_slice(dicom(HU), ReadOptions(window=Window(-600, 1500)))
    assert codes(ct_slice) == {"window_ignored"}
    assert np.array_equal(ct_slice.hu, HU)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"SOPClassUID": MRImageStorage}, WrongSopClass),
        ({"SOPClassUID": "1.2.3.4"}, WrongSopClass),
        ({"SOPClassUID": "1.2.840.10008.99.4711"}, WrongSopClass),
        ({"Modality": "PT"}, WrongModality),
        ({"Modality": None}, WrongModality),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, LocalizerImage),
        ({"PixelData": None}, NoPixelData),
        ({"PixelData": b""}, NoPixelData),
        ({"RescaleSlope": None}, NotHounsfield),
        ({"RescaleIntercept": None}, NotHounsfield),
        ({"RescaleSlope": 0}, NotHounsfield),
        ({"RescaleSlope": 1e6}, NotHounsfield),
        ({"RescaleIntercept": "1e300"}, NotHounsfield),
        *(({"RescaleType": unit}, NotHounsfield) for unit in ("OD", "MGML", "HU_MOD", "household")),
        ({"SamplesPerPixel": 3}, UnsupportedPixelFormat),
        ({"PhotometricInterpretation": "RGB"}, UnsupportedPixelFormat),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UnsupportedPixelFormat),
        ({"PhotometricInterpretation": None}, UnsupportedPixelFormat),
        ({"BitsAllocated": 32}, UnsupportedPixelFormat),
        ({"BitsAllocated": 1}, UnsupportedPixelFormat),
        ({"BitsStored": 0}, UnsupportedPixelFormat),
        ({"BitsStored": 17}, UnsupportedPixelFormat),
        ({"HighBit": 14}, UnsupportedPixelFormat),
        ({"BitsStored": None}, MalformedDicom),
        ({"PixelRepresentation": 2}, MalformedDicom),
        ({"Rows": None}, MalformedDicom),
        ({"Rows": [48, 48]}, MalformedDicom),
        ({"Rows": 65535, "Columns": 65535}, ImageSizeOutOfRange),
        ({"Rows": 0}, ImageSizeOutOfRange),
        ({"Columns": 31}, ImageSizeOutOfRange),
        ({"PixelSpacing": [0.7]}, MalformedDicom),
        ({"PixelSpacing": [0.7, 0.7, 0.7]}, MalformedDicom),
        ({"PixelSpacing": [0.0, 0.7]}, MalformedDicom),
        ({"PixelSpacing": [70, 70]}, MalformedDicom),
        ({"PixelSpacing": DataElement("PixelSpacing", "LO", "12")}, MalformedDicom),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, MalformedDicom),
        ({"ImageOrientationPatient": [1, 0, 0]}, MalformedDicom),
        ({"ImagePositionPatient": [1, 2]}, MalformedDicom),
        ({"NumberOfFrames": 99_999}, MalformedDicom),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(attributes: dict[str, Any], error: type[WrongSopClass]) -> None:
    refused(dicom(HU, **attributes), error)


def test_a_wide_field_is_refused_before_work_at_a_fixed_spacing() -> None:
    wide = np.zeros((32, 2048), np.int16)
    refused(dicom(wide, spacing_mm=1.0), ImageSizeOutOfRange)
    assert read_slice(dicom(wide, spacing_mm=0.7)).hu.shape == (32, 2048)


@pytest.mark.parametrize("unit", ["US", "Houndsfield Unit", "Hounsfield Units", "HOUNSFIELD", "hu", "H.U.", "Hunsfeld"])
def test_a_rescale_type_that_can_be_hu_is_taken_as_hu_and_said_so(unit: str) -> None:
    ct_slice = read_slice(dicom(HU, RescaleType=unit))
    assert codes(ct_slice) == {"hounsfield_assumed"}
    assert np.array_equal(ct_slice.hu, HU)


def lookup_table(kind: str | None, data: list[int]) -> list[Dataset]:
    table = Dataset()
    table.add(DataElement("LUTDescriptor", "US", [len(data), 0, 16]))
    table.add(DataElement("LUTData", "US", data))
    if kind is not None:
        table.ModalityLUTType = kind
    return [table]


def test_a_modality_table_to_hu_is_applied() -> None:
    values = np.tile(np.arange(32, dtype=np.uint16), (32, 1))
    table = lookup_table("HU", [7 * n for n in range(32)])
    data = dicom(np.zeros((32, 32), np.int16), PixelData=values.tobytes(), ModalityLUTSequence=table)
    assert np.array_equal(read_slice(data).hu, values * np.float32(7))


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (lookup_table("OD", [1, 2]), NotHounsfield),
        (lookup_table(None, [1, 2]), NotHounsfield),
        ([Dataset()], NotHounsfield),
    ],
    ids=["optical density", "no type", "empty item"],
)
def test_a_modality_table_to_anything_else_is_refused(table: list[Dataset], error: type[NotHounsfield]) -> None:
    refused(dicom(HU, ModalityLUTSequence=table), error)


def test_a_modality_table_without_data_is_malformed() -> None:
    item = Dataset()
    item.ModalityLUTType = "HU"
    refused(dicom(HU, ModalityLUTSequence=[item]), MalformedDicom)


@pytest.mark.parametrize(
    "transfer_syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless]
)
def test_enhanced_frames_have_their_own_position_and_scale(transfer_syntax: UID) -> None:
    frames = [small(seed) for seed in range(3)]
    groups = [frame_groups(z_mm=10.0 * n, intercept=-1024.0 + n) for n in range(3)]
    coding = PixelCoding(transfer_syntax=transfer_syntax)
    data = enhanced_dicom(frames, coding, shared=[MEASURES, PLANE], per_frame=groups)
    for n, frame in enumerate(frames):
        ct_slice = read_slice(data, ReadOptions(frame=n + 1))
        assert np.array_equal(ct_slice.hu, frame + n)
        assert (ct_slice.position_mm, ct_slice.spacing_mm) == ((-10, -20, 10.0 * n), (0.8, 0.6))
        assert (ct_slice.thickness_mm, ct_slice.source.frame) == (1.25, n + 1)
        assert ct_slice.orientation is not None


@pytest.mark.parametrize("transfer_syntax", LOSSLESS_SYNTAXES)
@pytest.mark.parametrize("bits_stored", [8, 16])
def test_a_multi_frame_file_reads_the_same_however_it_is_held(transfer_syntax: UID, bits_stored: int) -> None:
    coding = PixelCoding(
        bits_stored=bits_stored, slope=16.0 if bits_stored == 8 else 1.0, transfer_syntax=transfer_syntax
    )
    frames = [small(seed) for seed in range(3)]
    groups = [frame_groups(2.0 * n, -1024) for n in range(3)]
    data = enhanced_dicom(frames, coding, shared=[MEASURES, PLANE], per_frame=groups)
    for held in (memoryview(data), ChunkedFile([data], block_bytes=1000)):
        image, whole = DicomImage.parse(held), DicomImage.parse(data)
        for frame in (1, 2, 3):
            one, other = image.read(frame, ReadOptions()), whole.read(frame, ReadOptions())
            np.testing.assert_array_equal(one.hu, other.hu)
            assert (one.position_mm, one.source) == (other.position_mm, other.source)
            image.release(frame)


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_multi_frame_file_cut_short_is_malformed_however_it_is_held(transfer_syntax: UID, kept: float) -> None:
    coding = PixelCoding(transfer_syntax=transfer_syntax)
    groups = [frame_groups(2.0 * n, -1024) for n in range(3)]
    data = enhanced_dicom([HU] * 3, coding, shared=[MEASURES, PLANE], per_frame=groups)
    cut = data[: int(kept * len(data))]
    for held in (cut, memoryview(cut), ChunkedFile([cut], block_bytes=1000)):
        with pytest.raises(MalformedDicom):
            DicomImage.parse(held).read(3, ReadOptions())


def test_a_frame_s_own_group_goes_before_the_shared_one() -> None:
    own = functional_group("PixelMeasuresSequence", PixelSpacing=[1.5, 1.5])
    data = enhanced_dicom([HU], shared=[MEASURES, TO_HU, PLANE], per_frame=[own])
    assert read_slice(data).spacing_mm == (1.5, 1.5)


def test_shared_groups_alone_are_enough() -> None:
    ct_slice = read_slice(enhanced_dicom([HU, HU], shared=[MEASURES, TO_HU]), ReadOptions(frame=2))
    assert np.array_equal(ct_slice.hu, HU)
    assert codes(ct_slice) == {"orientation_assumed"}


def test_several_frames_need_a_choice() -> None:
    data = enhanced_dicom([HU, HU], shared=[MEASURES, TO_HU])
    refused(data, FrameRequired)
    for frame in (0, -1, 3):
        refused(data, FrameOutOfRange, ReadOptions(frame=frame))
    assert read_slice(dicom(HU), ReadOptions(frame=1)).source.frame is None
    refused(dicom(HU), FrameOutOfRange, ReadOptions(frame=2))


def test_enhanced_without_measures_or_scale_is_refused() -> None:
    refused(enhanced_dicom([HU], shared=[TO_HU]), NoPixelSpacing)
    refused(enhanced_dicom([HU], shared=[MEASURES]), NotHounsfield)


def test_a_localizer_frame_among_others_is_refused() -> None:
    kinds = [
        functional_group("CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", kind, "NONE"])
        for kind in ("VOLUME", "LOCALIZER")
    ]
    data = enhanced_dicom([HU, HU], shared=[MEASURES, TO_HU], per_frame=kinds)
    assert read_slice(data, ReadOptions(frame=1)).source.frame == 1
    refused(data, LocalizerImage, ReadOptions(frame=2))


def test_an_oblique_slice_is_read_as_it_lies() -> None:
    tilt = math.radians(25)
    cosines = [1, 0, 0, 0, round(math.cos(tilt), 6), round(math.sin(tilt), 6)]
    orientation = read_slice(dicom(HU, ImageOrientationPatient=cosines)).orientation
    assert orientation is not None
    assert orientation.tilt_deg == pytest.approx(25, abs=0.01)
