"""The files of one CT series, in any order, to a `CTVolume` whose pixels are held once, as int16."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from app.errors import (
    ConflictingInstances,
    EmptyInput,
    InputError,
    IrregularSpacing,
    LocalizerImage,
    MissingSlices,
    MixedSeries,
    NoCtSlices,
    SeriesTooLarge,
    TooFewSlices,
    Undecodable,
    UnsupportedMediaType,
    WrongModality,
    WrongSopClass,
)
from app.imaging.chunked import FileBytes, piece_of
from app.imaging.content_digest import digest_of_files, file_digest
from app.imaging.ct import CTSlice, PointMm, QualityNote, SliceSource
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.dicom import DicomImage
from app.imaging.formats import TEXT, UNKNOWN
from app.imaging.options import ReadOptions
from app.imaging.packed_header import pack_header, unpack_header
from app.imaging.pixel_stack import INT16, PixelStack, SeriesLimits
from app.imaging.quality import check_thickness
from app.imaging.read import SNIFFED_BYTES, sniff
from app.imaging.slice_plane import SlicePlane, frame_of_reference_notes, plane_and_position
from app.imaging.stacking import stack_spacing_mm
from app.imaging.volume import CTVolume, heights_mm

NOT_CT: Final = (
    EmptyInput,
    UnsupportedMediaType,
    WrongSopClass,
    WrongModality,
)  # a study holds such files beside CT
INCOMPLETE: Final = (TooFewSlices, MissingSlices, IrregularSpacing)  # as it may be for want of an unreadable file
MAX_UNREADABLE: Final = 0.25  # of the slices: more than a stray file, so that the series itself is damaged


class _Unreadable(Exception):
    """A file of which no slice was taken, and why."""

    def __init__(self, error: InputError) -> None:
        super().__init__()
        self.error = error


class SeriesBuilder:
    """Takes the files of one series one by one, in any order, and builds the volume from them.

    `add` decodes a file at once, so that its bytes may be dropped; `len()` is the number of slices held. Calls may
    come from several threads, one at a time. `keep_headers` keeps what stands before the pixels of every file, packed,
    for `headers`; `keep_digests` the digest of every file of the series, for `input_digest`. Localizers, exact
    duplicates, files that are no CT image and, where the others make a whole without them, files that cannot be read
    are left out with a note. Errors name a file by its place in the order of arrival, 1-based: names may hold patient
    data.
    """

    def __init__(
        self,
        limits: SeriesLimits | None = None,
        options: ReadOptions | None = None,
        *,
        keep_headers: bool = False,
        decoder: Decoder = IN_PROCESS,
        keep_digests: bool = False,
    ) -> None:
        self._limits = limits or SeriesLimits()
        self.decoder = decoder
        self._options = options or ReadOptions()
        self._files = self._localizers = self._duplicates = 0
        self._name = ""
        self._not_ct: list[InputError] = []
        self._unreadable: list[InputError] = []
        self._files_of_series: Counter[str | None] = Counter()
        self._plane: SlicePlane | None = None
        self._stack = PixelStack(self._limits)
        self._positions: list[PointMm] = []
        self._sources: list[SliceSource] = []
        self._notes: dict[str, QualityNote] = {}
        self._index_of: dict[tuple[str, int | None], int] = {}
        self._keep_headers = keep_headers
        self._headers: dict[str | None, bytes] = {}
        self._keep_digests = keep_digests
        self._digests: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._positions)

    def add(
        self, file: FileBytes | InputError, name: str | None = None, go_on: Callable[[], None] = lambda: None
    ) -> None:
        """Read one file; every frame of it, if it is a multi-frame image. One in blocks is given back on the way. An
        error stands for a file that cannot be had. `name` is what errors call it instead of its place in the order.
        `go_on` is called before each frame after the first, and may raise to stop the work.

        Raises SeriesTooLarge, MixedGeometry, NoSlicePosition, ConflictingInstances, and what reading a frame after the
        first of a file raises.
        """
        self._files += 1
        self._name = name or f"file {self._files}"
        if self._files > self._limits.max_files:
            raise _too_large(f"more than {self._limits.max_files} files")
        try:
            if isinstance(file, InputError):
                raise _Unreadable(file)
            self._read(file, go_on)
        except _Unreadable as unreadable:
            error = unreadable.error
            kinds = self._not_ct if isinstance(error, NOT_CT) else self._unreadable
            kinds.append(self._placed(error))
            if len(self._unreadable) > MAX_UNREADABLE * self._limits.max_slices:
                raise self._unreadable[0] from None
        except InputError as error:
            raise self._placed(error) from None

    def _placed(self, error: InputError) -> InputError:
        found = f"{error.found} in {self._name}"
        return type(error)(found=found, expected=error.expected, remedy=error.remedy)

    def build(self) -> CTVolume:
        """The volume, its slices ascending along their normal; the builder is spent afterwards.

        Raises NoCtSlices, LocalizerImage (when nothing else came), MixedSeries, what `stack_spacing_mm` raises, and
        why a file could not be read where the rest is no whole without it.
        """
        if len(self._files_of_series) > 1:
            raise self._mixed()
        if self._plane is None or len(self._unreadable) > max(1, MAX_UNREADABLE * len(self)):
            raise self._nothing_left()
        positions = np.asarray(self._positions, np.float64)
        order = np.argsort(heights_mm(positions, self._plane.orientation), kind="stable")
        try:
            spacing_mm = stack_spacing_mm(positions[order], self._plane.orientation)
        except INCOMPLETE as error:
            raise next(iter(self._unreadable), error) from None
        return CTVolume(
            hu=self._stack.ordered(order),
            spacing_mm=(spacing_mm, *self._plane.spacing_mm),
            orientation=self._plane.orientation,
            positions_mm=tuple(self._positions[n] for n in order),
            sources=tuple(self._sources[n] for n in order),
            notes=(*self._notes.values(), *self._left_out()),
        )

    @property
    def input_digest(self) -> str | None:
        """The digest of the files of which slices were taken, in any order; None unless they were kept."""
        return digest_of_files(self._digests) if self._digests else None

    def headers(self, instance_uids: Collection[str | None]) -> list[Dataset]:
        """The data sets of these instances, without pixels; those that were kept."""
        return [unpack_header(self._headers[uid]) for uid in instance_uids if uid in self._headers]

    def _read(self, file: FileBytes, go_on: Callable[[], None]) -> None:
        image, frames = _parsed(file)
        if not frames:
            self._localizers += 1
            return
        self._files_of_series[image.series_instance_uid] += 1
        # Of another series nothing is decoded: it is counted, to say so in the end.
        if len(self._files_of_series) > 1:
            return
        first, *others = frames
        digest = file_digest(file) if self._keep_digests else None
        try:
            ct_slice = image.read(first, self._options, self.decoder)
        except Undecodable:
            # Each such file takes a decoder's time and memory to the last of it: none is left out and the next tried.
            raise
        except InputError as error:
            raise _Unreadable(error) from None
        if self._keep_headers:
            self._headers[image.header.text("SOPInstanceUID")] = pack_header(file)
        if digest is not None:
            self._digests.add(digest)
        self._take(ct_slice)
        image.release(first)
        for frame in others:
            go_on()
            self._take(image.read(frame, self._options, self.decoder))
            image.release(frame)

    def _take(self, ct_slice: CTSlice) -> None:
        plane, position = plane_and_position(ct_slice)
        self._plane = self._plane or plane
        self._plane.refuse_other(plane)
        for note in frame_of_reference_notes(self._sources[:1], ct_slice.source):
            self._notes.setdefault(note.code, note)
        if self._is_duplicate(ct_slice, position):
            self._duplicates += 1
            return
        slices = len(self) + 1
        pixel_bytes = slices * ct_slice.hu.size * INT16.dtype.itemsize
        if slices > self._limits.max_slices or pixel_bytes > self._limits.max_pixel_bytes:
            raise _too_large(f"{slices} slices with {pixel_bytes >> 20} MB of pixels or more")
        self._stack.append(ct_slice.hu)
        self._positions.append(position)
        self._sources.append(ct_slice.source)
        for note in (*ct_slice.notes, *check_thickness(ct_slice)):
            self._notes.setdefault(note.code, note)

    def _is_duplicate(self, ct_slice: CTSlice, position: PointMm) -> bool:
        uid = ct_slice.source.sop_instance_uid
        if uid is None:
            return False
        index = self._index_of.setdefault((uid, ct_slice.source.frame), len(self))
        if index == len(self):
            return False
        # Some anonymisers give every file the same UID: dropping those would lose the scan.
        if position != self._positions[index] or not self._stack.holds(index, ct_slice.hu):
            raise ConflictingInstances(
                found="another slice under a SOP Instance UID that came before",
                expected="a UID of its own for every image (PS3.3 C.12.1)",
                remedy="Send the original files; the tool that changed them must give each its own UID.",
            )
        return True

    def _mixed(self) -> MixedSeries:
        counts = sorted(self._files_of_series.values(), reverse=True)
        return MixedSeries(
            found=f"{len(counts)} series, of {', '.join(map(str, counts))} files",
            expected="one series",
            remedy="Send each series by itself.",
        )

    def _nothing_left(self) -> InputError:
        if self._unreadable:
            return self._unreadable[0]
        if self._localizers:
            return LocalizerImage(
                found=f"{self._localizers} localizer(s) and no slices",
                expected="the axial slices of a series",
                remedy="Send the series itself, not its scout view.",
            )
        first = self._not_ct[0] if self._not_ct else None
        is_named = isinstance(first, UnsupportedMediaType) and not first.found.startswith((UNKNOWN.name, TEXT.name))
        if self._files == 1 and first is not None and is_named:
            return first
        found = f"{self._files} file(s), none of them a CT image" if self._files else "no files"
        return NoCtSlices(
            found=found if first is None else f"{found}; {first.found}",
            expected="the CT images of one series as DICOM files",
            remedy="Send the series itself: CT Image Storage or Enhanced CT Image Storage.",
        )

    def _left_out(self) -> tuple[QualityNote, ...]:
        not_ct = f"{len(self._not_ct)} file(s) are no CT images and were left out."
        unreadable = f"{len(self._unreadable)} file(s) could not be read and were left out."
        localizers = f"{self._localizers} localizer(s) were left out."
        duplicates = f"{self._duplicates} slice(s) came more than once and were taken once."
        counted = (
            (len(self._not_ct), QualityNote("files_left_out", "info", not_ct)),
            (len(self._unreadable), QualityNote("files_unreadable", "warning", unreadable)),
            (self._localizers, QualityNote("localizers_left_out", "info", localizers)),
            (self._duplicates, QualityNote("duplicates_dropped", "info", duplicates)),
        )
        return tuple(note for count, note in counted if count)


def _parsed(file: FileBytes) -> tuple[DicomImage, list[int]]:
    """An image and its frames that are no localizers; raises _Unreadable."""
    try:
        kind = sniff(piece_of(file, 0, SNIFFED_BYTES))
        if kind != "dicom":
            raise WrongSopClass(found=f"a {kind} picture", expected="DICOM", remedy="Send the DICOM files.")
        image = DicomImage.parse(file)
        return image, [frame for frame in range(1, image.frames + 1) if not image.is_localizer(frame)]
    except InputError as error:
        raise _Unreadable(error) from None


def _too_large(found: str) -> SeriesTooLarge:
    return SeriesTooLarge(
        found=found,
        expected="one CT series within the service's limits",
        remedy="Send one series, of thicker slices or a smaller matrix.",
    )
