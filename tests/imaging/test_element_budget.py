"""DICOM files of more parts than are read, and such as have as many as they may."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from app.errors import DicomTooComplex, ImageSizeOutOfRange, MalformedDicom
from app.imaging import element_budget, fragments, header
from app.imaging.chunked import ChunkedFile
from app.imaging.element_budget import MAX_OFFSETS
from app.imaging.elements import plain_elements
from app.imaging.header import parse_dicom, read_header
from app.imaging.pixels import MAX_FRAMES
from app.imaging.read import quiet_decoders
from phantoms.slices import dicom, enhanced_dicom, file_bytes, functional_group, small
from tests.imaging.refusals import refused

UNDEFINED = 0xFFFFFFFF
MAX_ELEMENTS, MAX_ITEMS, MAX_DISORDER, MAX_FRAGMENTS = 2000, 200, 50, 100  # in place of those of the service
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_decoders()
    for module, name, value in (
        (element_budget, "MAX_ELEMENTS", MAX_ELEMENTS),
        (element_budget, "MAX_ITEMS", MAX_ITEMS),
        (element_budget, "MAX_DISORDER", MAX_DISORDER),
        (fragments, "MAX_FRAGMENTS", MAX_FRAGMENTS),
    ):
        monkeypatch.setattr(module, name, value)


class Writer:
    """Elements and items by hand, in one transfer syntax."""

    def __init__(self, syntax: UID) -> None:
        self.syntax = syntax
        self._order = ">" if syntax == ExplicitVRBigEndian else "<"

    def head(self, group: int, element: int, length: int) -> bytes:
        return struct.pack(f"{self._order}HHL", group, element, length)

    def element(self, group: int, element: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
        size = len(value) if length is None else length
        if self.syntax == ImplicitVRLittleEndian:
            return self.head(group, element, size) + value
        if vr in (b"SQ", b"OB", b"OW", b"UN"):
            return struct.pack(f"{self._order}HH2sHL", group, element, vr, 0, size) + value
        return struct.pack(f"{self._order}HH2sH", group, element, vr, size) + value

    def item(self, content: bytes = b"", length: int | None = None) -> bytes:
        return self.head(0xFFFE, 0xE000, len(content) if length is None else length) + content

    def sequence(self, items: bytes, *, defined: bool, group: int = 0x0008, element: int = 0x1140) -> bytes:
        if defined:
            return self.element(group, element, b"SQ", items)
        return self.element(group, element, b"SQ", items + self.head(0xFFFE, 0xE0DD, 0), UNDEFINED)

    def file(self, *elements: bytes, sop_class: UID = CTImageStorage) -> bytes:
        """A file of CT's SOP class with these elements behind its UIDs."""
        whole = file_bytes(Dataset(), self.syntax)
        assert whole[128:132] == b"DICM"
        uid = sop_class.encode() + b"\0" * (len(sop_class) % 2)
        return whole + b"".join((self.element(0x0008, 0x0016, b"UI", uid), *elements))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("length", [0, UNDEFINED])
def test_sequence_of_many_items_is_refused_before_they_are_all_read(syntax: UID, length: int) -> None:
    writer = Writer(syntax)
    end = writer.head(0xFFFE, 0xE00D, 0) if length else b""
    item = writer.item(end, length)
    data = writer.file(writer.sequence(item * (MAX_ITEMS + 1), defined=False))
    assert f"{MAX_ITEMS} sequence items" in refused(data, DicomTooComplex).found
    parse_dicom(writer.file(writer.sequence(item * MAX_ITEMS, defined=False)))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequence_of_defined_length_is_bounded_where_it_is_asked_for(syntax: UID) -> None:
    """pydicom keeps its bytes until then."""
    writer = Writer(syntax)
    data = writer.file(writer.sequence(writer.item() * (MAX_ITEMS + 1), defined=True))
    dataset = parse_dicom(data).dataset
    with pytest.raises(DicomTooComplex):
        dataset["ReferencedImageSequence"]


def test_far_too_many_items_are_refused_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(header, "read_dataset", read)
    for syntax in SYNTAXES:
        writer = Writer(syntax)
        data = writer.file(writer.sequence(writer.item() * 80_000, defined=False))
        refused(data, DicomTooComplex)
        with pytest.raises(DicomTooComplex):
            parse_dicom(ChunkedFile([data]))


def test_frames_described_beyond_the_bound_are_refused() -> None:
    """As of an image of many frames, in a sequence of defined length."""
    group = functional_group("PixelMeasuresSequence", PixelSpacing=[1.0, 1.0], SliceThickness="1")
    parse_dicom(enhanced_dicom([small()], per_frame=[group] * (MAX_ITEMS // 2)))
    refused(enhanced_dicom([small()], per_frame=[group] * (MAX_ITEMS + 1)), DicomTooComplex)


def test_items_of_all_sequences_of_a_file_count_together() -> None:
    writer = Writer(ExplicitVRLittleEndian)
    third = writer.item() * (MAX_ITEMS // 3)
    several = [writer.sequence(third, defined=False, element=element) for element in (0x1140, 0x1145, 0x114A, 0x114B)]
    parse_dicom(writer.file(*several[:2]))
    refused(writer.file(*several), DicomTooComplex)
    dataset = parse_dicom(
        writer.file(*(writer.sequence(third, defined=True, element=e) for e in (0x1140, 0x1145, 0x114A, 0x114B)))
    ).dataset
    with pytest.raises(DicomTooComplex):
        list(dataset)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_elements_beyond_the_bound_are_refused(syntax: UID) -> None:
    writer = Writer(syntax)
    elements = [writer.element(0x0009 + 2 * (n >> 15), n & 0x7FFF, b"LO", b"") for n in range(MAX_ELEMENTS + 1)]
    assert f"{MAX_ELEMENTS} elements" in refused(writer.file(*elements), DicomTooComplex).found
    item = writer.item(b"".join(elements) + writer.head(0xFFFE, 0xE00D, 0), UNDEFINED)
    refused(writer.file(writer.sequence(item, defined=False)), DicomTooComplex)


@pytest.mark.parametrize("after", range(132, 500, 4))
def test_zeros_after_a_beginning_are_refused_at_once(after: int) -> None:
    """They are elements without value to pydicom, a million in eight megabytes: few of them are read."""
    asked = 0

    class Stream(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal asked
            asked += 1
            return super().read(size)

    with pytest.raises((MalformedDicom, DicomTooComplex)):
        read_header(Stream(dicom(small())[:after] + bytes(80_000)))
    assert asked < 1000


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_one_element_over_and_over_is_refused(syntax: UID) -> None:
    writer = Writer(syntax)
    again = writer.element(0x0008, 0x0018, b"UI", b"1.2\0")
    refused(writer.file(again * (MAX_DISORDER + 3)), DicomTooComplex)
    parse_dicom(writer.file(again * 10))


def nested(*, defined: bool) -> bytes:
    """A file of 400 sequences, each within the next."""
    writer = Writer(ExplicitVRLittleEndian)
    sequence = b""
    for _ in range(400):
        content = sequence + (b"" if defined else writer.head(0xFFFE, 0xE00D, 0))
        sequence = writer.sequence(writer.item(content, None if defined else UNDEFINED), defined=defined)
    return writer.file(sequence)


def test_sequences_of_defined_length_are_read_one_level_at_a_time() -> None:
    parse_dicom(nested(defined=True))


def test_sequences_within_sequences_are_bounded() -> None:
    """Whatever pydicom was doing where the interpreter's depth ended: it makes an OSError of it within an item."""
    data = nested(defined=False)

    def from_depth(depth: int) -> None:
        if depth:
            from_depth(depth - 1)
        else:
            refused(data, DicomTooComplex)

    for depth in range(12):
        from_depth(depth)


def encapsulated(fragments: bytes, offsets: bytes = b"") -> bytes:
    writer = Writer(JPEGLSLossless)
    image = dicom(small())
    body = writer.item(offsets) + fragments + writer.head(0xFFFE, 0xE0DD, 0)
    return image[: image.index(b"\xe0\x7f\x10\x00")] + writer.element(0x7FE0, 0x0010, b"OB", body, UNDEFINED)


def test_fragments_beyond_the_bound_are_refused() -> None:
    fragment = Writer(ExplicitVRLittleEndian).item(b"\0\0")
    refused(encapsulated(fragment * (MAX_FRAGMENTS + 1)), DicomTooComplex)
    refused(encapsulated(fragment, bytes(4 * (MAX_OFFSETS + 1))), DicomTooComplex)
    parse_dicom(encapsulated(fragment * (MAX_FRAGMENTS - 2), bytes(4 * MAX_OFFSETS)))


def test_pixels_of_all_frames_are_counted_before_memory_is_taken() -> None:
    refused(dicom(small(), Rows=2048, Columns=2048, NumberOfFrames=MAX_FRAMES), ImageSizeOutOfRange)


def test_header_for_results_is_bounded_too() -> None:
    writer = Writer(ExplicitVRLittleEndian)
    data = writer.file(
        writer.sequence(writer.item() * (MAX_ITEMS + 1), defined=False), sop_class=EnhancedCTImageStorage
    )
    with pytest.raises(DicomTooComplex):
        read_header(BytesIO(data))


def test_walk_over_a_plain_file_leaves_many_elements_to_be_counted() -> None:
    writer = Writer(ExplicitVRLittleEndian)
    pixels = writer.element(0x7FE0, 0x0010, b"OW", bytes(2))
    items = writer.sequence(writer.item() * 300_000, defined=False)
    elements = [writer.element(0x0009, n, b"LO", b"") for n in range(20_000)]
    assert plain_elements(writer.file(pixels)) is not None
    assert plain_elements(writer.file(items, pixels)) is None
    assert plain_elements(writer.file(*elements, pixels)) is None
    inside = writer.item(b"".join(elements) + writer.head(0xFFFE, 0xE00D, 0), UNDEFINED)
    assert plain_elements(writer.file(writer.sequence(inside, defined=False), pixels)) is None
