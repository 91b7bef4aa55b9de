"""Which kind of file it is, and that reading tells nobody what stands in it."""

from __future__ import annotations

import base64
import bz2
import gzip
import logging
import lzma
import struct
import tarfile
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from app.errors import EmptyInput, InputError, MalformedDicom, UnsupportedMediaType
from app.imaging.options import ReadOptions
from app.imaging.read import quiet_decoders, read_slice, sniff
from phantoms.slices import SECRET_ID, PixelCoding, derived_uid, dicom, picture, small
from tests.imaging.refusals import SECRETS, refused
from tests.imaging.series_files import zipped

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
        (b"II+\x00" + b"\0" * 99, "tiff"),
        # Dual personality (PS3.10 7.1): a TIFF in the preamble of a DICOM file.
        *(
            (start + dicom(HU)[len(start) :], "dicom")
            for start in (b"II*\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"PK\3\4")
        ),
    ],
    ids=["dicom", "png", "jpeg", "tiff", "big-endian tiff", "bigtiff", *(f"dual {n}" for n in range(4))],
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
        (b"\0" * 128 + b"DICM" + b"\0" * 1000, MalformedDicom),
        (b"\0" * 128 + b"DICM" + b"\xff" * 1000, MalformedDicom),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else "",
)
def test_what_is_no_image_is_refused(data: bytes, error: type[InputError]) -> None:
    refused(data, error)


def packed(start: bytes, at: int = 0) -> bytes:
    return bytes(at) + start + b"\0" * 600


def ustar(data: bytes) -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("slice.dcm")
        member.size = len(data)
        archive.addfile(member, BytesIO(data))
    return out.getvalue()


def zipped_arrays() -> bytes:
    out = BytesIO()
    np.savez(out, hu=HU)
    return out.getvalue()


def array() -> bytes:
    out = BytesIO()
    np.save(out, HU)
    return out.getvalue()


def shown(kind: str) -> bytes:
    out = BytesIO()
    Image.fromarray(HU.astype("u1")).save(out, kind)
    return out.getvalue()


NIFTI = b"\x5c\x01" + bytes(342) + b"n+1\0" + bytes(5000)
FOREIGN = {
    "a NIfTI volume": NIFTI,
    "a NIfTI-2 volume": b"\x1c\x02\0\0n+2\0\r\n\x1a\n" + bytes(600),
    "a NIfTI volume in gzip": gzip.compress(NIFTI),
    "the header of an Analyze 7.5 volume": b"\x5c\x01" + bytes(346),
    "an NRRD volume": b"NRRD0004\n# Complete NRRD file format",
    "an NRRD volume in gzip": gzip.compress(b"NRRD0004\n# Complete NRRD file format"),
    "a MetaImage volume (MHA, MHD)": b"ObjectType = Image\nNDims = 3\n",
    "a tar archive": ustar(dicom(HU)),
    "a tar archive in gzip": gzip.compress(ustar(dicom(HU))),
    "a DICOM file in gzip": gzip.compress(dicom(HU)),
    "a gzip file": gzip.compress(b"ordinary text"),
    "a bzip2 file": bz2.compress(dicom(HU)),
    "an xz file": lzma.compress(dicom(HU)),
    "a 7z archive": packed(b"7z\xbc\xaf\x27\x1c"),
    "a rar archive": packed(b"Rar!\x1a\x07\x01\0"),
    "a zip archive": zipped({"a.dcm": dicom(HU)}),
    "a NumPy archive (npz)": zipped_arrays(),
    "a NumPy array (npy)": array(),
    "an HDF5 file": packed(b"\x89HDF\r\n\x1a\n"),
    "a PDF document": b"%PDF-1.7",
    "a GIF picture": shown("GIF"),
    "a BMP picture": shown("BMP"),
    "a WebP picture": shown("WEBP"),
    "a HEIC picture": packed(b"\0\0\0\x18ftypheic"),
    "an AVIF picture": packed(b"\0\0\0\x18ftypavif"),
    "a JPEG 2000 picture": shown("JPEG2000"),
    "a BigTIFF in big-endian byte order": b"MM\0+" + bytes(200),
    "an HTML or XML document": b"<!doctype html>",
    "JSON": b'{"image": 1}',
    "text": base64.encodebytes(dicom(HU)),
    "bytes of no known image type": bytes(3000),
}


@pytest.mark.parametrize(("name", "data"), FOREIGN.items(), ids=FOREIGN)
def test_what_is_not_read_is_named_and_what_to_send_is_said(name: str, data: bytes) -> None:
    error = refused(data, UnsupportedMediaType)
    assert error.found == name
    assert error.remedy.endswith(".")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a MetaImage volume (MHA, MHD)", b"Comment = a chest\nObjectType = Image\n"),
        ("an MGH volume", struct.pack(">7i", 1, 256, 256, 128, 1, 3, 0) + bytes(300)),
        ("an MGH volume in gzip", gzip.compress(struct.pack(">7i", 1, 256, 256, 128, 1, 3, 0) + bytes(300), mtime=0)),
        ("a file of compress (Z)", packed(b"\x1f\x9d\x90")),
        ("an lzip file", packed(b"LZIP\x01")),
        *(("a PNM picture", start + b"512 512 255 ") for start in (b"P5 ", b"P2\n", b"P6\r\n")),
        *(("an HTML or XML document", start + b"<!doctype html>") for start in (b"\n\n  ", b"\xef\xbb\xbf")),
        ("JSON", b'\xef\xbb\xbf {"image": 1}'),
        *(
            ("text", data)
            for data in (b"/data/slice.dcm", b"data:image/png;base64,iVBORw0KGgo=", "患者".encode() * 200)
        ),
        ("bytes of no known image type", b"a\0b"),
        ("bytes of no known image type", b"caf\xe9s"),
    ],
)
def test_kinds_of_one_format_have_its_name(name: str, data: bytes) -> None:
    assert refused(data, UnsupportedMediaType).found == name


@pytest.mark.parametrize("length", [1, 10, 18, 30, 200])
def test_a_gzip_file_may_be_cut_or_damaged(length: int) -> None:
    data = gzip.compress(NIFTI)
    refused(data[: 3 + length], UnsupportedMediaType)
    refused(data[:3] + bytes(range(255, 255 - length, -1)) + data[length:], UnsupportedMediaType)


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
