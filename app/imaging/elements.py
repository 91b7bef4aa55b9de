"""The few attributes that reading a CT slice needs, taken from a plain DICOM file without building a data set.

Slices arrive as Explicit VR Little Endian (PS3.5 A.2), as Implicit VR Little Endian (A.1), which every modality can
send, or compressed (A.4). Walking over their elements takes a tenth of the time of parsing them all. Whatever is out of
the ordinary is left to pydicom, which reads more than the standard allows and says what is wrong: `plain_elements`
answers None.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import Any, Final

from pydicom.datadict import tag_for_keyword
from pydicom.uid import AllTransferSyntaxes, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from app.errors import DicomTooComplex
from app.imaging.fragments import end_of_fragments

Value = str | int | tuple[str, ...] | memoryview
Bytes = bytes | memoryview
Decoders = dict[bytes, Callable[[bytes], Value]]  # by VR
Head = tuple[int, bytes, int, int]  # tag, VR (none where it is implicit), where the value begins, its length


class Elements(dict[str, Value]):
    """Values by keyword, of those that READ names; to ask for another is a mistake in the code, and no absence."""

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value, `default` where the file has none; raises KeyError for what the walk does not read."""
        if keyword not in KEYWORDS:
            raise KeyError(f"{keyword} is not read by the walk over plain files: add it to READ")
        return super().get(keyword, default)


FILE_META_AT: Final = 132  # preamble and prefix (PS3.10 7.1)
FILE_META: Final = (0x00020000, 0x00030000)  # tags from, up to
DATASET: Final = (0x00080000, 0x7FE00010)  # up to Pixel Data
PIXEL_DATA: Final = 0x7FE00010
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
UNDEFINED_LENGTH: Final = 0xFFFFFFFF
MAX_DEPTH: Final = 8  # sequences within sequences; a CT slice has three
MAX_ELEMENTS: Final = 10_000  # of the data set, and of an item; a CT slice has 200
MAX_SEQUENCE_BYTES: Final = 512 << 10  # up to where sequences lie; beyond it pydicom counts what they hold
TEXTS: Final = frozenset({b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM"})
SHORT: Final = TEXTS | {b"AT", b"FD", b"FL", b"SL", b"SS", b"UI", b"UL", b"US"}  # length in 16 bits (PS3.5 7.1.2)
LONG: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
KNOWN: Final = SHORT | LONG | {b""}

COMPRESSED: Final = frozenset(syntax for syntax in AllTransferSyntaxes if syntax.is_encapsulated)

HEAD: Final = Struct("<HH2sH")
BARE_HEAD: Final = Struct("<HHL")  # of an item, and of every element without VR
LENGTH: Final = Struct("<L")
UNSIGNED: Final = Struct("<H")
SIGNED: Final = Struct("<h")


def plain_elements(data: Bytes) -> tuple[Elements, Elements] | None:
    """File meta information and data set of a DICOM file, by keyword, or None when it is not plain.

    Only what READ names; an empty value counts as absent. Texts are as they stand, padding removed, several values as a
    tuple; Pixel Data is a view of `data`: of the pixels, or of their fragments without the delimiter behind them.
    """
    try:
        meta = Elements()
        at = _walk(data, FILE_META_AT, FILE_META, meta, _explicit)
        syntax = meta.get("TransferSyntaxUID")
        compressed = syntax in COMPRESSED
        if not compressed and syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            return None
        head = _implicit if syntax == ImplicitVRLittleEndian else _explicit
        elements = Elements()
        at = _walk(data, at, DATASET, elements, head)
        elements["PixelData"] = _pixels(data, *head(data, at), compressed=compressed)
    except (_NotPlain, error, UnicodeDecodeError, EOFError, DicomTooComplex):
        return None
    return meta, elements


class _NotPlain(Exception):
    """The file holds what only pydicom reads."""


def _walk(data: Bytes, at: int, tags: tuple[int, int], found: Elements, head: Callable[[Bytes, int], Head]) -> int:
    """Put what READ names of the elements with such tags into `found`; where the first element beyond them begins."""
    lowest, stop = tags
    for _ in range(MAX_ELEMENTS):
        tag, vr, start, length = head(data, at)
        if tag >= stop:
            return at
        if tag < lowest:
            raise _NotPlain
        lowest = tag + 1
        end = _end(data, vr, start, length, MAX_DEPTH, head)
        wanted = READ.get(tag)
        if wanted is not None:
            keyword, decoders = wanted
            vr = vr or _vr_among(decoders, found)
            if vr not in decoders:
                raise _NotPlain
            if end > start or vr == b"SQ":
                found[keyword] = decoders[vr](bytes(data[start:end]))
        at = end
    raise _NotPlain


def _explicit(data: Bytes, at: int) -> Head:
    """The head of an element with its VR, or that of the end of an item (PS3.5 7.1.2, 7.5.2)."""
    group, element, vr, length = HEAD.unpack_from(data, at)
    tag, start = group << 16 | element, at + HEAD.size
    if vr in LONG:
        (length,) = LENGTH.unpack_from(data, start)
        start += LENGTH.size
    return tag, vr, start, length


def _implicit(data: Bytes, at: int) -> Head:
    """The head of an element without VR, or that of the end of an item (PS3.5 7.1.3)."""
    group, element, length = BARE_HEAD.unpack_from(data, at)
    return group << 16 | element, b"", at + BARE_HEAD.size, length


def _vr_among(decoders: Decoders, found: Elements) -> bytes:
    """The VR of an element that is written without: one of its decoders'."""
    if decoders is US_OR_SS:
        return b"SS" if found.get("PixelRepresentation") == 1 else b"US"
    return next(iter(decoders))


def _pixels(data: Bytes, tag: int, vr: bytes, start: int, length: int, *, compressed: bool) -> memoryview:
    if tag != PIXEL_DATA or vr not in (b"OB", b"OW", b"") or not length:
        raise _NotPlain
    if not compressed:
        return memoryview(data)[start : _end(data, b"OW", start, length, 0, _explicit)]
    stop, ended = end_of_fragments(data, start)
    if length != UNDEFINED_LENGTH or not ended:
        raise _NotPlain
    return memoryview(data)[start:stop]


def _end(data: Bytes, vr: bytes, start: int, length: int, depth: int, head: Callable[[Bytes, int], Head]) -> int:
    """Where the value of an element ends."""
    if vr not in KNOWN:
        raise _NotPlain
    if length == UNDEFINED_LENGTH:
        if vr not in (b"SQ", b""):
            raise _NotPlain
        return _end_of_sequence(data, start, depth, head)
    if start + length > len(data):
        raise _NotPlain
    return start + length


def _end_of_sequence(data: Bytes, at: int, depth: int, head: Callable[[Bytes, int], Head]) -> int:
    """Past the end of a sequence of undefined length whose first item is at `at` (PS3.5 7.5.2)."""
    if not depth:
        raise _NotPlain
    while True:
        group, element, length = BARE_HEAD.unpack_from(data, at)
        tag, at = group << 16 | element, at + BARE_HEAD.size
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM or at > MAX_SEQUENCE_BYTES:
            raise _NotPlain
        at = _end_of_item(data, at, depth, head) if length == UNDEFINED_LENGTH else at + length


def _end_of_item(data: Bytes, at: int, depth: int, head: Callable[[Bytes, int], Head]) -> int:
    for _ in range(MAX_ELEMENTS):
        tag, vr, start, length = head(data, at)
        if tag == ITEM_END:
            return start
        at = _end(data, vr, start, length, depth - 1, head)
    raise _NotPlain


def _text(value: bytes) -> Value:
    value = value.rstrip(b" \0")
    # A zero within is damage; an escape sequence would switch the character set (PS3.5 6.1.2.5).
    if b"\0" in value or b"\x1b" in value:
        raise _NotPlain
    parts = [part.strip(" ") for part in value.decode("ascii").split("\\")]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _identifier(value: bytes) -> Value:
    """A text that is only ever compared or shown: one in another character set is no reason to parse the whole file."""
    return value.decode("utf-8", "surrogateescape").strip(" \0")


def _unsigned(value: bytes) -> Value:
    decoded: int = UNSIGNED.unpack(value)[0]
    return decoded


def _signed(value: bytes) -> Value:
    decoded: int = SIGNED.unpack(value)[0]
    return decoded


def _refuse(_value: bytes) -> Value:
    raise _NotPlain


US: Final[Decoders] = {b"US": _unsigned}
US_OR_SS: Final[Decoders] = US | {b"SS": _signed}
SQ: Final[Decoders] = {b"SQ": _refuse}
AS: Final[Decoders] = {b"AS": _text}
CS: Final[Decoders] = {b"CS": _text}
DS: Final[Decoders] = {b"DS": _text}
IS: Final[Decoders] = {b"IS": _text}
LO: Final[Decoders] = {b"LO": _text}
SH: Final[Decoders] = {b"SH": _text}
UI: Final[Decoders] = {b"UI": _text}
COMPARED: Final[Decoders] = {b"SH": _identifier, b"LO": _identifier}


def _by_tag(attributes: dict[str, Decoders]) -> dict[int, tuple[str, Decoders]]:
    tags = {keyword: tag_for_keyword(keyword) for keyword in attributes}
    return {tag: (keyword, attributes[keyword]) for keyword, tag in tags.items() if tag is not None}


# What `app.imaging.dicom` and `app.imaging.pixels` ask for; a sequence among them is pydicom's.
READ: Final = _by_tag(
    {
        "MediaStorageSOPClassUID": UI,
        "TransferSyntaxUID": UI,
        "SpecificCharacterSet": CS,  # read by nobody: what is none is for pydicom to refuse or to pass over
        "ImageType": CS,
        "SOPClassUID": UI,
        "SOPInstanceUID": UI,
        "AccessionNumber": COMPARED,
        "Modality": CS,
        "Manufacturer": LO,
        "PatientSex": CS,
        "PatientAge": AS,
        "FrameType": CS,
        "SliceThickness": DS,
        "ConvolutionKernel": SH,
        "StudyInstanceUID": UI,
        "SeriesInstanceUID": UI,
        "ImagePositionPatient": DS,
        "ImageOrientationPatient": DS,
        "FrameOfReferenceUID": UI,
        "SamplesPerPixel": US,
        "PhotometricInterpretation": CS,
        "NumberOfFrames": IS,
        "Rows": US,
        "Columns": US,
        "PixelSpacing": DS,
        "BitsAllocated": US,
        "BitsStored": US,
        "HighBit": US,
        "PixelRepresentation": US,
        "PixelPaddingValue": US_OR_SS,
        "PixelPaddingRangeLimit": US_OR_SS,
        "RescaleIntercept": DS,
        "RescaleSlope": DS,
        "RescaleType": LO,
        "ModalityLUTSequence": SQ,
        "SharedFunctionalGroupsSequence": SQ,
        "PerFrameFunctionalGroupsSequence": SQ,
    }
)
KEYWORDS: Final = frozenset(keyword for keyword, _ in READ.values()) | {"PixelData"}
