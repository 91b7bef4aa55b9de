"""Every error Lungscope raises on purpose, in one tree.

An error says what was found, what was expected and what to do about it, and never carries patient data.
It knows nothing of HTTP: `app.api.problems` holds the one table from these classes to status and code.
"""

from __future__ import annotations

from app.errors.audit import AuditFull as AuditFull
from app.errors.audit import AuditUnavailable as AuditUnavailable
from app.errors.base import LungscopeError as LungscopeError
from app.errors.base import Unavailable as Unavailable
from app.errors.callers import Forbidden as Forbidden
from app.errors.callers import NotAuthorised as NotAuthorised
from app.errors.callers import TooManyRequests as TooManyRequests
from app.errors.connections import BadHost as BadHost
from app.errors.connections import HeadTooLarge as HeadTooLarge
from app.errors.connections import MalformedRequest as MalformedRequest
from app.errors.connections import RequestTooSlow as RequestTooSlow
from app.errors.connections import TooManyConnections as TooManyConnections
from app.errors.connections import TooManyOfAddress as TooManyOfAddress
from app.errors.connections import UnknownExpectation as UnknownExpectation
from app.errors.connections import UnknownHost as UnknownHost
from app.errors.connections import UnknownMethod as UnknownMethod
from app.errors.connections import UnsupportedVersion as UnsupportedVersion
from app.errors.connections import UrlTooLong as UrlTooLong
from app.errors.feedback import FeedbackOff as FeedbackOff
from app.errors.feedback import UnknownJudgement as UnknownJudgement
from app.errors.jobs import JobNotCancellable as JobNotCancellable
from app.errors.jobs import JobsOff as JobsOff
from app.errors.jobs import PullOff as PullOff
from app.errors.jobs import UnknownJob as UnknownJob
from app.errors.rules import LeftOutByRules as LeftOutByRules
from app.errors.rules import OtherReconstruction as OtherReconstruction
from app.errors.versions import UnfitVersion as UnfitVersion
from app.errors.versions import VersionInUse as VersionInUse
from app.errors.versions import VersionsFixed as VersionsFixed


class InputError(LungscopeError):
    """What was sent cannot be used; sending the same again cannot succeed."""


class MalformedInput(InputError):
    """The bytes or parameters do not follow their own format."""


class EmptyInput(MalformedInput, code="empty_body"):
    """No bytes were sent."""


class MalformedDicom(MalformedInput, code="malformed_dicom"):
    """The file is meant to be DICOM and cannot be read as such."""


class MalformedPicture(MalformedInput, code="malformed_picture"):
    """The file is meant to be PNG, JPEG or TIFF and cannot be decoded."""


class MalformedForm(MalformedInput, code="malformed_form"):
    """The multipart body does not follow its own syntax."""


class FileMissing(MalformedInput, code="one_file_expected"):
    """The multipart body has no file part, or more than one."""


class InvalidParameter(MalformedInput, code="invalid_parameter"):
    """A parameter's text does not follow its syntax or lies outside its range."""


class MalformedContentCoding(MalformedInput, code="malformed_content_coding"):
    """The body cannot be expanded as its sender says that it was compressed."""


class MalformedArchive(MalformedInput, code="malformed_archive"):
    """The file is meant to be a zip archive and is damaged."""


class UnsupportedInput(InputError):
    """The format as such is not read here."""


class UnsupportedMediaType(UnsupportedInput, code="unsupported_media_type"):
    """The bytes are neither DICOM nor PNG, JPEG or TIFF."""


class UnsupportedTransferSyntax(UnsupportedInput, code="unsupported_transfer_syntax"):
    """DICOM in a transfer syntax for which no kept decoder exists."""


class UnsupportedContentCoding(UnsupportedInput, code="unsupported_content_coding"):
    """The body was compressed in a way that is not undone here."""


class UnsupportedArchive(UnsupportedInput, code="unsupported_archive"):
    """A zip archive that is encrypted, holds another one, or is compressed by a method that is not read."""


class UnusableTensors(InputError):
    """What was sent as numbers for a network does not fit it."""


class MalformedJson(UnusableTensors, code="malformed_json"):
    """A body that is no JSON, or no request for inference."""


class InvalidTensor(UnusableTensors, code="invalid_tensor"):
    """A tensor of another name, type or shape than the network takes or gives, or whose data do not fill it."""


class BatchTooLarge(UnusableTensors, code="batch_too_large"):
    """More inputs in one request than a network is given at once."""


class UnreadableText(InputError):
    """What was sent as a report's text cannot be read as text."""


class MalformedText(UnreadableText, code="malformed_text"):
    """Bytes that are not UTF-8, control characters, or JSON that is no report."""


class UnsupportedCharset(UnreadableText, code="unsupported_charset"):
    """Text in another character set than UTF-8."""


class InputTooLarge(InputError, code="input_too_large"):
    """More bytes than the service accepts."""


class FormTooLarge(InputError, code="form_too_large"):
    """A multipart body of too many parts, or with a part that is too long for what it is."""


class ArchiveTooLarge(InputError, code="archive_too_large"):
    """A zip archive of too many files, or one that inflates to too much."""


class SeriesTooLarge(InputError, code="series_too_large"):
    """More files, slices or pixels than one series may have."""


class UploadTooSlow(InputError, code="upload_too_slow"):
    """The body stopped coming, or comes too slowly."""


class UnfitInput(InputError):
    """Well-formed input from which no slice in HU can be made, or to which the request does not fit."""


class DicomTooComplex(UnfitInput, code="dicom_too_complex"):
    """A DICOM file of more elements, items or fragments than are read."""


class WrongSopClass(UnfitInput, code="wrong_sop_class"):
    """A DICOM object that is not a CT image."""


class WrongModality(UnfitInput, code="wrong_modality"):
    """A DICOM object whose Modality is not CT."""


class InvalidUid(UnfitInput, code="invalid_uid"):
    """A Study, Series or SOP Instance UID that is none: results could not refer to their source by it."""


class LocalizerImage(UnfitInput, code="localizer"):
    """A scout view: a projection, not a slice."""


class NoPixelData(UnfitInput, code="no_pixel_data"):
    """A DICOM object without pixels."""


class NotHounsfield(UnfitInput, code="not_hounsfield"):
    """Stored values that cannot be turned into Hounsfield units."""


class NoPixelSpacing(UnfitInput, code="no_pixel_spacing"):
    """A DICOM image that does not state its pixel spacing."""


class UnsupportedPixelFormat(UnfitInput, code="unsupported_pixel_format"):
    """Colour, or a bit depth that does not hold CT."""


class ImageSizeOutOfRange(UnfitInput, code="image_size_out_of_range"):
    """Too many or too few rows or columns; tested before any memory is taken for pixels."""


class Undecodable(UnfitInput, code="undecodable"):
    """Compressed pixels, a picture or an archive whose decoder crashed, hung or took too much memory."""


class FrameRequired(UnfitInput, code="frame_required"):
    """Several frames were sent and none was asked for."""


class FrameOutOfRange(UnfitInput, code="frame_out_of_range"):
    """The frame asked for is not in the file."""


class RoiOutsideImage(UnfitInput, code="roi_outside_image"):
    """The region of interest lies outside the sent image."""


class NoDicomSource(UnfitInput, code="no_dicom_source"):
    """A DICOM result refers to its source by UIDs and header, and this source has none."""


class ResultNotWritten(UnfitInput, code="result_not_written"):
    """What was judged cannot be written in the format that was asked for, by a fault of the writer or of the header."""


class UnfitSeries(UnfitInput):
    """Slices that do not make one volume, although each may be read."""


class NoCtSlices(UnfitSeries, code="no_ct_slices"):
    """Nothing that was sent is a CT slice."""


class TooFewSlices(UnfitSeries, code="too_few_slices"):
    """Fewer slices than a distance between slices can be checked on."""


class MixedSeries(UnfitSeries, code="mixed_series"):
    """Slices of several series."""


class MixedGeometry(UnfitSeries, code="mixed_geometry"):
    """Slices of one series that differ in size, spacing, orientation or frame of reference, or lie askew."""


class NoSlicePosition(UnfitSeries, code="no_slice_position"):
    """A slice that does not state where it lies."""


class ConflictingInstances(UnfitSeries, code="conflicting_instances"):
    """Different slices under one SOP Instance UID."""


class DuplicatePosition(UnfitSeries, code="duplicate_position"):
    """Different slices at one place."""


class MissingSlices(UnfitSeries, code="missing_slices"):
    """A gap between neighbouring slices."""


class IrregularSpacing(UnfitSeries, code="irregular_spacing"):
    """Distances between slices that vary."""


class SpacingTooLarge(UnfitSeries, code="spacing_too_large"):
    """Slices too far apart to follow a nodule through them."""


class GantryTilt(UnfitSeries, code="gantry_tilt"):
    """Slices stacked along another direction than their normal."""


class NotAxial(UnfitSeries, code="not_axial"):
    """Slices that are not cut across the patient's long axis."""


class UnfitPair(InputError):
    """What is no two series to be compared, although each file may be read."""


class SeriesMissing(UnfitPair, code="two_series_expected"):
    """A form without files in one of the two parts for series, or with files in another."""


class DifferentPatients(UnfitPair, code="different_patients"):
    """Two series to be compared whose headers contradict each other about the patient."""


class PriorAfterCurrent(UnfitPair, code="prior_after_current"):
    """A prior series that is later than the current one."""


class UnknownModel(LungscopeError, code="unknown_model"):
    """No model of that name is loaded."""


class UnknownVersion(LungscopeError, code="unknown_version"):
    """No such version or label of a model is loaded."""


class UnknownResult(LungscopeError, code="unknown_result"):
    """No result of that study, series or instance is here, or none any more."""


class NotAcceptable(LungscopeError, code="not_acceptable"):
    """The caller accepts no format in which this can be answered."""


class DicomwebOff(LungscopeError, code="dicomweb_off"):
    """The operator has not named a folder for what comes in by DICOMweb."""


class SecondOpinionOff(LungscopeError, code="second_opinion_off"):
    """The operator has no bundle that gives second opinions, or it cannot be used."""


class ModelLoading(Unavailable, code="model_loading"):
    """The model is still being loaded and warmed."""


class Overloaded(Unavailable, code="overloaded"):
    """The bounded queue is full."""


class DecoderUnavailable(Unavailable, code="decoder_unavailable"):
    """No process to decode in can be started now."""


class IdentityUnavailable(Unavailable, code="identity_unavailable"):
    """Tokens cannot be checked now, as the identity provider does not give its keys."""


class SpoolFull(Unavailable, code="spool_full"):
    """No room for more series before some are judged."""


class StorageFull(Unavailable, code="storage_full"):
    """No room on the disk that holds spool and results."""


class StorageUnavailable(Unavailable, code="storage_unavailable"):
    """The disk that holds spool and results cannot be written or read now."""


class StartupError(LungscopeError):
    """The service must not start."""


class BundleError(StartupError):
    """A model bundle that does not match its digests or its contract."""


class SettingsError(StartupError):
    """A setting that is missing, malformed or unsafe."""


class NoSharedRoom(StartupError):
    """Too little room for what the workers share. It may be made while others work."""
