"""The one table from errors to HTTP status and stable code, and the RFC 9457 answers written from it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app import errors, telemetry
from app.api.routing import allowed_methods
from app.errors import workitems

MEDIA_TYPE: Final = "application/problem+json"
READ_CODINGS: Final = "gzip, deflate"  # of a request's body
RETRY_AFTER_S: Final = {
    HTTPStatus.TOO_MANY_REQUESTS: 2,
    HTTPStatus.SERVICE_UNAVAILABLE: 2,  # a queue of the default length drains in less
    HTTPStatus.INSUFFICIENT_STORAGE: 60,  # somebody has to make room
}
CHALLENGES: Final = {  # RFC 6750 3
    HTTPStatus.UNAUTHORIZED: "Bearer",
    HTTPStatus.FORBIDDEN: 'Bearer error="insufficient_scope"',
}
WARNING: Final = "299 lungscope"  # the code and who warns (PS3.18 8.4, RFC 7234 5.5)
UNKNOWN_TOKEN: Final = 'Bearer error="invalid_token"'
Handler = Callable[[Request, Exception], Awaitable[Response]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """The status, code and title of a kind of error."""

    status: HTTPStatus
    code: str
    title: str


_STATUS_AND_TITLE: Final[dict[type[errors.LungscopeError], tuple[HTTPStatus, str]]] = {
    errors.EmptyInput: (HTTPStatus.BAD_REQUEST, "Nothing was sent"),
    errors.MalformedDicom: (HTTPStatus.BAD_REQUEST, "Malformed DICOM"),
    errors.MalformedPicture: (HTTPStatus.BAD_REQUEST, "Malformed picture"),
    errors.MalformedForm: (HTTPStatus.BAD_REQUEST, "Malformed multipart body"),
    errors.FileMissing: (HTTPStatus.BAD_REQUEST, "One file expected"),
    errors.SeriesMissing: (HTTPStatus.BAD_REQUEST, "Two series expected"),
    errors.InvalidParameter: (HTTPStatus.BAD_REQUEST, "Invalid parameter"),
    errors.MalformedArchive: (HTTPStatus.BAD_REQUEST, "Malformed archive"),
    errors.MalformedContentCoding: (HTTPStatus.BAD_REQUEST, "Malformed content coding"),
    errors.MalformedText: (HTTPStatus.BAD_REQUEST, "Malformed text"),
    errors.MalformedJson: (HTTPStatus.BAD_REQUEST, "Malformed JSON"),
    errors.InvalidTensor: (HTTPStatus.BAD_REQUEST, "Invalid tensor"),
    errors.BatchTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too many inputs at once"),
    errors.UnsupportedCharset: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported character set"),
    errors.NotAuthorised: (HTTPStatus.UNAUTHORIZED, "Not authorised"),
    errors.Forbidden: (HTTPStatus.FORBIDDEN, "Not allowed"),
    errors.TooManyRequests: (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests of one caller"),
    errors.IdentityUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Tokens cannot be checked"),
    errors.UnknownModel: (HTTPStatus.NOT_FOUND, "Unknown model"),
    errors.UnknownVersion: (HTTPStatus.NOT_FOUND, "Unknown version"),
    errors.UnfitVersion: (HTTPStatus.UNPROCESSABLE_ENTITY, "The version gets no traffic"),
    errors.VersionInUse: (HTTPStatus.CONFLICT, "The version judges"),
    errors.VersionsFixed: (HTTPStatus.NOT_IMPLEMENTED, "Versions are not moved here"),
    errors.UploadTooSlow: (HTTPStatus.REQUEST_TIMEOUT, "The upload is too slow"),
    errors.InputTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too much was sent"),
    errors.FormTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The multipart body holds too much"),
    errors.ArchiveTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The archive holds too much"),
    errors.SeriesTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The series is too large"),
    errors.UnsupportedMediaType: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type"),
    errors.UnsupportedTransferSyntax: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported transfer syntax"),
    errors.UnsupportedArchive: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported archive"),
    errors.UnsupportedContentCoding: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported content coding"),
    errors.DicomTooComplex: (HTTPStatus.UNPROCESSABLE_ENTITY, "The DICOM file is too complex"),
    errors.WrongSopClass: (HTTPStatus.UNPROCESSABLE_ENTITY, "Not a CT image"),
    errors.WrongModality: (HTTPStatus.UNPROCESSABLE_ENTITY, "Not CT"),
    errors.InvalidUid: (HTTPStatus.UNPROCESSABLE_ENTITY, "Not a UID"),
    errors.LocalizerImage: (HTTPStatus.UNPROCESSABLE_ENTITY, "A localizer, not a slice"),
    errors.NoPixelData: (HTTPStatus.UNPROCESSABLE_ENTITY, "No pixel data"),
    errors.NotHounsfield: (HTTPStatus.UNPROCESSABLE_ENTITY, "Not in Hounsfield units"),
    errors.NoPixelSpacing: (HTTPStatus.UNPROCESSABLE_ENTITY, "No pixel spacing"),
    errors.UnsupportedPixelFormat: (HTTPStatus.UNPROCESSABLE_ENTITY, "Unsupported pixel format"),
    errors.ImageSizeOutOfRange: (HTTPStatus.UNPROCESSABLE_ENTITY, "Image size out of range"),
    errors.Undecodable: (HTTPStatus.UNPROCESSABLE_ENTITY, "It cannot be decoded"),
    errors.FrameRequired: (HTTPStatus.UNPROCESSABLE_ENTITY, "Frame required"),
    errors.FrameOutOfRange: (HTTPStatus.UNPROCESSABLE_ENTITY, "No such frame"),
    errors.RoiOutsideImage: (HTTPStatus.UNPROCESSABLE_ENTITY, "Roi outside the image"),
    errors.NoDicomSource: (HTTPStatus.NOT_ACCEPTABLE, "No DICOM source to refer to"),
    errors.ResultNotWritten: (HTTPStatus.UNPROCESSABLE_ENTITY, "The result cannot be written in this format"),
    errors.NoCtSlices: (HTTPStatus.UNPROCESSABLE_ENTITY, "No CT slices"),
    errors.TooFewSlices: (HTTPStatus.UNPROCESSABLE_ENTITY, "Too few slices"),
    errors.MixedSeries: (HTTPStatus.UNPROCESSABLE_ENTITY, "Several series"),
    errors.MixedGeometry: (HTTPStatus.UNPROCESSABLE_ENTITY, "Slices that do not match"),
    errors.NoSlicePosition: (HTTPStatus.UNPROCESSABLE_ENTITY, "No slice position"),
    errors.ConflictingInstances: (HTTPStatus.UNPROCESSABLE_ENTITY, "Different slices under one UID"),
    errors.DuplicatePosition: (HTTPStatus.UNPROCESSABLE_ENTITY, "Different slices at one place"),
    errors.MissingSlices: (HTTPStatus.UNPROCESSABLE_ENTITY, "Missing slices"),
    errors.IrregularSpacing: (HTTPStatus.UNPROCESSABLE_ENTITY, "Irregular slice spacing"),
    errors.SpacingTooLarge: (HTTPStatus.UNPROCESSABLE_ENTITY, "Slices too far apart"),
    errors.GantryTilt: (HTTPStatus.UNPROCESSABLE_ENTITY, "Gantry tilt"),
    errors.NotAxial: (HTTPStatus.UNPROCESSABLE_ENTITY, "Not axial"),
    errors.DifferentPatients: (HTTPStatus.UNPROCESSABLE_ENTITY, "Two patients"),
    errors.PriorAfterCurrent: (HTTPStatus.UNPROCESSABLE_ENTITY, "The prior is the later one"),
    errors.ModelLoading: (HTTPStatus.SERVICE_UNAVAILABLE, "The model is not ready"),
    errors.UnknownResult: (HTTPStatus.NOT_FOUND, "No such result"),
    errors.UnknownJob: (HTTPStatus.NOT_FOUND, "No such job"),
    errors.JobNotCancellable: (HTTPStatus.CONFLICT, "The job cannot be cancelled"),
    workitems.InvalidWorkitem: (HTTPStatus.BAD_REQUEST, "Not a usable workitem"),
    workitems.TransactionUidRefused: (HTTPStatus.BAD_REQUEST, "Not the owner of the workitem"),
    workitems.WorkitemEnded: (HTTPStatus.BAD_REQUEST, "The workitem has ended"),
    workitems.UnknownWorkitem: (HTTPStatus.NOT_FOUND, "No such workitem"),
    workitems.WorkitemExists: (HTTPStatus.CONFLICT, "There is such a workitem"),
    workitems.WorkitemConflict: (HTTPStatus.CONFLICT, "Not in this state of the workitem"),
    workitems.WorkitemGone: (HTTPStatus.GONE, "The workitem has been deleted"),
    workitems.NoSubscriptions: (HTTPStatus.NOT_IMPLEMENTED, "Nobody is notified"),
    errors.UnknownJudgement: (HTTPStatus.NOT_FOUND, "Nothing was judged under that id"),
    errors.FeedbackOff: (HTTPStatus.NOT_IMPLEMENTED, "Verdicts are not taken here"),
    errors.NotAcceptable: (HTTPStatus.NOT_ACCEPTABLE, "No acceptable format"),
    errors.DicomwebOff: (HTTPStatus.NOT_IMPLEMENTED, "DICOMweb is not set up"),
    errors.JobsOff: (HTTPStatus.NOT_IMPLEMENTED, "Jobs are not set up"),
    errors.PullOff: (HTTPStatus.NOT_IMPLEMENTED, "Nothing is fetched here"),
    errors.DecoderUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "No decoder"),
    errors.SecondOpinionOff: (HTTPStatus.NOT_IMPLEMENTED, "No second opinions here"),
    errors.SpoolFull: (HTTPStatus.SERVICE_UNAVAILABLE, "Too many series waiting"),
    errors.StorageFull: (HTTPStatus.INSUFFICIENT_STORAGE, "No room left on the disk"),
    errors.StorageUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "The disk cannot be used"),
    errors.AuditFull: (HTTPStatus.INSUFFICIENT_STORAGE, "No room left for the audit trail"),
    errors.AuditUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "The audit trail cannot be written"),
    errors.Overloaded: (HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at work"),
    errors.MalformedRequest: (HTTPStatus.BAD_REQUEST, "Malformed request"),
    errors.HeadTooLarge: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large"),
    errors.UrlTooLong: (HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long"),
    errors.RequestTooSlow: (HTTPStatus.REQUEST_TIMEOUT, "The request is too slow"),
    errors.TooManyOfAddress: (HTTPStatus.TOO_MANY_REQUESTS, "Too many connections of one address"),
    errors.TooManyConnections: (HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections"),
    errors.BadHost: (HTTPStatus.BAD_REQUEST, "Bad Host header"),
    errors.UnknownHost: (HTTPStatus.MISDIRECTED_REQUEST, "Not the host of this request"),
    errors.UnknownExpectation: (HTTPStatus.EXPECTATION_FAILED, "Unknown expectation"),
    errors.UnknownMethod: (HTTPStatus.NOT_IMPLEMENTED, "Unknown method"),
    errors.UnsupportedVersion: (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Unsupported version of HTTP"),
}
PROBLEMS: Final = {kind: ProblemType(status, kind.code, title) for kind, (status, title) in _STATUS_AND_TITLE.items()}
INTERNAL: Final = ProblemType(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Internal error")
FAILED: Final = "The service failed; its log has the request id in `instance`."
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's word for it; nobody reads this answer, but logs and metrics show it
HTTP_CODES: Final = {404: "not_found", 405: "method_not_allowed"}
# What operations of one kind alone give, for `responses_for` of the others.
OF_FORMS: Final = (errors.FileMissing, errors.FormTooLarge, errors.MalformedForm, errors.UnfitPair)
OF_ARCHIVES: Final = (
    errors.ArchiveTooLarge,
    errors.MalformedArchive,
    errors.SeriesTooLarge,
    errors.UnsupportedArchive,
)
OF_VERSIONS: Final = (errors.UnfitVersion, errors.VersionInUse, errors.VersionsFixed)
OF_JOBS: Final = (errors.JobNotCancellable, errors.JobsOff, errors.PullOff, errors.UnknownJob)
OF_STORAGE: Final = (errors.SpoolFull, errors.StorageFull, errors.StorageUnavailable, errors.UnknownResult, *OF_JOBS)


class Problem(BaseModel):
    """RFC 9457 problem details, with the stable `code` and what was found, expected and can be done."""

    type: str = Field(examples=["urn:lungscope:problem:roi_outside_image"])
    title: str = Field(examples=["Roi outside the image"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["Found roi 600,600; expected column 0 to 511, row 0 to 511. Give roi as column,row."])
    code: str = Field(examples=["roi_outside_image"])
    instance: str = Field(examples=["urn:uuid:0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11"])
    found: str | None = Field(default=None, examples=["roi 600,600"])
    expected: str | None = Field(default=None, examples=["column 0 to 511, row 0 to 511"])
    remedy: str | None = Field(default=None, examples=["Give roi as column,row in pixels of the sent image."])
    error: str = Field(description="`detail` under the name that clients of other model servers read")


def problem_type(error: errors.LungscopeError) -> ProblemType:
    """Status, code and title of an error; INTERNAL for an error that is not in the table."""
    return PROBLEMS.get(type(error), INTERNAL)


def responses_for(
    *statuses: int,
    without: tuple[type[errors.LungscopeError], ...] = (),
    moving: bool = False,
    worklist: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """OpenAPI declarations of the error answers with these statuses, each with its possible codes.

    `without` are errors that the operation never gives; their subclasses are left out too. `moving` is said of what
    moves versions, `worklist` of what handles workitems.
    """
    without = without if moving else (*without, *OF_VERSIONS)
    without = without if worklist else (*without, workitems.WorkitemError)
    declared: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        given = [kind for error, kind in PROBLEMS.items() if not issubclass(error, without)]
        kinds = [kind for kind in (*given, INTERNAL) if kind.status == status]
        codes = ", ".join(f"`{kind.code}`" for kind in kinds)
        first = kinds[0]
        example = {"type": f"urn:lungscope:problem:{first.code}", "title": first.title, "status": status}
        example |= {"detail": "What was found, what was expected, and what to do.", "code": first.code}
        example |= {"instance": "urn:uuid:0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11", "error": example["detail"]}
        declared[status] = {
            "description": f"{HTTPStatus(status).phrase}: {codes}",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
        }
    return declared


def internal_error(metrics: telemetry.Metrics) -> Response:
    """The answer to an error that was not raised on purpose: a bug."""
    return _respond(metrics, INTERNAL, detail=FAILED)


def response_of(kind: ProblemType, **details: str) -> Response:
    """The response with a problem and its `details`; the caller counts it."""
    headers = {}
    if kind.status in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[kind.status])
    if kind.status in CHALLENGES:
        headers["WWW-Authenticate"] = CHALLENGES[kind.status]
    if kind.status == HTTPStatus.REQUEST_TIMEOUT:
        headers["Connection"] = "close"  # nobody waits for the rest (RFC 9110 15.5.9)
    if kind is PROBLEMS[errors.UnsupportedContentCoding]:
        headers["Accept-Encoding"] = READ_CODINGS
    body = _problem(kind, **details).model_dump_json(exclude_none=True)
    return Response(body, kind.status, headers, media_type=MEDIA_TYPE)


def response_to(error: errors.LungscopeError, metrics: telemetry.Metrics) -> Response:
    """The response to an error that is in the table of problems, counted."""
    response = _respond(metrics, problem_type(error), **details_of(error))
    if isinstance(error, errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, workitems.WorkitemError) and error.warning:
        response.headers["Warning"] = f'{WARNING} "{error.warning}"'
    if isinstance(error, errors.NotAuthorised) and error.shown:
        response.headers["WWW-Authenticate"] = UNKNOWN_TOKEN
    return response


def _tell_nobody(_request: Request, _code: str) -> None:
    pass


def handlers(
    metrics: telemetry.Metrics, told: Callable[[Request, str], None] = _tell_nobody
) -> dict[type[Exception], Handler]:
    """The handlers of errors raised on purpose; `RequestContext` answers all others, which are bugs. `told` is called
    with the request and the code of each that is in the table."""

    async def on_lungscope(request: Request, error: Exception) -> Response:
        if not isinstance(error, errors.LungscopeError):
            raise error
        kind = problem_type(error)
        told(request, kind.code)
        if kind is INTERNAL:
            logger.error("an error outside the table of problems", exc_info=error)
            return _respond(metrics, kind)
        return response_to(error, metrics)

    async def on_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        status = HTTPStatus(error.status_code)
        kind = ProblemType(status, HTTP_CODES.get(status, f"http_{status.value}"), status.phrase)
        refused = status == HTTPStatus.METHOD_NOT_ALLOWED
        allowed = ", ".join(allowed_methods(request.app.routes, request.scope)) if refused else ""
        response = _respond(metrics, kind, **_details_by_http(status, allowed))
        response.headers.update(error.headers or {})
        if refused:
            response.headers["Allow"] = allowed
        return response

    async def on_gone(_: Request, error: Exception) -> Response:
        if not isinstance(error, ClientDisconnect):
            raise error
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    async def on_validation(_: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        names = sorted({str(e["loc"][-1]) for e in error.errors()})
        kind = PROBLEMS[errors.InvalidParameter]
        return _respond(metrics, kind, detail=f"Found an unusable value in {', '.join(names)}.")

    return {
        errors.LungscopeError: on_lungscope,
        HTTPException: on_http,
        ClientDisconnect: on_gone,
        RequestValidationError: on_validation,
    }


def body_of(error: BaseException, metrics: telemetry.Metrics) -> dict[str, Any]:
    """The problem for an error after the answer has begun; a bug is logged."""
    kind = problem_type(error) if isinstance(error, errors.LungscopeError) else INTERNAL
    if kind is INTERNAL:
        logger.error("unhandled error", exc_info=error)
    metrics.problems(kind.code).inc()
    details = {"detail": FAILED} if kind is INTERNAL else details_of(error)
    return _problem(kind, **details).model_dump(exclude_none=True)


def details_of(error: BaseException) -> dict[str, str]:
    """The details of a problem about an error; none for a bug."""
    if not isinstance(error, errors.LungscopeError):
        return {}
    return {"detail": str(error), "found": error.found, "expected": error.expected, "remedy": error.remedy}


def _details_by_http(status: HTTPStatus, allowed: str) -> dict[str, str]:
    """The details of an error that the router raised; `allowed` names the methods of the address."""
    if status == HTTPStatus.NOT_FOUND:
        found, expected, remedy = "no such address", "one that /openapi.json lists", "Check the address; see /docs."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        found, expected, remedy = "a method that this address does not take", allowed, "Use such a method; see /docs."
    else:
        return {"detail": status.description or status.phrase}
    detail = f"Found {found}; expected {expected}. {remedy}"
    return {"detail": detail, "found": found, "expected": expected, "remedy": remedy}


def _problem(kind: ProblemType, **details: str) -> Problem:
    told = {"detail": kind.title, **details}
    return Problem(
        type=f"urn:lungscope:problem:{kind.code}",
        title=kind.title,
        status=kind.status,
        code=kind.code,
        instance=f"urn:uuid:{telemetry.request_id.get()}",
        error=told["detail"],
        **told,
    )


def _respond(metrics: telemetry.Metrics, kind: ProblemType, **details: str) -> Response:
    metrics.problems(kind.code).inc()
    return response_of(kind, **details)
