"""The OpenAPI document: FastAPI's, without answers that this service never gives, and with its response headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.problems import Problem
from app.judgement.context import EXAMPLE, ContextIn
from app.judgement.parameters import PARAMETERS

# What answers say in their headers beside their content, by status; "*" are all.
HEADERS: Final = {
    "*": {"X-Request-ID": "The request's id: the client's own `X-Request-ID` if that was a UUID, else a new one."},
    "401": {"WWW-Authenticate": "How to show a token."},
    "503": {"Retry-After": "Seconds after which to try again."},
    "507": {"Retry-After": "Seconds after which to try again."},
}
LANGUAGE: Final = {"Content-Language": "The language of the words: `en` or `zh`."}
CONTEXT_PART: Final[dict[str, Any]] = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": ContextIn.model_json_schema(),
    "description": f"What is known of the patient, for `guidelines`, as JSON: `{EXAMPLE}`. In a form alone, never in "
    "the address. Age and sex are otherwise those of the DICOM header.",
}
FASTAPI_VALIDATION: Final = ("HTTPValidationError", "ValidationError")


def query_parameters(names: Iterable[str]) -> list[dict[str, Any]]:
    """The query parameters of an operation, from the one table of parameters."""
    table = {name: PARAMETERS[name] for name in names}
    return [{"name": n, "in": "query", "schema": p.schema(), "description": p.description} for n, p in table.items()]


def write(app: FastAPI, *, guarded: bool, off: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document, built once.

    FastAPI declares its own 422 answer for every parameter; this service answers with problems instead. A token is in
    the document only where one is needed (`guarded`). Operations below the paths that are switched `off` are left out.
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
        for path in document["paths"].values():
            for operation in path.values():
                _declare_headers(operation)
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
                if not guarded:
                    operation.pop("security", None)
                    operation["responses"].pop("401", None)
        schemas = document["components"]["schemas"]
        for name in FASTAPI_VALIDATION:
            schemas.pop(name, None)
        if not guarded:
            del document["components"]["securitySchemes"]
        schemas[Problem.__name__] = Problem.model_json_schema()
        app.openapi_schema = document
    return app.openapi_schema


def _declare_headers(operation: dict[str, Any]) -> None:
    has_language = any(parameter["name"] == "Accept-Language" for parameter in operation.get("parameters", ()))
    for status, response in operation["responses"].items():
        told = {**HEADERS["*"], **HEADERS.get(status, {}), **(LANGUAGE if has_language and status == "200" else {})}
        response["headers"] = {name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()}
