"""Every error Lungscope raises on purpose, in one tree.

An error says what was found, what was expected and what to do about it, and never carries patient data.
It knows nothing of HTTP: `app.api.problems` holds the one table from these classes to status and code.
"""

from __future__ import annotations

from typing import ClassVar


class LungscopeError(Exception):
    """An error raised on purpose: what was `found`, what was `expected`, and the `remedy`.

    `code` is the stable name by which clients know an error that can reach them.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, *, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"Found {found}; expected {expected}. {remedy}")
        self.found = found
        self.expected = expected
        self.remedy = remedy


class InputError(LungscopeError):
    """What was sent cannot be used; sending the same again cannot succeed."""


class MalformedInput(InputError):
    """The bytes or parameters do not follow their own format."""


class EmptyInput(MalformedInput):
    """No bytes were sent."""

    code = "empty_body"


class MalformedDicom(MalformedInput):
    """The file is meant to be DICOM and cannot be read as such."""

    code = "malformed_dicom"


class MalformedPicture(MalformedInput):
    """The file is meant to be PNG, JPEG or TIFF and cannot be decoded."""

    code = "malformed_picture"


class MalformedForm(MalformedInput):
    """The multipart body does not follow its own syntax."""

    code = "malformed_form"


class FileMissing(MalformedInput):
    """The multipart body has no file part, or more than one."""

    code = "one_file_expected"


class InvalidParameter(MalformedInput):
    """A parameter's text does not follow its syntax or lies outside its range."""

    code = "invalid_parameter"


class MalformedContentCoding(MalformedInput):
    """The body cannot be expanded as its sender says that it was compressed."""

    code = "malformed_content_coding"


class MalformedArchive(MalformedInput):
    """The file is meant to be a zip archive and is damaged."""

    code = "malformed_archive"


class UnsupportedInput(InputError):
    """The format as such is not read here."""


class UnsupportedMediaType(UnsupportedInput):
    """The bytes are neither DICOM nor PNG, JPEG or TIFF."""

    code = "unsupported_media_type"


class UnsupportedTransferSyntax(UnsupportedInput):
    """DICOM in a transfer syntax for which no kept decoder exists."""

    code = "unsupported_transfer_syntax"


class UnsupportedContentCoding(UnsupportedInput):
    """The body was compressed in a way that is not undone here."""

    code = "unsupported_content_coding"


class UnsupportedArchive(UnsupportedInput):
    """A zip archive that is encrypted, holds another one, or is compressed by a method that is not read."""

    code = "unsupported_archive"


class InputTooLarge(InputError):
    """More bytes than the service accepts."""

    code = "input_too_large"


class ArchiveTooLarge(InputError):
    """A zip archive of too many files, or one that inflates to too much."""

    code = "archive_too_large"


class SeriesTooLarge(InputError):
    """More files, slices or pixels than one series may have."""

    code = "series_too_large"


class UploadTooSlow(InputError):
    """The body stopped coming, or comes too slowly."""

    code = "upload_too_slow"


class UnfitInput(InputError):
    """Well-formed input from which no slice in HU can be made, or to which the request does not fit."""


class WrongSopClass(UnfitInput):
    """A DICOM object that is not a CT image."""

    code = "wrong_sop_class"


class WrongModality(UnfitInput):
    """A DICOM object whose Modality is not CT."""

    code = "wrong_modality"


class InvalidUid(UnfitInput):
    """A Study, Series or SOP Instance UID that is none: results could not refer to their source by it."""

    code = "invalid_uid"


class LocalizerImage(UnfitInput):
    """A scout view: a projection, not a slice."""

    code = "localizer"


class NoPixelData(UnfitInput):
    """A DICOM object without pixels."""

    code = "no_pixel_data"


class NotHounsfield(UnfitInput):
    """Stored values that cannot be turned into Hounsfield units."""

    code = "not_hounsfield"


class NoPixelSpacing(UnfitInput):
    """A DICOM image that does not state its pixel spacing."""

    code = "no_pixel_spacing"


class UnsupportedPixelFormat(UnfitInput):
    """Colour, or a bit depth that does not hold CT."""

    code = "unsupported_pixel_format"


class ImageSizeOutOfRange(UnfitInput):
    """Too many or too few rows or columns; tested before any memory is taken for pixels."""

    code = "image_size_out_of_range"


class FrameRequired(UnfitInput):
    """Several frames were sent and none was asked for."""

    code = "frame_required"


class FrameOutOfRange(UnfitInput):
    """The frame asked for is not in the file."""

    code = "frame_out_of_range"


class RoiOutsideImage(UnfitInput):
    """The region of interest lies outside the sent image."""

    code = "roi_outside_image"


class NoDicomSource(UnfitInput):
    """A DICOM result refers to its source by UIDs and header, and this source has none."""

    code = "no_dicom_source"


class ResultNotWritten(UnfitInput):
    """What was judged cannot be written in the format that was asked for, by a fault of the writer or of the header."""

    code = "result_not_written"


class UnfitSeries(UnfitInput):
    """Slices that do not make one volume, although each may be read."""


class NoCtSlices(UnfitSeries):
    """Nothing that was sent is a CT slice."""

    code = "no_ct_slices"


class TooFewSlices(UnfitSeries):
    """Fewer slices than a distance between slices can be checked on."""

    code = "too_few_slices"


class MixedSeries(UnfitSeries):
    """Slices of several series."""

    code = "mixed_series"


class MixedGeometry(UnfitSeries):
    """Slices of one series that differ in size, spacing, orientation or frame of reference, or lie askew."""

    code = "mixed_geometry"


class NoSlicePosition(UnfitSeries):
    """A slice that does not state where it lies."""

    code = "no_slice_position"


class ConflictingInstances(UnfitSeries):
    """Different slices under one SOP Instance UID."""

    code = "conflicting_instances"


class DuplicatePosition(UnfitSeries):
    """Different slices at one place."""

    code = "duplicate_position"


class MissingSlices(UnfitSeries):
    """A gap between neighbouring slices."""

    code = "missing_slices"


class IrregularSpacing(UnfitSeries):
    """Distances between slices that vary."""

    code = "irregular_spacing"


class SpacingTooLarge(UnfitSeries):
    """Slices too far apart to follow a nodule through them."""

    code = "spacing_too_large"


class GantryTilt(UnfitSeries):
    """Slices stacked along another direction than their normal."""

    code = "gantry_tilt"


class NotAxial(UnfitSeries):
    """Slices that are not cut across the patient's long axis."""

    code = "not_axial"


class NotAuthorised(LungscopeError):
    """The caller did not show a token that this service knows."""

    code = "not_authorised"


class UnknownModel(LungscopeError):
    """No model of that name is loaded."""

    code = "unknown_model"


class UnknownResult(LungscopeError):
    """No result of that study, series or instance is here, or none any more."""

    code = "unknown_result"


class MalformedRequest(LungscopeError):
    """What came over the connection is no request, or it does not say where its body ends."""

    code = "malformed_request"


class BadHost(LungscopeError):
    """The request does not name the one host that it is for."""

    code = "bad_host"


class UnknownExpectation(LungscopeError):
    """The request depends on something that is not known here."""

    code = "unknown_expectation"


class UnknownMethod(LungscopeError):
    """The request asks for something to be done that is not done for anything here."""

    code = "unknown_method"


class UnsupportedVersion(LungscopeError):
    """The request is in a version of its protocol that is not spoken here."""

    code = "unsupported_http_version"


class NotAcceptable(LungscopeError):
    """The caller accepts no format in which this can be answered."""

    code = "not_acceptable"


class DicomwebOff(LungscopeError):
    """The operator has not named a folder for what comes in by DICOMweb."""

    code = "dicomweb_off"


class Unavailable(LungscopeError):
    """The service cannot answer now; the same request may succeed later."""


class ModelLoading(Unavailable):
    """The model is still being loaded and warmed."""

    code = "model_loading"


class Overloaded(Unavailable):
    """The bounded queue is full."""

    code = "overloaded"


class SpoolFull(Unavailable):
    """No room for more series before some are judged."""

    code = "spool_full"


class StorageFull(Unavailable):
    """No room on the disk that holds spool and results."""

    code = "storage_full"


class StorageUnavailable(Unavailable):
    """The disk that holds spool and results cannot be written or read now."""

    code = "storage_unavailable"


class StartupError(LungscopeError):
    """The service must not start."""


class BundleError(StartupError):
    """A model bundle that does not match its digests or its contract."""


class SettingsError(StartupError):
    """A setting that is missing, malformed or unsafe."""


class NoSharedRoom(StartupError):
    """Too little room for what the workers share. It may be made while others work."""
