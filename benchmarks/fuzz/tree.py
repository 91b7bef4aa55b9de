"""A DICOM file taken apart into elements that can be changed one by one and written wrongly."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

LONG: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))  # PS3.5 7.1.2
WIDTH: Final = (  # bytes of a number, which the order of bytes concerns
    dict.fromkeys(("AT", "OW", "SS", "US"), 2)
    | dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4)
    | dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)
)
UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
GROUP_LENGTH: Final = 0x00020000
TRANSFER_SYNTAX: Final = 0x00020010
PIXEL_DATA: Final = 0x7FE00010


@dataclass(slots=True)
class Element:
    """One element: a value in little endian, or the items of a sequence, or the fragments of encapsulated pixels.

    `length` is stated instead of the true one; `undefined` writes a sequence with delimiters, the last of which is
    left out where it is not `ended`.
    """

    tag: int
    vr: str
    value: bytes = b""
    items: list[list[Element]] | None = None
    fragments: list[bytes] | None = None
    length: int | None = None
    undefined: bool = False
    ended: bool = True

    def copy(self) -> Element:
        """One that can be changed by itself."""
        items = None if self.items is None else [[element.copy() for element in item] for item in self.items]
        fragments = None if self.fragments is None else list(self.fragments)
        return Element(
            self.tag, self.vr, self.value, items, fragments, self.length, undefined=self.undefined, ended=self.ended
        )


@dataclass(slots=True)
class File:
    """A file of PS3.10 in parts; `syntax` is how its data set is written, whatever its meta information states."""

    meta: list[Element]
    elements: list[Element]
    syntax: str
    start: bytes = bytes(128) + b"DICM"
    true_group_length: bool = True

    def copy(self) -> File:
        """One that can be changed by itself."""
        meta, elements = ([element.copy() for element in each] for each in (self.meta, self.elements))
        return File(meta, elements, self.syntax, self.start, self.true_group_length)

    def find(self, tag: int) -> Element | None:
        """The first element with a tag, at the top."""
        return next((element for element in self.elements if element.tag == tag), None)

    def put(self, element: Element) -> None:
        """Take the place of what has the same tag, or enter in ascending order."""
        self.elements = [each for each in self.elements if each.tag != element.tag]
        at = next((n for n, each in enumerate(self.elements) if each.tag > element.tag), len(self.elements))
        self.elements.insert(at, element)

    def written(self) -> bytes:
        """The bytes."""
        meta = encoded([element for element in self.meta if element.tag != GROUP_LENGTH])
        for element in self.meta:
            if element.tag == GROUP_LENGTH and self.true_group_length:
                element.value = struct.pack("<L", len(meta))
        body = encoded(
            self.elements, explicit=self.syntax != ImplicitVRLittleEndian, big=self.syntax == ExplicitVRBigEndian
        )
        if self.syntax == DeflatedExplicitVRLittleEndian:
            deflater = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
            body = deflater.compress(body) + deflater.flush()
        return self.start + encoded(self.meta) + body


@dataclass(slots=True)
class Place:
    """A list of elements somewhere in a tree, and where in it one stands."""

    siblings: list[Element]
    at: int

    @property
    def element(self) -> Element:
        """What stands there."""
        return self.siblings[self.at]


def places(elements: list[Element]) -> Iterator[Place]:
    """Every element of a tree, those in items of sequences too."""
    for at, element in enumerate(elements):
        yield Place(elements, at)
        for item in element.items or ():
            yield from places(item)


def taken_apart(data: bytes) -> File:
    """A well-formed file in Explicit VR Little Endian or an encapsulated syntax as a tree."""
    dataset = pydicom.dcmread(BytesIO(data))
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    elements = list(_elements(dataset, encapsulated=syntax.is_encapsulated))
    return File(list(_elements(dataset.file_meta)), elements, str(syntax))


def in_syntax(file: File, syntax: str) -> File:
    """One that is not encapsulated, written in another native syntax."""
    other = file.copy()
    other.syntax = syntax
    for element in other.meta:
        if element.tag == TRANSFER_SYNTAX:
            element.value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return other


def _elements(dataset: Dataset, *, encapsulated: bool = False) -> Iterator[Element]:
    for tag in sorted(dataset.keys()):
        raw: RawDataElement | DataElement = dataset.get_item(tag)
        vr = str(raw.VR)
        if vr == "SQ":
            items = [list(_elements(item)) for item in dataset[tag].value]
            yield Element(int(tag), vr, items=items)
        elif int(tag) == PIXEL_DATA and encapsulated:
            yield Element(int(tag), vr, fragments=list(generate_fragments(dataset[tag].value)))
        elif isinstance(raw, RawDataElement):
            yield Element(int(tag), vr, raw.value or b"")
        else:
            yield Element(int(tag), vr, _value(dataset, int(tag)))


def _value(dataset: Dataset, tag: int) -> bytes:
    """What pydicom has decoded already, as it writes it."""
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = True, True
    write_data_element(out, dataset[tag])
    return out.getvalue()[8:]


def encoded(elements: Sequence[Element], *, explicit: bool = True, big: bool = False) -> bytes:
    """The elements in one of the native encodings (PS3.5 A.1 to A.3)."""
    return b"".join(_element(each, explicit, ">" if big else "<") for each in elements)


def _element(element: Element, explicit: bool, order: str) -> bytes:
    undefined = element.undefined or element.fragments is not None
    if element.fragments is not None:
        content = b"".join(_head(ITEM, len(each), order) + each for each in element.fragments)
    elif element.items is not None:
        content = b"".join(_item(each, element.undefined, explicit, order) for each in element.items)
    else:
        content = _ordered(element.value, element.vr, order)
    length = UNDEFINED if undefined else len(content)
    if undefined and element.ended:
        content += _head(SEQUENCE_END, 0, order)
    return _element_head(element, length if element.length is None else element.length, explicit, order) + content


def _element_head(element: Element, length: int, explicit: bool, order: str) -> bytes:
    if not explicit:
        return _head(element.tag, length, order)
    vr = element.vr.encode("latin-1")[:2].ljust(2)
    tag = _tag(element.tag, order)
    if element.vr in LONG:
        return tag + vr + struct.pack(f"{order}2xL", length & UNDEFINED)
    return tag + vr + struct.pack(f"{order}H", length & 0xFFFF)


def _item(elements: Sequence[Element], undefined: bool, explicit: bool, order: str) -> bytes:
    content = encoded(elements, explicit=explicit, big=order == ">")
    if not undefined:
        return _head(ITEM, len(content), order) + content
    return _head(ITEM, UNDEFINED, order) + content + _head(ITEM_END, 0, order)


def _head(tag: int, length: int, order: str) -> bytes:
    return _tag(tag, order) + struct.pack(f"{order}L", length & UNDEFINED)


def _tag(tag: int, order: str) -> bytes:
    return struct.pack(f"{order}HH", Tag(tag).group, Tag(tag).element)


def _ordered(value: bytes, vr: str, order: str) -> bytes:
    """The value with its bytes in the order of the encoding, where they are whole words."""
    width = WIDTH.get(vr, 1)
    if order == "<" or width == 1 or len(value) % width:
        return value
    return b"".join(value[at : at + width][::-1] for at in range(0, len(value), width))
