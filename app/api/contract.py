"""The OpenAPI document: FastAPI's, less the answers that this service never gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.problems import Problem

FASTAPI_VALIDATION: Final = ("HTTPValidationError", "ValidationError")


def write(app: FastAPI, *, guarded: bool, off: Sequence[str]) -> dict[str, Any]:
    """The document, built once. FastAPI declares its own 422 wherever there is a parameter; ours are problems.
    A token is part of the contract only where one is needed (`guarded`), and so are operations under the paths that
    are switched `off`."""
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
