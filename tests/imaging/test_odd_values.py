"""Attributes with odd values: what HU slices do not need never stops them, what they need is read only beyond doubt."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Final

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from app.errors import InputError, MalformedDicom, NoPixelSpacing
from app.imaging.ct import CTSlice
from app.imaging.header import quiet_pydicom
from app.imaging.read import read_slice
from phantoms.slices import PixelCoding, chest, dicom, enhanced_dicom, functional_group, small
from tests.imaging.refusals import refused
from tests.imaging.series_files import LOWEST_MM, STEP_MM, built, slice_file

HU: Final = small()
SYNTAXES: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
)
NOT_NEEDED: Final = (
    *("SliceThickness", "SpacingBetweenSlices", "KVP", "InstanceNumber", "AcquisitionNumber", "PixelAspectRatio"),
    *("GantryDetectorTilt", "TableHeight", "SliceLocation", "WindowCenter", "WindowWidth", "ConvolutionKernel"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyTime", "PatientBirthDate", "PatientAge"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "BurnedInAnnotation", "PatientPosition", "ImageType"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue", "PixelPaddingRangeLimit"),
)
ODD: Final = {
    **{value.decode(): value for value in (b"2,5", b"abc", b"-1", b"inf", b"nan", b"1e400", b"1\\2\\3\\4", b"1_0")},
    "blank": b"  ",
    "empty": b"",
    "zeros": b"\0\0",
    "bytes": b"\xff\xfe",
    "long": b"9" * 20,
    "date": b"20230229",
    "name": "肺".encode(),
    "escape": b"\x1b$B",
    "zero": b"0",
}


@pytest.fixture(autouse=True)
def as_the_service_does() -> None:
    quiet_pydicom()


def written(*keywords: str, value: bytes, syntax: UID = ExplicitVRLittleEndian, vr: str | None = None) -> bytes:
    """A slice with these bytes as they are for a value, of the representation `vr` or the attribute's own."""
    return with_value(dicom(HU, PixelCoding(transfer_syntax=syntax)), *keywords, value=value, vr=vr)


def with_value(data: bytes, *keywords: str, value: bytes, vr: str | None = None) -> bytes:
    dataset = dcmread(BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    padded = value + b" " * (len(value) % 2)
    for tag in (Tag(tag_for_keyword(keyword) or 0) for keyword in keywords):
        own = dictionary_VR(tag).split()[0]
        dataset._dict[tag] = RawDataElement(
            tag, None if implicit else vr or own, len(padded), padded, 0, implicit, little
        )
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def codes(ct_slice: CTSlice) -> set[str]:
    return {note.code for note in ct_slice.notes}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_what_is_not_needed_never_stops_a_slice(syntax: UID, value: bytes) -> None:
    assert np.array_equal(read_slice(written(*NOT_NEEDED, value=value, syntax=syntax)).hu, HU)


@pytest.mark.parametrize("vr", ["DS", "IS", "LO", "UN", "US", "OB", "FD"])
def test_nor_does_its_representation(vr: str) -> None:
    assert np.array_equal(read_slice(written(*NOT_NEEDED, value=b"1234567 ", vr=vr)).hu, HU)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_a_thickness_is_read_with_a_comma_and_otherwise_ignored(syntax: UID) -> None:
    with_comma = read_slice(written("SliceThickness", value=b"2,5", syntax=syntax))
    assert (with_comma.thickness_mm, codes(with_comma)) == (2.5, {"decimal_comma_read"})
    for odd in (b"abc", b"0", b"-2.5", b"inf", b"1\\2", b"1_0"):
        ignored = read_slice(written("SliceThickness", value=odd, syntax=syntax))
        assert (ignored.thickness_mm, codes(ignored)) == (None, {"attribute_ignored"})
        (note,) = ignored.notes
        assert "SliceThickness" in note.message
        assert odd.decode() not in note.message


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    ("keyword", "value", "plain"),
    [
        ("PixelSpacing", b"1,4\\1,4", b"1.4\\1.4"),
        ("PixelSpacing", b"0,703\\1.4", b"0.703\\1.4"),
        ("ImagePositionPatient", b"-178,5\\-178,5\\-140,25", b"-178.5\\-178.5\\-140.25"),
        ("ImageOrientationPatient", b"1,0\\0\\0\\0\\1,0\\0", b"1\\0\\0\\0\\1\\0"),
        ("RescaleSlope", b"1,5", b"1.5"),
        ("RescaleIntercept", b"-1024,0", b"-1024"),
    ],
)
def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(
    syntax: UID, keyword: str, value: bytes, plain: bytes
) -> None:
    odd, usual = (
        read_slice(written(keyword, value=value, syntax=syntax)),
        read_slice(written(keyword, value=plain, syntax=syntax)),
    )
    assert np.array_equal(odd.hu, usual.hu)
    assert odd.spacing_mm == usual.spacing_mm
    assert (odd.position_mm, odd.orientation) == (usual.position_mm, usual.orientation)
    assert (codes(odd), codes(usual)) == ({"decimal_comma_read"}, set())


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("value", [b" 1.4 \\ 1.4 ", b"1.4\\1.4\0", b"1.4\0\\1.4\0", b"+1.40\\14e-1", b"1.4\\1.4\\"])
def test_blanks_and_zeros_around_a_number_do_not_count(syntax: UID, value: bytes) -> None:
    ct_slice = read_slice(written("PixelSpacing", value=value, syntax=syntax))
    assert (ct_slice.spacing_mm, codes(ct_slice)) == ((1.4, 1.4), set())


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("RescaleIntercept", b"-1,024"),
        ("RescaleIntercept", b"-1_024"),
        ("RescaleIntercept", b"-1.024,5"),
        ("RescaleSlope", b"1,0,0"),
        ("ImagePositionPatient", b"1,250\\0\\0"),
        ("PixelSpacing", b"0,7"),
        ("PixelSpacing", b"0.7,0.7"),
        ("PixelSpacing", b"0.7 0.7"),
    ],
)
def test_what_may_mean_two_things_is_refused(syntax: UID, keyword: str, value: bytes) -> None:
    refused(written(keyword, value=value, syntax=syntax), MalformedDicom)


def test_no_spacing_is_not_made_of_blanks() -> None:
    refused(written("PixelSpacing", value=b"   "), NoPixelSpacing)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("value", [b"0", b"-1", b"abc", b"1,5", b"inf"])
def test_a_number_of_frames_that_is_none_leaves_one(syntax: UID, value: bytes) -> None:
    ct_slice = read_slice(written("NumberOfFrames", value=value, syntax=syntax))
    assert np.array_equal(ct_slice.hu, HU)
    assert "attribute_ignored" in codes(ct_slice)


def test_frames_are_counted_by_their_descriptions_and_never_guessed() -> None:
    measures = functional_group("PixelMeasuresSequence", PixelSpacing=[1.4, 1.4])
    to_hu = functional_group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024)
    plane = functional_group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    places = [functional_group("PlanePositionSequence", ImagePositionPatient=[0, 0, 2.5 * n]) for n in range(4)]
    frames = [chest(size_px=48, spacing_mm=7.5, seed=n) for n in range(4)]
    described = enhanced_dicom(frames, shared=(measures, to_hu, plane), per_frame=places, NumberOfFrames=0)
    assert len(built([described])) == 4
    for syntax in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless):
        coding = PixelCoding(transfer_syntax=syntax)
        refused(enhanced_dicom(frames, coding, shared=(measures, to_hu, plane), NumberOfFrames=0), MalformedDicom)


@pytest.mark.parametrize("table", [(), (9999,), (0, 77), (0,)])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_a_table_of_offsets_does_not_matter_to_one_frame(syntax: UID, table: tuple[int, ...]) -> None:
    data = dicom(HU, PixelCoding(transfer_syntax=syntax))
    start = data.index(b"\xfe\xff\x00\xe0")
    (length,) = struct.unpack_from("<L", data, start + 4)
    item = b"\xfe\xff\x00\xe0" + struct.pack(f"<L{len(table)}L", 4 * len(table), *table)
    assert np.array_equal(read_slice(data[:start] + item + data[start + 8 + length :]).hu, HU)


@pytest.mark.parametrize("vr", ["IS", "DS", "LO"])
@pytest.mark.parametrize(("keyword", "value"), [("Rows", b"48"), ("BitsStored", b"16"), ("PixelRepresentation", b"0")])
def test_a_whole_number_is_one_in_any_representation(keyword: str, value: bytes, vr: str) -> None:
    assert np.array_equal(read_slice(written(keyword, value=value, vr=vr)).hu, HU)


DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("end", [b"", DELIMITER[:5], b"\0" * 8, b"\0" * 512, b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd"])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_pixels_may_end_without_their_delimiter(syntax: UID, end: bytes) -> None:
    data = dicom(HU, PixelCoding(transfer_syntax=syntax))
    assert data.endswith(DELIMITER)
    assert codes(read_slice(data + b"\0" * 100)) == set()
    ct_slice = read_slice(data[: -len(DELIMITER)] + end)
    assert np.array_equal(ct_slice.hu, HU)
    assert codes(ct_slice) == {"pixel_data_unended"}


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_but_not_within_a_fragment_or_in_anything_else(syntax: UID) -> None:
    data = dicom(HU, PixelCoding(transfer_syntax=syntax))[: -len(DELIMITER)]
    refused(data[:-1], MalformedDicom)
    refused(data + b"something else", MalformedDicom)


def test_a_series_is_built_with_the_remarks_of_its_slices() -> None:
    heights = [f"{LOWEST_MM + STEP_MM * n:.2f}".replace(".", ",") for n in range(4)]
    files = [
        with_value(slice_file(n), "ImagePositionPatient", value=f"-120\\-110\\{height}".encode())
        for n, height in enumerate(heights)
    ]
    volume = built(files)
    assert volume.spacing_mm[0] == pytest.approx(STEP_MM)
    assert {note.code for note in volume.notes} == {"decimal_comma_read"}


@pytest.mark.parametrize("representation", [b"U\0", b"??", b"\xff\xff"])
def test_a_representation_that_there_is_not_is_refused(representation: bytes) -> None:
    data = dicom(HU)
    at = data.rindex(b"\x08\x00\x16\x00UI") + 4
    with pytest.raises(InputError):
        read_slice(data[:at] + representation + b"\0\0" + data[at + 2 :])


UNREADABLE_ITEM: Final = b"\xfe\xff\x00\xe0\x10\0\0\0QQQQQQ\0\0\4\0\0\0abcd"  # its one attribute has no known kind


def test_a_sequence_in_the_place_of_a_text_is_not_looked_into() -> None:
    """Where it is not needed it stops nothing, and elsewhere it is refused without a word of what it holds."""
    assert np.array_equal(read_slice(written(*NOT_NEEDED, value=UNREADABLE_ITEM, vr="SQ")).hu, HU)
    for keyword in ("Manufacturer", "AccessionNumber", "FrameOfReferenceUID"):
        read = read_slice(written(keyword, value=UNREADABLE_ITEM, vr="SQ"))
        assert [keyword in note.message for note in read.notes if note.code == "attribute_ignored"] == [True]
    for keyword in ("StudyInstanceUID", "Modality", "PixelSpacing"):
        with pytest.raises(MalformedDicom, match=f"{keyword} with an unusable value"):
            read_slice(written(keyword, value=UNREADABLE_ITEM, vr="SQ"))
