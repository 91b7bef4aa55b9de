"""The quick way into a plain DICOM file: what it takes it reads as pydicom does, what it does not take it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from app.errors import InputError
from app.imaging.ct import CTSlice
from app.imaging.elements import Elements, plain_elements
from app.imaging.header import Header
from app.imaging.read import read_slice
from phantoms.slices import LOSSLESS_SYNTAXES, PixelCoding, derived_uid, dicom, enhanced_dicom, functional_group, small
from tests.reference_scans import SERIES, UNFIT, VARIANTS_ORIGINAL

HU = small()
PLAIN = dicom(HU)


def elements_of(data: bytes) -> Elements:
    found = plain_elements(data)
    assert found is not None
    return found[1]


def by_pydicom(data: bytes) -> CTSlice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.imaging.dicom.plain_elements", lambda _data: None)
        return read_slice(data)


def assert_same(one: CTSlice, other: CTSlice) -> None:
    assert np.array_equal(one.hu, other.hu)
    for name in ("spacing_mm", "source", "orientation", "position_mm", "thickness_mm", "notes"):
        assert getattr(one, name) == getattr(other, name), name


def sequence(length_known: bool, depth: int = 1) -> DataElement:
    """A referenced image in items of items, the lengths written or left open (PS3.5 7.5.2)."""
    item = Dataset()
    item.ReferencedSOPInstanceUID = derived_uid("referenced")
    item.Rows = 7
    item.is_undefined_length_sequence_item = not length_known
    if depth > 1:
        item.add(sequence(length_known, depth - 1))
    element = DataElement("ReferencedImageSequence", "SQ", [item])
    element.is_undefined_length = not length_known
    return element


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ReferencedImageSequence": sequence(length_known=True, depth=3)},
        {"ReferencedImageSequence": sequence(length_known=False, depth=3)},
        {"Manufacturer": ["One", "Another"], "ImageType": ["ORIGINAL ", " PRIMARY", "AXIAL"]},
        {"Manufacturer": "", "SliceThickness": None, "ImageOrientationPatient": None},
        {"PixelPaddingValue": DataElement("PixelPaddingValue", "SS", -2000)},
        {"RescaleType": "US", "PatientComments": "x" * 5000, "NumberOfFrames": "1 "},
        {"RescaleSlope": " 1.0 ", "PixelSpacing": ["0.70 ", " 0.70"]},
    ],
    ids=["as it is", "known lengths", "open lengths", "several values", "empty", "signed", "texts", "spaces"],
)
def test_a_plain_file_reads_as_with_pydicom(attributes: dict[str, Any]) -> None:
    data = dicom(HU, **attributes)
    assert plain_elements(data) is not None
    assert_same(read_slice(data), by_pydicom(data))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits_stored", [8, 12, 13, 16])
def test_stored_bits_read_as_with_pydicom(bits_stored: int, signed: bool) -> None:
    slope = 32.0 if bits_stored == 8 else 2.0
    data = dicom(HU, PixelCoding(signed, bits_stored, slope, 0.0 if signed else -1024.0), PixelPaddingValue=3)
    assert plain_elements(data) is not None
    assert_same(read_slice(data), by_pydicom(data))


@pytest.mark.parametrize("scan", [VARIANTS_ORIGINAL, *SERIES, *UNFIT], ids=lambda scan: Path(scan.path).stem)
def test_real_files_read_as_with_pydicom(shared_data: Path, scan: Any) -> None:
    data = (shared_data / scan.path).read_bytes()
    assert_same(read_slice(data), by_pydicom(data))


def test_the_series_are_plain(shared_data: Path) -> None:
    assert all(plain_elements((shared_data / scan.path).read_bytes()) for scan in SERIES)


def test_only_what_is_read_is_taken() -> None:
    found = elements_of(dicom(HU, Manufacturer="", ImageComments="anything"))
    assert "PatientName" not in found
    assert "ImageComments" not in found
    assert "Manufacturer" not in found
    assert (found["Rows"], found["Modality"], found["PixelSpacing"]) == (48, "CT", ("1.4", "1.4"))


def test_pixels_are_a_view() -> None:
    pixels = elements_of(PLAIN)["PixelData"]
    assert isinstance(pixels, memoryview)
    assert pixels.obj is PLAIN
    assert len(pixels) == HU.nbytes


def out_of_order(data: bytes) -> bytes:
    """Rows (0028,0010) before Samples per Pixel (0028,0002); both take ten bytes."""
    samples, rows = data.index(b"\x28\x00\x02\x00US"), data.index(b"\x28\x00\x10\x00US")
    between = data[samples + 10 : rows]
    return data[:samples] + data[rows : rows + 10] + between + data[samples : samples + 10] + data[rows + 10 :]


def with_value(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


@pytest.mark.parametrize(
    "change",
    [
        out_of_order,
        with_value(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00UN"),
        with_value(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00SL"),
        with_value(b"Phantom ", b"Ph\xe4ntom "),
        with_value(b"Phantom ", b"\x1b$Bntom "),
        with_value(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00UN"),
        lambda data: data[:-1],
        lambda data: data[:400],
        lambda data: data[:100],
        lambda data: data[: -HU.nbytes - 12],
    ],
    ids=[
        *("order", "representation", "another representation", "not ASCII", "character set", "pixels unknown"),
        *("cut in the pixels", "cut in the header", "cut in the preamble", "no pixels"),
    ],
)
def test_what_is_not_plain_is_left_to_pydicom(change: Callable[[bytes], bytes]) -> None:
    changed = change(PLAIN)
    assert changed != PLAIN
    assert plain_elements(changed) is None


LEFT_TO_PYDICOM = {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
QUICK = sorted(set(LOSSLESS_SYNTAXES) - LEFT_TO_PYDICOM)


def in_syntax(syntax: UID, **attributes: Any) -> bytes:
    return dicom(HU, PixelCoding(transfer_syntax=syntax), **attributes)


def test_big_endian_and_deflated_files_are_left_to_pydicom() -> None:
    assert all(plain_elements(in_syntax(syntax)) is None for syntax in LEFT_TO_PYDICOM)


@pytest.mark.parametrize("syntax", QUICK, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("length_known", [False, True])
def test_other_transfer_syntaxes_read_as_with_pydicom(syntax: UID, length_known: bool) -> None:
    referenced, padding = sequence(length_known, depth=3), DataElement("PixelPaddingValue", "SS", -2000)
    data = in_syntax(syntax, ReferencedImageSequence=referenced, PixelPaddingValue=padding, Manufacturer=["One", "Two"])
    assert plain_elements(data) is not None
    assert_same(read_slice(data), by_pydicom(data))


def test_fragments_without_an_end_are_left_to_pydicom() -> None:
    data = in_syntax(RLELossless)
    end = data.rindex(b"\xfe\xff\xdd\xe0")
    assert plain_elements(data) is not None
    assert plain_elements(data[:end]) is None
    assert plain_elements(data[: end - 4]) is None


def test_explicit_elements_in_a_file_that_says_implicit_are_left_to_pydicom() -> None:
    """Some writers do it, and pydicom sees through it."""
    named = in_syntax(ImplicitVRLittleEndian)
    meta = named[: named.index(b"\x08\x00")]
    explicit = PLAIN[PLAIN.index(b"\x08\x00", 300) :]
    data = meta + explicit
    assert plain_elements(data) is None
    assert np.array_equal(read_slice(data).hu, HU)


def test_sequences_that_hold_the_scale_are_left_to_pydicom() -> None:
    measures = functional_group("PixelMeasuresSequence", PixelSpacing=[1.4, 1.4])
    assert plain_elements(enhanced_dicom([HU], shared=[measures])) is None
    assert plain_elements(dicom(HU, ModalityLUTSequence=[])) is None


def test_endless_nesting_is_left_to_pydicom() -> None:
    assert plain_elements(dicom(HU, ReferencedImageSequence=sequence(length_known=False, depth=40))) is None


CHANGED = [PLAIN, in_syntax(ImplicitVRLittleEndian), in_syntax(RLELossless)]


@settings(derandomize=True, deadline=None, max_examples=900, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.sampled_from(CHANGED), at=st.floats(0, 1), value=st.integers(0, 255))
def test_what_a_changed_byte_leaves_plain_reads_as_with_pydicom(data: bytes, at: float, value: int) -> None:
    place = 132 + int(at * (data.index(b"\xe0\x7f\x10\x00") + 12 - 132))
    changed = data[:place] + bytes([value]) + data[place + 1 :]
    if plain_elements(changed) is None:
        return
    try:
        expected = by_pydicom(changed)
    except InputError as error:
        with pytest.raises(type(error)):
            read_slice(changed)
    else:
        assert_same(read_slice(changed), expected)


def test_an_attribute_that_the_walk_does_not_read_is_a_mistake_and_no_absence() -> None:
    elements = plain_elements(dicom(small()))
    assert elements is not None
    for asked in elements:
        assert Header(asked).text("SliceThickness") is None or "SliceThickness" in asked
        with pytest.raises(KeyError, match="InstitutionName is not read"):
            Header(asked).text("InstitutionName")
