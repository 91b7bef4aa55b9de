"""Which kind of file it is, and that reading tells nobody what stands in it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from app.errors import EmptyInput, InputError, MalformedDicom, UnsupportedMediaType, WrongSopClass
from app.imaging.options import ReadOptions
from app.imaging.read import quiet_decoders, read_slice, sniff
from phantoms.slices import SECRET_ID, PixelCoding, derived_uid, dicom, picture, small
from tests.imaging.refusals import SECRETS, refused

HU = small()
SECRET_TEXT = f"{SECRET_ID} is not a value"
ODD_VALUES = {
    "charset": dicom(HU, SpecificCharacterSet="ISO_IR 100").replace(b"ISO_IR 100", SECRET_ID[:10].encode()),
    "uid": dicom(HU).replace(derived_uid("study").encode(), SECRET_TEXT.ljust(len(derived_uid("study"))).encode()),
    "number": dicom(HU, Rows=DataElement("Rows", "LO", SECRET_TEXT)),
    "decimal": dicom(HU).replace(b"\x28\x00\x30\x00DS", b"\x28\x00\x30\x00LO").replace(b"1.4\\1.4 ", b"SECRET-4"),
    "position": dicom(HU).replace(b"-178.5\\-178.5", b"SECRET-4711.5"),
    "text": dicom(HU, Manufacturer="long").replace(b"LO\x04\0long", b"LO\x78\0" + SECRET_TEXT.ljust(120).encode()),
    "date": dicom(HU, StudyDate=DataElement("StudyDate", "LO", SECRET_TEXT)),
    "truncated": dicom(HU, PixelCoding(transfer_syntax=RLELossless))[:-400],
    "implicit as explicit": dicom(HU).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"),
    "cut": dicom(HU, PixelCoding(transfer_syntax=ExplicitVRLittleEndian))[:700],
}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (dicom(HU), "dicom"),
        (picture(HU.astype("u1")), "png"),
        (picture(HU.astype("u1"), "JPEG"), "jpeg"),
        (picture(HU.astype("u1"), "TIFF"), "tiff"),
        (b"MM\x00*" + b"\0" * 99, "tiff"),
        # Dual personality (PS3.10 7.1): a TIFF in the preamble of a DICOM file.
        (b"II*\x00" + dicom(HU)[4:], "dicom"),
    ],
    ids=["dicom", "png", "jpeg", "tiff", "big-endian tiff", "dual"],
)
def test_content_decides(data: bytes, kind: str) -> None:
    assert sniff(data) == kind


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyInput),
        (b"\0", UnsupportedMediaType),
        (b"\0" * 100_000, UnsupportedMediaType),
        (b"PK\x03\x04 an archive", UnsupportedMediaType),
        (b"%PDF-1.7", UnsupportedMediaType),
        (b"<html></html>", UnsupportedMediaType),
        (b"DICM", UnsupportedMediaType),
        (dicom(HU)[132:], MalformedDicom),
        (b"\0" * 128 + b"DICM", MalformedDicom),
        (b"\0" * 128 + b"DICM" + b"\0" * 1000, WrongSopClass),
        (b"\0" * 128 + b"DICM" + b"\xff" * 1000, MalformedDicom),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else "",
)
def test_what_is_no_image_is_refused(data: bytes, error: type[InputError]) -> None:
    refused(data, error)


def test_bytes_are_not_changed_and_any_buffer_length_is_fine() -> None:
    data = dicom(HU)
    before = bytes(data)
    read_slice(data, ReadOptions(frame=1))
    assert data == before


@pytest.mark.parametrize("data", ODD_VALUES.values(), ids=ODD_VALUES)
def test_no_value_reaches_warnings_logs_or_errors(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        quiet_decoders()
        try:
            text = str(read_slice(data).notes)
        except InputError as error:
            text = str(error)
    told = [text, *(str(w.message) for w in seen), *(record.getMessage() for record in caplog.records)]
    assert not [line for line in told if any(secret[:8] in line for secret in SECRETS)]
    assert seen == []
    assert caplog.records == []


def test_a_tag_of_a_picture_reaches_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read_slice(picture(HU.astype("u1"), "TIFF", artist=SECRET_ID, description=SECRET_ID))
    assert caplog.records == []


def test_the_silence_lasts_without_catching_warnings() -> None:
    quiet_decoders()
    before = list(warnings.filters)
    quiet_decoders()
    assert list(warnings.filters) == before


def test_no_shared_file_makes_a_sound(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        quiet_decoders()
        for folder in ("malformed", "not-lung-ct"):
            for path in sorted((shared_data / folder).iterdir()):
                try:
                    read_slice(path.read_bytes())
                except InputError:
                    continue
    assert seen == []
    assert caplog.records == []
