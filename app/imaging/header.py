"""Typed access to DICOM attributes. What cannot be read names the attribute, never its value."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, Final, NamedTuple, cast

from pydicom import config as pydicom_config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from app.errors import DicomTooComplex, InputTooLarge, MalformedDicom
from app.imaging.characters import ignore_odd_character_sets
from app.imaging.chunked import ChunkedFile, FileBytes, piece_of, stream_of, stream_within
from app.imaging.element_budget import CountedStream, complexity_in, in_order, refuse_many_items
from app.imaging.elements import Elements
from app.imaging.formats import PREAMBLE_BYTES, PREFIX
from app.imaging.fragments import UNDEFINED_LENGTH, end_of_fragments
from app.imaging.inflation import inflate
from app.imaging.remarks import Remarks

FILE_META: Final = 0x0002  # the group of the file meta information
PIXEL_DATA: Final = 0x7FE00010
PIXELS: Final = (PIXEL_DATA, 0x7FE00009, 0x7FE00008)  # of integers, doubles and floats
BINARY: Final = (None, "OB", "OD", "OF", "OL", "OV", "OW", "UN")  # None: of an implicit representation
SEVERAL: Final = (MultiValue, tuple)  # what pydicom and `plain_elements` make of more values than one


def quiet_pydicom() -> None:
    """Keep pydicom from warning about values it finds odd: its messages quote them, and they may name a patient.

    Without validation it still warns and logs what its parser meets. Process-wide and set once at start-up, because
    `warnings.catch_warnings` is not safe among threads.
    """
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    ignore_odd_character_sets()


@dataclass(frozen=True, slots=True, eq=False)
class PixelBytes:
    """Pixel Data where they lie in their file, from `start` up to `stop`: a multi-frame image is not held twice."""

    file: FileBytes
    start: int
    stop: int

    def __len__(self) -> int:
        """Number of bytes."""
        return self.stop - self.start

    def part(self, start: int, stop: int) -> bytes | memoryview:
        """The bytes from `start` up to `stop`, counted from the first of them."""
        return piece_of(self.file, self.start + start, self.start + stop)

    def stream(self) -> BinaryIO:
        """A stream over them."""
        return stream_within(self.file, self.start, self.stop)

    def release(self, before: int) -> None:
        """Give back what the file holds before a place, counted from the first of them, if it is held in blocks."""
        if isinstance(self.file, ChunkedFile):
            self.file.release(self.start + before)


class ParsedDicom(NamedTuple):
    """A data set with `file_meta` up to its Pixel Data, and these; None where there are none. `ended`: whether the
    delimiter stands after their last fragment."""

    dataset: FileDataset
    pixels: PixelBytes | None
    ended: bool


def parse_dicom(file: FileBytes) -> ParsedDicom:
    """Parse a DICOM file (PS3.10); its Pixel Data, and what may follow them, stay where they are.

    Raises MalformedDicom when it cannot be read, DicomTooComplex when it has more parts than are read, and
    InputTooLarge when it inflates beyond `inflation.MAX_INFLATED_BYTES`.
    """
    with _only_our_errors():
        return _parse(file)


def read_header(stream: BinaryIO) -> FileDataset:
    """The data set of a DICOM file up to its pixels, for results to take over from; raises MalformedDicom and
    DicomTooComplex, and OSError where it cannot be read."""
    with _only_our_errors(OSError):
        return _up_to_pixels(stream)


def read_file_meta(stream: BinaryIO) -> Dataset:
    """The file meta information of a DICOM file; raises MalformedDicom and DicomTooComplex, and OSError where it cannot
    be read."""
    with _only_our_errors(OSError):
        counted = _counted(stream)
        counted.seek(PREAMBLE_BYTES)
        if counted.read(len(PREFIX)) != PREFIX:
            raise EOFError
        return _file_meta(counted)


def read_attributes(stream: BinaryIO, keywords: Collection[str]) -> FileDataset:
    """Some attributes of a DICOM file, those before its pixels; raises MalformedDicom and DicomTooComplex, and OSError
    where it cannot be read."""
    with _only_our_errors(OSError):
        return _up_to_pixels(stream, [Tag(keyword) for keyword in keywords])


@contextmanager
def _only_our_errors(*others: type[Exception]) -> Iterator[None]:
    """Turns whatever pydicom's parsers raise of damaged bytes into MalformedDicom, but for `others`."""
    try:
        yield
    except (InputTooLarge, MemoryError):
        raise
    except Exception as error:
        if (complexity := complexity_in(error)) is not None:
            raise complexity from None
        if isinstance(error, others):
            raise
        raise _senseless(error) from None


def _counted(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, CountedStream(stream))


def _up_to_pixels(stream: BinaryIO, tags: list[BaseTag | int] | None = None) -> FileDataset:
    counted = _counted(stream)
    _file_meta(counted)
    counted.seek(0)
    return read_partial(counted, stop_when=in_order(_at_pixels), specific_tags=tags)


def _file_meta(stream: BinaryIO) -> Dataset:
    """The file meta information (PS3.10 7.1); leaves the stream behind it."""
    stream.seek(PREAMBLE_BYTES + len(PREFIX))
    return read_dataset(stream, False, True, stop_when=in_order(_after_file_meta))


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) in PIXELS


def _senseless(error: Exception) -> MalformedDicom:
    return MalformedDicom(
        found=f"bytes that stop making sense as DICOM ({type(error).__name__})",
        expected="a complete DICOM file (PS3.10) with preamble, file meta information and data set",
        remedy="Send the file as the modality or the archive wrote it.",
    )


def _parse(file: FileBytes) -> ParsedDicom:
    refuse_many_items(file)
    stream = _counted(stream_of(file))
    meta = _file_meta(stream)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        file = inflate(piece_of(file, stream.tell(), len(file)))
        stream = _counted(stream_of(file))
        pixels = _PixelData(stream)
        inflated = read_dataset(stream, False, True, stop_when=in_order(pixels.reached))
        dataset = FileDataset(BytesIO(), inflated, is_implicit_VR=False, is_little_endian=True)
        dataset.file_meta = FileMetaDataset(meta)
    else:
        stream.seek(0)
        pixels = _PixelData(stream)
        dataset = read_partial(stream, stop_when=in_order(pixels.reached))
    # What pydicom makes of a data set that ends within a sequence.
    if len(dataset) == 0:
        raise EOFError
    return ParsedDicom(dataset, *pixels.lying_in(file))


class _PixelData:
    """Where the value of Pixel Data begins in a stream, once pydicom has reached it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._value: tuple[int, int] | None = None

    def reached(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        """Tells pydicom to stop there: it asks before each value."""
        if tag != PIXEL_DATA:
            return False
        self._value = (self._stream.tell(), length) if vr in BINARY else None
        return True

    def lying_in(self, file: FileBytes) -> tuple[PixelBytes | None, bool]:
        """The bytes, and whether they end as they should; raises EOFError where a fragment is not whole."""
        if self._value is None:
            return None, True
        start, length = self._value
        if length != UNDEFINED_LENGTH:
            return PixelBytes(file, start, min(start + length, len(file))), True
        stop, ended = end_of_fragments(file, start)
        return PixelBytes(file, start, stop), ended


def _after_file_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >> 16 != FILE_META


@dataclass(frozen=True, slots=True)
class Header:
    """Attributes of one data set by keyword, converted and checked; `remarks` fill while they are read."""

    dataset: Dataset | Elements
    remarks: Remarks = field(default_factory=Remarks)

    def __contains__(self, keyword: str) -> bool:
        return self._value(keyword) not in (None, "")

    def text(self, keyword: str) -> str | None:
        """A single-valued string, or None when absent or empty."""
        value = self._single_or_several(keyword)
        if value in (None, ""):
            return None
        return ("\\".join(map(str, value)) if isinstance(value, SEVERAL) else str(value)).strip() or None

    def text_if_usable(self, keyword: str) -> str | None:
        """A text that nothing depends on; None, and a remark, for what is anything else."""
        try:
            return self.text(keyword)
        except MalformedDicom:
            self.remarks.ignored.add(keyword)
            return None

    def texts(self, keyword: str) -> tuple[str, ...]:
        """A multi-valued string; empty when absent, or a sequence."""
        value = self._value(keyword)
        if value is None or isinstance(value, Sequence):
            return ()
        return tuple(str(part).strip() for part in (value if isinstance(value, SEVERAL) else (value,)))

    def integer(self, keyword: str, default: int | None = None) -> int:
        """A whole number; raises MalformedDicom when absent (without a default) or not a whole number."""
        (number,) = self.numbers(keyword, 1) or ((float(default),) if default is not None else (math.nan,))
        if not number.is_integer():
            raise malformed(keyword, "a whole number")
        return int(number)

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """`count` finite numbers, or None when absent; raises MalformedDicom when it is anything else."""
        value = self._single_or_several(keyword)
        if value in (None, ""):
            return None
        try:
            # Only what holds several values: a string or bytes would be taken apart into digits.
            values = tuple(value) if isinstance(value, SEVERAL) else (value,)
            # Some writers end the list with one backslash too many.
            numbers = self.remarks.numbers(keyword, values if any(values[count:]) else values[:count])
        except (TypeError, ValueError, OverflowError):
            raise malformed(keyword, f"{count} number(s)") from None
        if not numbers:
            return None
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            raise malformed(keyword, f"{count} finite number(s)")
        return numbers

    def number_if_usable(self, keyword: str) -> float | None:
        """A finite number that nothing depends on; None, and a remark, for what is anything else."""
        try:
            (number,) = self.numbers(keyword, 1) or (None,)
        except MalformedDicom:
            self.remarks.ignored.add(keyword)
            return None
        return number

    def data(self, keyword: str) -> bytes | memoryview:
        """Bytes as they are; empty when absent or of a representation that does not hold bytes."""
        value = self._value(keyword)
        return value if isinstance(value, bytes | memoryview) else b""

    def item(self, keyword: str, index: int = 0) -> Header | None:
        """One item of a sequence, or None when the sequence is absent or shorter."""
        value = self._value(keyword)
        try:
            return Header(value[index], self.remarks) if value is not None and len(value) > index else None
        except TypeError:
            raise malformed(keyword, "a sequence") from None

    def _single_or_several(self, keyword: str) -> Any:
        """Raises MalformedDicom for a sequence."""
        value = self._value(keyword)
        # As a text it would show all within, and raise whatever pydicom meets there.
        if isinstance(value, Sequence):
            raise malformed(keyword, "a value of its own representation")
        return value

    def _value(self, keyword: str) -> Any:  # what an attribute holds depends on its VR
        if isinstance(self.dataset, Elements):
            return self.dataset.get(keyword)
        try:
            return self.dataset.get(keyword)
        except DicomTooComplex:
            raise
        # pydicom converts on access and raises whatever its converters meet.
        except Exception:
            return self._texts_as_written(keyword)

    def _texts_as_written(self, keyword: str) -> tuple[str, ...]:
        """The values of what pydicom cannot convert, as texts; raises MalformedDicom for what is no text either."""
        try:
            element = self.dataset.get_item(keyword) if isinstance(self.dataset, Dataset) else None
        # Of a representation that there is not, pydicom gives not even the bytes, and raises whatever it meets.
        except Exception:
            raise malformed(keyword, "a value of its own representation") from None
        written = element.value if isinstance(element, RawDataElement) else None
        try:
            text = (written or b"\xff").decode("ascii")
        except UnicodeDecodeError:
            raise malformed(keyword, "a value of its own representation") from None
        return tuple(part.strip(" \0") for part in text.split("\\"))


def malformed(keyword: str, expected: str) -> MalformedDicom:
    """The error for an attribute whose value cannot be used."""
    return MalformedDicom(
        found=f"{keyword} with an unusable value",
        expected=f"{keyword} to hold {expected}",
        remedy="Correct the attribute at its source and send the file again.",
    )
