"""DICOM CT (single-frame and Enhanced multi-frame) to `CTSlice`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from app.errors import (
    FrameOutOfRange,
    FrameRequired,
    LocalizerImage,
    NoPixelData,
    NoPixelSpacing,
    NotHounsfield,
    WrongModality,
    WrongSopClass,
)
from app.imaging.chunked import ChunkedFile, FileBytes
from app.imaging.ct import (
    AIR_HU,
    MAX_SPACING_MM,
    MIN_SPACING_MM,
    CTSlice,
    Orientation,
    PointMm,
    QualityNote,
)
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.elements import plain_elements
from app.imaging.frame_groups import FrameGroups
from app.imaging.header import Header, PixelBytes, malformed, parse_dicom
from app.imaging.identity import frame_of_reference_notes, refuse_odd_uids, scan_facts, slice_source
from app.imaging.image_size import check_field
from app.imaging.options import ReadOptions
from app.imaging.pixels import PixelFormat, StoredValues, frames_held, stored_values
from app.imaging.rescale import rescale

CT_SOP_CLASSES: Final = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
PLAIN_SYNTAXES: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
LOCALIZER: Final = "LOCALIZER"
UNENDED: Final = QualityNote(
    "pixel_data_unended", "warning", "Pixel Data end without their delimiter; every fragment of them is there."
)


def read_dicom(data: bytes | memoryview, options: ReadOptions, decoder: Decoder = IN_PROCESS) -> CTSlice:
    """Read one frame of a DICOM CT image; raises the input errors of `app.errors`, each naming what was found."""
    image = DicomImage.parse(data)
    return image.read(_chosen_frame(image.frames, options.frame), options, decoder)


@dataclass(frozen=True, slots=True)
class DicomImage:
    """A CT image whose header was parsed once; its frames are decoded one at a time."""

    header: Header
    transfer_syntax: UID
    fmt: PixelFormat
    pixel_data: PixelBytes
    notes: tuple[QualityNote, ...] = ()

    @classmethod
    def parse(cls, file: FileBytes) -> DicomImage:
        """Parse and check the header; raises the input errors of `app.errors`."""
        # One in blocks is of many frames: these are described in sequences, which are pydicom's.
        plain = None if isinstance(file, ChunkedFile) else plain_elements(file)
        if plain is not None:
            meta, header = map(Header, plain)
            values = header.data("PixelData")
            return cls._checked(meta, header, _syntax(meta), PixelBytes(values, 0, len(values)))
        dataset, pixels, ended = parse_dicom(file)
        meta, header = Header(dataset.file_meta), Header(dataset)
        notes = () if ended else (UNENDED,)
        return cls._checked(meta, header, _syntax(meta), pixels, notes)

    @classmethod
    def _checked(
        cls,
        meta: Header,
        header: Header,
        transfer_syntax: UID,
        pixel_data: PixelBytes | None,
        notes: tuple[QualityNote, ...] = (),
    ) -> DicomImage:
        _refuse_other_objects(meta, header)
        refuse_odd_uids(header)
        if not pixel_data:
            raise NoPixelData(
                found="a data set without Pixel Data", expected="a CT image", remedy="Send the image object itself."
            )
        fmt = PixelFormat.of(header)
        if "NumberOfFrames" in header.remarks.ignored and frames_held(pixel_data, transfer_syntax, fmt) > fmt.frames:
            # Which of them is meant cannot be told.
            raise malformed("NumberOfFrames", "the number of frames in Pixel Data")
        return cls(header, transfer_syntax, fmt, pixel_data, notes)

    @property
    def frames(self) -> int:
        """Number of frames; 1 for a single-frame image."""
        return self.fmt.frames

    @property
    def series_instance_uid(self) -> str | None:
        """The series it belongs to."""
        return self.header.text("SeriesInstanceUID")

    def is_localizer(self, frame: int) -> bool:
        """Whether a 1-based frame is a scout view: by the third value of Image Type (PS3.3 C.8.2.1.1.1), or of Frame
        Type, for a multi-frame image may mix both."""
        return _is_localizer(FrameGroups.of(self.header, frame))

    def release(self, frame: int) -> None:
        """Give back the memory of uncompressed frames up to this one, 1-based, where the file is held in blocks."""
        if not self.transfer_syntax.is_encapsulated:
            self.pixel_data.release(frame * self.fmt.shape.nbytes)

    def read(self, frame: int, options: ReadOptions, decoder: Decoder = IN_PROCESS) -> CTSlice:
        """One frame, 1-based.

        HU = stored value x Rescale Slope + Rescale Intercept (PS3.3 C.11.1); padding (C.7.5.1.1.2) becomes AIR_HU.
        MONOCHROME1 changes nothing: it says how values are displayed, after the modality transform (C.7.6.3.1.2).
        """
        header, fmt = self.header, self.fmt
        groups = FrameGroups.of(header, frame)
        _refuse_localizers(groups)
        spacing_mm, spacing_notes = _spacing(groups, options)
        check_field(fmt.shape.rows, fmt.shape.columns, spacing_mm)
        orientation = _orientation(groups)
        values = stored_values(self.pixel_data, self.transfer_syntax, fmt, frame, decoder)
        hu, hu_notes = _hounsfield(header, groups, fmt, values)
        thickness_mm, several = _thickness(groups), fmt.frames > 1
        facts = scan_facts(header, groups, thickness_mm)
        return CTSlice(
            hu=hu,
            spacing_mm=spacing_mm,
            source=slice_source(header, fmt.shape.rows, fmt.shape.columns, frame if several else None, facts),
            orientation=orientation,
            position_mm=_position(groups),
            thickness_mm=thickness_mm,
            notes=(
                *spacing_notes,
                *_orientation_notes(orientation),
                *frame_of_reference_notes(header),
                *hu_notes,
                *_ignored(options),
                *header.remarks.notes(),
                *self.notes,
            ),
        )


def _syntax(meta: Header) -> UID:
    return UID(meta.text("TransferSyntaxUID") or "")


def _thickness(groups: FrameGroups) -> float | None:
    place = next(groups.holding("SliceThickness"), None)
    thickness = None if place is None else place.number_if_usable("SliceThickness")
    if place is None or thickness is None or thickness > 0:
        return thickness
    place.remarks.ignored.add("SliceThickness")
    return None


def _refuse_other_objects(meta: Header, header: Header) -> None:
    sop_class = UID(header.text("SOPClassUID") or meta.text("MediaStorageSOPClassUID") or "")
    remedy = "Send CT Image Storage or Enhanced CT Image Storage."
    if sop_class not in CT_SOP_CLASSES:
        found = sop_class.name if sop_class.type == "SOP Class" else "no known SOP class"
        raise WrongSopClass(found=found, expected="a CT image", remedy=remedy)
    if header.text("Modality") != "CT":
        raise WrongModality(found="a Modality other than CT", expected="CT", remedy=remedy)


def _is_localizer(groups: FrameGroups) -> bool:
    kinds = [group.texts(keyword)[2:3] for keyword in ("FrameType", "ImageType") for group in groups.holding(keyword)]
    return (LOCALIZER,) in kinds


def _refuse_localizers(groups: FrameGroups) -> None:
    if _is_localizer(groups):
        raise LocalizerImage(
            found="a localizer", expected="an axial slice", remedy="Leave scout views out of what is sent."
        )


def _chosen_frame(frames: int, asked: int | None) -> int:
    if asked is None and frames > 1:
        raise FrameRequired(
            found=f"{frames} frames and no `frame`",
            expected=f"`frame` from 1 to {frames}",
            remedy="Say which frame to judge: frame=1 is the first.",
        )
    if asked is not None and not 1 <= asked <= frames:
        raise FrameOutOfRange(
            found=f"frame {asked} of {frames}", expected=f"1 to {frames}", remedy="Frames count from 1."
        )
    return asked or 1


def _spacing(groups: FrameGroups, options: ReadOptions) -> tuple[tuple[float, float], tuple[QualityNote, ...]]:
    spacing = groups.numbers("PixelSpacing", 2)
    if spacing is not None:
        row_mm, column_mm = spacing
        if not all(MIN_SPACING_MM <= s <= MAX_SPACING_MM for s in spacing):
            raise malformed("PixelSpacing", f"{MIN_SPACING_MM} to {MAX_SPACING_MM} mm")
        if options.pixel_spacing_mm is None:
            return (row_mm, column_mm), ()
        note = QualityNote("spacing_ignored", "warning", "The image states its own pixel spacing; yours was not used.")
        return (row_mm, column_mm), (note,)
    if options.pixel_spacing_mm is not None:
        note = QualityNote("spacing_stated", "info", "The image states no pixel spacing; the caller's was used.")
        return options.pixel_spacing_mm, (note,)
    raise NoPixelSpacing(
        found="a DICOM image without Pixel Spacing",
        expected="Pixel Spacing, or `pixel_spacing_mm` with the request",
        remedy="State pixel_spacing_mm=row,column in millimetres if you know it.",
    )


def _orientation(groups: FrameGroups) -> Orientation | None:
    cosines = groups.numbers("ImageOrientationPatient", 6)
    if cosines is None:
        return None
    rx, ry, rz, cx, cy, cz = cosines
    try:
        return Orientation((rx, ry, rz), (cx, cy, cz))
    except ValueError:
        raise malformed("ImageOrientationPatient", "two perpendicular unit vectors") from None


def _orientation_notes(orientation: Orientation | None) -> tuple[QualityNote, ...]:
    if orientation is not None:
        return ()
    message = "The image does not state its orientation; it was taken as axial."
    return (QualityNote("orientation_assumed", "warning", message),)


def _position(groups: FrameGroups) -> PointMm | None:
    position = groups.numbers("ImagePositionPatient", 3)
    if position is None:
        return None
    x, y, z = position
    return (x, y, z)


def _hounsfield(
    header: Header, groups: FrameGroups, fmt: PixelFormat, values: StoredValues
) -> tuple[NDArray[np.float32], tuple[QualityNote, ...]]:
    padding = _padding(header, fmt, values)
    if "ModalityLUTSequence" in header:
        hu = _by_lookup_table(header, values)
        notes: tuple[QualityNote, ...] = ()
    else:
        slope, intercept, notes = rescale(groups)
        hu = values.astype(np.float32)
        if slope != 1:
            hu *= np.float32(slope)
        hu += np.float32(intercept)
    if padding is not None:
        np.copyto(hu, np.float32(AIR_HU), where=padding)
    return hu, notes


def _by_lookup_table(header: Header, values: StoredValues) -> NDArray[np.float32]:
    table, dataset = header.item("ModalityLUTSequence"), header.dataset
    if table is None or table.text("ModalityLUTType") != "HU" or not isinstance(dataset, Dataset):
        raise NotHounsfield(found="a modality table to another unit", expected="HU", remedy="Send the original CT.")
    try:
        return apply_modality_lut(values.astype(np.int32), dataset).astype(np.float32)
    # pydicom raises whatever it meets in a damaged table.
    except Exception:
        raise malformed("ModalityLUTSequence", "a complete table (PS3.3 C.11.1.1)") from None


def _padding(header: Header, fmt: PixelFormat, values: StoredValues) -> NDArray[np.bool_] | None:
    """Which pixels are padding. The attribute's VR follows Pixel Representation and is often written with the
    other sign, so both ends pass through the same bits as the pixels."""
    value = header.number_if_usable("PixelPaddingValue")
    if value is None:
        return None
    limit = header.number_if_usable("PixelPaddingRangeLimit")
    limit = value if limit is None else limit
    for keyword, end in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
        if not (end.is_integer() and -0x8000 <= end <= 0xFFFF):
            header.remarks.ignored.add(keyword)
            return None
    ends = np.array([value, limit], np.int32)
    low, high = sorted(fmt.signed_values(ends).tolist())
    inside = values == low if low == high else (values >= low) & (values <= high)
    return inside if inside.any() else None


def _ignored(options: ReadOptions) -> tuple[QualityNote, ...]:
    if options.window is None:
        return ()
    return (QualityNote("window_ignored", "warning", "DICOM states its own scale; `window` was not used."),)
