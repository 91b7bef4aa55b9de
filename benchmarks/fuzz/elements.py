"""Mutations of one DICOM file, element by element. Each changes a tree in place and is named for what it does."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from app.reports.source import PATIENT, PATIENT_STUDY, STUDY
from benchmarks.fuzz.pixels import pixel_bytes, pixel_values
from benchmarks.fuzz.tree import GROUP_LENGTH, PIXEL_DATA, TRANSFER_SYNTAX, UNDEFINED, Element, File, Place, places
from benchmarks.fuzz.values import CHARSETS, NO_VRS, NUMBERS, UIDS, VRS, odd_value, padded

Mutation = Callable[[File, random.Random], None]
DEPTHS: Final = (1, 2, 8, 9, 40)
DEEP: Final = (400, 5000)  # beyond what a reader may follow by calling itself
LENGTHS: Final = (0, 1, 3, 7, 0xFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED)
COPIED: Final = (*PATIENT, *STUDY, *PATIENT_STUDY, "BodyPartExamined", "InstanceNumber", "SeriesNumber", "SeriesDate")
DESCRIBING: Final = (
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName", "KVP"),
    *("InstitutionName", "SeriesDescription", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime"),
    *("ConvolutionKernel", "ImageType", "PositionReferenceIndicator", "Laterality", "PatientPosition", "ImageComments"),
    *("AcquisitionNumber", "GantryDetectorTilt", "ReconstructionDiameter", "FrameType", "BurnedInAnnotation"),
    *("LossyImageCompression", "WindowCenter", "WindowWidth", "SmallestImagePixelValue", "LargestImagePixelValue"),
)
IDENTIFYING: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "SOPClassUID")
GEOMETRY: Final = (
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices"),
    *("SliceLocation", "ImagerPixelSpacing"),
)
SCALE: Final = ("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "PixelPaddingRangeLimit")
PIXELS: Final = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PlanarConfiguration", "NumberOfFrames", "PhotometricInterpretation", "Modality"),
)
SCALES: Final = (b"0", b"-1", b"1.5", b"1e3", b"1e-9", b"1e38", b"inf", b"nan", b"-1024", b"2", b"800", b"-1e5", b"16")
POSSIBLE: Final = (
    ("PixelSpacing", (b"0.1\\0.1", b"3\\3", b"0.3\\2.9", b"2.8\\2.80000001", b"1\\1", b"0.625\\0.625")),
    (
        "ImageOrientationPatient",
        (b"-1\\0\\0\\0\\1\\0", b"0\\1\\0\\1\\0\\0", b"1\\0\\0\\0\\0\\-1", b"0\\1\\0\\0\\0\\-1"),
    ),
    ("ImageOrientationPatient", (b"0.99\\0.141\\0\\-0.141\\0.99\\0", b"1\\0\\0\\0\\0.97\\0.243", b"1\\0\\0\\0\\-1\\0")),
    ("ImagePositionPatient", (b"0\\0\\0", b"-1e4\\1e4\\-1e4", b"-178.5\\-178.5\\-99999", b"1e-9\\0\\1e-9")),
    ("SliceThickness", (b"0", b"0.1", b"100", b"-2.5", b"5.0000001")),
    ("RescaleSlope", (b"0.5", b"1.0", b"2", b"-1", b"0.001", b"999")),
    ("RescaleIntercept", (b"0", b"-8192", b"99999", b"-1024.5")),
)
LENGTHS_MM: Final = (
    b"0",
    b"-1",
    b"0.001",
    b"0.05",
    b"0.7",
    b"2.5",
    b"10",
    b"1e6",
    b"nan",
    b"inf",
    b"",
    b"2,5",
    b"1e-5",
)
SYNTAXES: Final = tuple(
    f"1.2.840.10008.1.2{end}".encode()
    for end in (
        *("", ".1", ".1.99", ".2", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".4.90", ".4.91"),
        *(".4.92", ".4.100", ".4.201", ".4.203", ".4.110", ".1.98", ".6.1", ".4.53", ".4.55", ".9"),
    )
)
LOOKUP_DESCRIPTORS: Final = ((256, 0, 16), (0, 0, 16), (4096, 64512, 16), (1, 0, 8), (65535, 0, 12), (256, 0, 0))


def tag_of(keyword: str) -> int:
    """The tag of an attribute that there is."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def _of(keyword: str, value: bytes) -> Element:
    vr = dictionary_VR(keyword).split(" ")[0]
    return Element(tag_of(keyword), vr, value) if vr != "SQ" else Element(tag_of(keyword), vr, items=[])


def _somewhere(file: File, rng: random.Random, *, below: int = PIXEL_DATA) -> Place:
    every = [place for place in places(file.elements) if place.element.tag < below]
    return rng.choice(every) if every else Place(file.elements, 0)


def _put_odd(file: File, keyword: str, rng: random.Random) -> None:
    tag = tag_of(keyword)
    element = _of(keyword, odd_value(dictionary_VR(keyword).split(" ")[0], rng))
    if element.items is not None:
        element.items = [[_of("CodeValue", odd_value("SH", rng)), _of("PatientID", odd_value("LO", rng))]]
    inner = [place for place in places(file.elements) if place.element.tag == tag]
    if inner and (place := rng.choice(inner)):
        place.siblings[place.at] = element
    else:
        file.put(element)


def copied_attribute(file: File, rng: random.Random) -> None:
    """An odd value where a result takes it over."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        _put_odd(file, rng.choice(COPIED), rng)


def described_attribute(file: File, rng: random.Random) -> None:
    """An odd value where nothing or little depends on it."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        _put_odd(file, rng.choice(DESCRIBING), rng)


def identity(file: File, rng: random.Random) -> None:
    """A UID that is none, empty, or another's."""
    keyword = rng.choice(IDENTIFYING)
    file.put(_of(keyword, padded(rng.choice(UIDS))))


def character_set(file: File, rng: random.Random) -> None:
    """A character set that there is not, or that is not that of the texts."""
    file.put(_of("SpecificCharacterSet", padded(rng.choice(CHARSETS))))
    keyword = rng.choice(("PatientName", "StudyDescription", "PatientComments", "ReferringPhysicianName"))
    _put_odd(file, keyword, rng)


def geometry(file: File, rng: random.Random) -> None:
    """Spacing, position or orientation: nothing, negative, huge, not a number, or too many."""
    keyword = rng.choice(GEOMETRY)
    values = [
        rng.choice(LENGTHS_MM if rng.random() < 0.8 else NUMBERS) for _ in range(rng.choice((1, 2, 2, 3, 3, 6, 6)))
    ]
    _replace(file, _of(keyword, padded(b"\\".join(values))), rng)


def scale(file: File, rng: random.Random) -> None:
    """Rescale values or padding."""
    keyword = rng.choice(SCALE)
    vr = dictionary_VR(keyword).split(" ")[0]
    value = rng.choice(SCALES) if vr == "DS" and rng.random() < 0.7 else odd_value(vr, rng)
    _replace(file, _of(keyword, padded(value)), rng)


def pixel_description(file: File, rng: random.Random) -> None:
    """Attributes that say how pixels are stored, one or several that do not agree."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        keyword = rng.choice(PIXELS)
        _replace(file, _of(keyword, odd_value(dictionary_VR(keyword).split(" ")[0], rng)), rng)


def lookup_table(file: File, rng: random.Random) -> None:
    """A modality table instead of a slope."""
    descriptor = struct.pack("<3H", *rng.choice(LOOKUP_DESCRIPTORS))
    entries = struct.pack("<256H", *(rng.randrange(4096) for _ in range(256)))[: rng.choice((512, 512, 3, 0))]
    kind = rng.choice((b"HU", b"HU", b"US", b""))
    item = [
        _of("LUTDescriptor", descriptor),
        _of("ModalityLUTType", kind),
        Element(tag_of("LUTData"), rng.choice(("OW", "US")), entries),
    ]
    file.put(Element(tag_of("ModalityLUTSequence"), "SQ", items=[item] if rng.random() < 0.9 else []))


def any_value(file: File, rng: random.Random) -> None:
    """An odd value of its own representation, or of another, in any element."""
    place = _somewhere(file, rng)
    element = place.element
    if element.items is not None:
        element.items = element.items * rng.choice((0, 2)) or [[] for _ in range(rng.randrange(2))]
    else:
        element.value = odd_value(element.vr if rng.random() < 0.7 else rng.choice(VRS), rng)


def representation(file: File, rng: random.Random) -> None:
    """Another value representation than the dictionary's, or none that there is."""
    element = _somewhere(file, rng, below=1 << 32).element
    element.vr = rng.choice(VRS if rng.random() < 0.8 else NO_VRS)
    if element.vr == "SQ" and element.items is None and rng.random() < 0.5:
        element.items = [[]]


def stated_length(file: File, rng: random.Random) -> None:
    """A length that is not the value's."""
    element = _somewhere(file, rng, below=1 << 32).element
    near = len(element.value) + rng.choice((-2, -1, 1, 2, 8))
    element.length = max(0, near) if rng.random() < 0.5 else rng.choice(LENGTHS)


def several_values(file: File, rng: random.Random) -> None:
    """More values, or fewer, than the attribute may have."""
    element = _somewhere(file, rng).element
    element.value = padded(rng.choice((element.value + b"\\" + element.value, b"\\" + element.value, b"\\" * 200, b"")))


def order(file: File, rng: random.Random) -> None:
    """An element less, twice, or where it does not belong."""
    place = _somewhere(file, rng, below=1 << 32)
    element = place.element
    match rng.randrange(4):
        case 0:
            del place.siblings[place.at]
        case 1:
            place.siblings.insert(rng.randrange(len(place.siblings) + 1), element.copy())
        case 2:
            place.siblings.append(place.siblings.pop(place.at))
        case _:
            rng.shuffle(place.siblings)


def nesting(file: File, rng: random.Random) -> None:
    """Sequences in sequences, with and without an end, at a standard or a private tag."""
    items = [[_of("PatientID", b"X ")]]
    for _ in range(rng.choice(DEPTHS)):
        items = [[Element(tag_of("ReferencedStudySequence"), "SQ", items=items, undefined=rng.random() < 0.5)]]
    keyword = rng.choice(("ReferencedStudySequence", "ProcedureCodeSequence", "OtherPatientIDsSequence"))
    tag = tag_of(keyword) if rng.random() < 0.7 else 0x00091010
    element = Element(tag, rng.choice(("SQ", "SQ", "UN")), items=items, undefined=True, ended=rng.random() < 0.7)
    if rng.random() < 0.15:
        element.items, element.value, element.length = None, _deep(rng.choice(DEEP), rng), UNDEFINED
    file.put(element)


def _deep(depth: int, rng: random.Random) -> bytes:
    """The value of a sequence in which `depth` more are nested, all of undefined length, in Explicit or Implicit VR."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    head = b"\x08\x00\x10\x11" + rng.choice((b"SQ\0\0", b"")) + b"\xff\xff\xff\xff"
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return item + (head + item) * depth + ends * (depth + 1) * rng.choice((0, 1))


def private_elements(file: File, rng: random.Random) -> None:
    """Private elements with and without a creator, groups that are retired, or a tag that no data set has."""
    for _ in range(rng.choice((1, 3, 50))):
        tag = rng.choice(
            (0x00090010, 0x00091001, 0x00291010, 0x60000010, 0x50000005, 0x00080001, 0x00020010, 0xFFFCFFFC)
        )
        file.put(Element(tag, rng.choice(VRS), odd_value(rng.choice(VRS), rng)))


def transfer_syntax(file: File, rng: random.Random) -> None:
    """A transfer syntax in which the data set is not written."""
    for element in file.meta:
        if element.tag == TRANSFER_SYNTAX:
            element.value = padded(rng.choice(SYNTAXES if rng.random() < 0.9 else UIDS))


def file_meta(file: File, rng: random.Random) -> None:
    """File meta information and preamble, as converters leave them."""
    match rng.randrange(6):
        case 0:
            file.start = b"PK\x03\x04" + file.start[4:]
        case 1:
            file.start = rng.choice((b"", b"DICM", bytes(128), b"II*\0" + file.start[4:], file.start[:131] + b"X"))
        case 2:
            file.true_group_length = False
            file.meta[0].value = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x10\0\0\0", b""))
        case 3:
            file.meta = [element for element in file.meta if element.tag != GROUP_LENGTH]
        case 4:
            del file.meta[rng.randrange(len(file.meta))]
        case _:
            element = rng.choice(file.meta)
            element.value = odd_value(element.vr, rng)


def other_shape(file: File, rng: random.Random) -> None:
    """As many pixels in another number of rows, or fewer of them."""
    rows, columns = rng.choice(((32, 512), (512, 32), (16, 1024), (64, 256), (1, 128), (128, 1), (64, 64), (16, 16)))
    file.put(_of("Rows", struct.pack("<H", rows)))
    file.put(_of("Columns", struct.pack("<H", columns)))


def possible_geometry(file: File, rng: random.Random) -> None:
    """Spacing, orientation or place as no scanner gives it, but as it could be."""
    keyword, values = rng.choice(POSSIBLE)
    _replace(file, _of(keyword, padded(rng.choice(values))), rng)


def _replace(file: File, element: Element, rng: random.Random) -> None:
    """In place of one with its tag, wherever that is; in the data set itself otherwise."""
    found = [place for place in places(file.elements) if place.element.tag == element.tag]
    if found and (place := rng.choice(found)):
        place.siblings[place.at] = element
    else:
        file.put(element)


# Those that leave an image to be judged, so that its answers are written.
GENTLE: Final[tuple[Mutation, ...]] = (
    *(copied_attribute, copied_attribute, described_attribute, character_set),
    *(pixel_values, other_shape, possible_geometry),
)
MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(identity, geometry, scale, pixel_description, lookup_table, any_value, representation, stated_length),
    *(several_values, order, nesting, private_elements, transfer_syntax, file_meta, pixel_bytes),
)


def mutated(file: File, rng: random.Random, gentle: float = 0.45) -> tuple[bytes, tuple[str, ...]]:
    """A mutant of a file and the names of what was done to it; `gentle` is the share that can still be judged."""
    file, done = file.copy(), []
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        mutation = rng.choice(GENTLE if rng.random() < gentle else MUTATIONS)
        mutation(file, rng)
        done.append(mutation.__name__)
    return file.written(), tuple(done)
