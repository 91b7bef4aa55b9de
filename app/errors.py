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


class UnsupportedInput(InputError):
    """The format as such is not read here."""


class UnsupportedMediaType(UnsupportedInput):
    """The bytes are neither DICOM nor PNG, JPEG or TIFF."""


class UnsupportedTransferSyntax(UnsupportedInput):
    """DICOM in a transfer syntax for which no kept decoder exists."""


class InputTooLarge(InputError):
    """More bytes than the service accepts."""


class UnfitInput(InputError):
    """Well-formed input from which no slice in HU can be made, or to which the request does not fit."""


class WrongSopClass(UnfitInput):
    """A DICOM object that is not a CT image."""


class WrongModality(UnfitInput):
    """A DICOM object whose Modality is not CT."""


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


class NotAuthorised(LungscopeError):
    """The caller did not show a token that this service knows."""


class UnknownModel(LungscopeError):
    """No model of that name is loaded."""


class Unavailable(LungscopeError):
    """The service cannot answer now; the same request may succeed later."""


class ModelLoading(Unavailable):
    """The model is still being loaded and warmed."""


class Overloaded(Unavailable):
    """The bounded queue is full."""


class StartupError(LungscopeError):
    """The service must not start."""


class BundleError(StartupError):
    """A model bundle that does not match its digests or its contract."""


class SettingsError(StartupError):
    """A setting that is missing, malformed or unsafe."""
