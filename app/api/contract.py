"""The OpenAPI document: FastAPI's, without answers that this service never gives, and with its response headers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.negotiation import RECEIPT_HEADER
from app.api.problems import Problem, responses_for
from app.errors import AuditUnavailable, ModelLoading, Overloaded, SpoolFull, StorageUnavailable, UploadTooSlow
from app.judgement.context import EXAMPLE, ContextIn
from app.judgement.parameters import PARAMETERS
from app.security.scopes import Access, access_to

# What answers say in their headers beside their content, by status; "*" are all.
HEADERS: Final = {
    "*": {"X-Request-ID": "The request's id: the client's own `X-Request-ID` if that was a UUID, else a new one."},
    "401": {"WWW-Authenticate": "How to show a token."},
    "403": {"WWW-Authenticate": "That the token does not suffice."},
    "429": {"Retry-After": "Seconds after which to try again."},
    "503": {"Retry-After": "Seconds after which to try again."},
    "507": {"Retry-After": "Seconds after which to try again."},
}
BOUNDS: Final = (408, 414, 429, 431)  # of any request: see `app.server.hooks.AnswerMalformed`
LANGUAGE: Final = {"Content-Language": "The language of the words: `en` or `zh`."}
CONTEXT_PART: Final[dict[str, Any]] = {
    "type": "string",
    # With `contentMediaType` as well, the docs page would ask for a file; without an example it would send "string".
    "example": "{}",
    "contentSchema": ContextIn.model_json_schema(),
    "description": f"What is known of the patient, for `guidelines`, as JSON: `{EXAMPLE}`. In a form alone, never in "
    "the address. Age and sex are otherwise those of the DICOM header.",
}
RECEIPT: Final = {
    RECEIPT_HEADER: "Where the operator has set a key: the `receipt` of what is not JSON, as base64url of JSON."
}
OF_JUDGEMENTS: Final = {**LANGUAGE, **RECEIPT}
SCHEME: Final = "Caller"
BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that the operator of this service has made, or a token of the identity provider.",
}
# Of 503, all but that tokens wait.
OF_OTHERS: Final = (AuditUnavailable, ModelLoading, Overloaded, SpoolFull, StorageUnavailable)
FASTAPI_VALIDATION: Final = ("HTTPValidationError", "ValidationError")


def query_parameters(names: Iterable[str]) -> list[dict[str, Any]]:
    """The query parameters of an operation, from the one table of parameters."""
    table = {name: PARAMETERS[name] for name in names}
    return [{"name": n, "in": "query", "schema": p.schema(), "description": p.description} for n, p in table.items()]


def write(app: FastAPI, *, guarded: bool, asked: Sequence[int], off: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document, built once.

    FastAPI declares its own 422 answer for every parameter; this service answers with problems instead. Where callers
    must be known (`guarded`) the document says so. `asked` are the statuses with which any of them may be refused.
    Operations below the paths that are switched `off` are left out.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            license_info=app.license_info,
            routes=app.routes,
        )
        for name in [path for path in document["paths"] if path.startswith(tuple(off))]:
            del document["paths"][name]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                access = access_to(method.upper(), path)
                if access != "open":
                    _declare_callers(operation, access, asked, guarded=guarded)
                for status, answer in responses_for(*BOUNDS, without=(UploadTooSlow,)).items():
                    operation["responses"].setdefault(str(status), answer)
                _declare_headers(operation)
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        schemas = document["components"]["schemas"]
        for name in FASTAPI_VALIDATION:
            schemas.pop(name, None)
        if guarded:
            document["components"]["securitySchemes"] = {SCHEME: BEARER}
        schemas[Problem.__name__] = Problem.model_json_schema()
        app.openapi_schema = document
    return app.openapi_schema


def written(app: FastAPI) -> bytes:
    """The OpenAPI document as JSON, written once: it has hundreds of kilobytes."""
    if not hasattr(app.state, "contract"):
        app.state.contract = json.dumps(app.openapi(), ensure_ascii=False).encode()
    text: bytes = app.state.contract
    return text


def _declare_callers(operation: dict[str, Any], access: Access, asked: Sequence[int], *, guarded: bool) -> None:
    """Say which scope the operation needs (OpenAPI 3.1 4.8.30 allows roles there), and what is answered without it."""
    declared = {str(status): response for status, response in responses_for(*asked, without=OF_OTHERS).items()}
    operation["responses"] = {**declared, **operation["responses"]}
    if guarded:
        operation["security"] = [{SCHEME: [] if access == "known" else [access]}]


def _declare_headers(operation: dict[str, Any]) -> None:
    has_language = any(parameter["name"] == "Accept-Language" for parameter in operation.get("parameters", ()))
    for status, response in operation["responses"].items():
        told = {
            **HEADERS["*"],
            **HEADERS.get(status, {}),
            **(OF_JUDGEMENTS if has_language and status == "200" else {}),
        }
        declared = {name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()}
        response["headers"] = {**response.get("headers", {}), **declared}
