"""Every error Lungscope raises on purpose, in one tree.

An error says what was found, what was expected and what to do about it, and never carries patient data.
It knows nothing of HTTP: `app.api.problems` holds the one table from these classes to status and code.
"""

from __future__ import annotations


class LungscopeError(Exception):
    """An error raised on purpose: what was `found`, what was `expected`, and the `remedy`."""

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


class MalformedDicom(MalformedInput):
    """The file is meant to be DICOM and cannot be read as such."""


class MalformedPicture(MalformedInput):
    """The file is meant to be PNG, JPEG or TIFF and cannot be decoded."""


class MalformedForm(MalformedInput):
    """The multipart body does not follow its own syntax."""


class FileMissing(MalformedInput):
    """The multipart body has no file part, or more than one."""


class InvalidParameter(MalformedInput):
    """A parameter's text does not follow its syntax or lies outside its range."""


class MalformedContentCoding(MalformedInput):
    """The body cannot be expanded as its sender says that it was compressed."""


class MalformedArchive(MalformedInput):
    """The file is meant to be a zip archive and is damaged."""


class UnsupportedInput(InputError):
    """The format as such is not read here."""


class UnsupportedMediaType(UnsupportedInput):
    """The bytes are neither DICOM nor PNG, JPEG or TIFF."""


class UnsupportedTransferSyntax(UnsupportedInput):
    """DICOM in a transfer syntax for which no kept decoder exists."""


class UnsupportedContentCoding(UnsupportedInput):
    """The body was compressed in a way that is not undone here."""


class UnsupportedArchive(UnsupportedInput):
    """A zip archive that is encrypted, holds another one, or is compressed by a method that is not read."""


class InputTooLarge(InputError):
    """More bytes than the service accepts."""


class ArchiveTooLarge(InputError):
    """A zip archive of too many files, or one that inflates to too much."""


class SeriesTooLarge(InputError):
    """More files, slices or pixels than one series may have."""


class UploadTooSlow(InputError):
    """The body stopped coming, or comes too slowly."""


class UnfitInput(InputError):
    """Well-formed input from which no slice in HU can be made, or to which the request does not fit."""


class WrongSopClass(UnfitInput):
    """A DICOM object that is not a CT image."""


class WrongModality(UnfitInput):
    """A DICOM object whose Modality is not CT."""


class InvalidUid(UnfitInput):
    """A Study, Series or SOP Instance UID that is none: results could not refer to their source by it."""


class LocalizerImage(UnfitInput):
    """A scout view: a projection, not a slice."""


class NoPixelData(UnfitInput):
    """A DICOM object without pixels."""


class NotHounsfield(UnfitInput):
    """Stored values that cannot be turned into Hounsfield units."""


class NoPixelSpacing(UnfitInput):
    """A DICOM image that does not state its pixel spacing."""


class UnsupportedPixelFormat(UnfitInput):
    """Colour, or a bit depth that does not hold CT."""


class ImageSizeOutOfRange(UnfitInput):
    """Too many or too few rows or columns; tested before any memory is taken for pixels."""


class FrameRequired(UnfitInput):
    """Several frames were sent and none was asked for."""


class FrameOutOfRange(UnfitInput):
    """The frame asked for is not in the file."""


class RoiOutsideImage(UnfitInput):
    """The region of interest lies outside the sent image."""


class NoDicomSource(UnfitInput):
    """A DICOM result refers to its source by UIDs and header, and this source has none."""


class ResultNotWritten(UnfitInput):
    """What was judged cannot be written in the format that was asked for, by a fault of the writer or of the header."""


class UnfitSeries(UnfitInput):
    """Slices that do not make one volume, although each may be read."""


class NoCtSlices(UnfitSeries):
    """Nothing that was sent is a CT slice."""


class TooFewSlices(UnfitSeries):
    """Fewer slices than a distance between slices can be checked on."""


class MixedSeries(UnfitSeries):
    """Slices of several series."""


class MixedGeometry(UnfitSeries):
    """Slices of one series that differ in size, spacing, orientation or frame of reference, or lie askew."""


class NoSlicePosition(UnfitSeries):
    """A slice that does not state where it lies."""


class ConflictingInstances(UnfitSeries):
    """Different slices under one SOP Instance UID."""


class DuplicatePosition(UnfitSeries):
    """Different slices at one place."""


class MissingSlices(UnfitSeries):
    """A gap between neighbouring slices."""


class IrregularSpacing(UnfitSeries):
    """Distances between slices that vary."""


class SpacingTooLarge(UnfitSeries):
    """Slices too far apart to follow a nodule through them."""


class GantryTilt(UnfitSeries):
    """Slices stacked along another direction than their normal."""


class NotAxial(UnfitSeries):
    """Slices that are not cut across the patient's long axis."""


class NotAuthorised(LungscopeError):
    """The caller did not show a token that this service knows."""


class UnknownModel(LungscopeError):
    """No model of that name is loaded."""


class UnknownResult(LungscopeError):
    """No result of that study, series or instance is here, or none any more."""


class MalformedRequest(LungscopeError):
    """What came over the connection is no request, or it does not say where its body ends."""


class BadHost(LungscopeError):
    """The request does not name the one host that it is for."""


class UnknownExpectation(LungscopeError):
    """The request depends on something that is not known here."""


class UnknownMethod(LungscopeError):
    """The request asks for something to be done that is not done for anything here."""


class UnsupportedVersion(LungscopeError):
    """The request is in a version of its protocol that is not spoken here."""


class NotAcceptable(LungscopeError):
    """The caller accepts no format in which this can be answered."""


class DicomwebOff(LungscopeError):
    """The operator has not named a folder for what comes in by DICOMweb."""


class Unavailable(LungscopeError):
    """The service cannot answer now; the same request may succeed later."""


class ModelLoading(Unavailable):
    """The model is still being loaded and warmed."""


class Overloaded(Unavailable):
    """The bounded queue is full."""


class SpoolFull(Unavailable):
    """No room for more series before some are judged."""


class StorageFull(Unavailable):
    """No room on the disk that holds spool and results."""


class StorageUnavailable(Unavailable):
    """The disk that holds spool and results cannot be written or read now."""


class StartupError(LungscopeError):
    """The service must not start."""


class BundleError(StartupError):
    """A model bundle that does not match its digests or its contract."""


class SettingsError(StartupError):
    """A setting that is missing, malformed or unsafe."""


class NoSharedRoom(StartupError):
    """Too little room for what the workers share. It may be made while others work."""
