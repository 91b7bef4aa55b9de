"""The docs pages, from files in our own packages: they work with no internet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import fastapi_standalone_docs
from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from app import web

ASSETS: Final = Path(fastapi_standalone_docs.__file__).parent / "static"
EXAMPLE_SLICE: Final = Path(web.__file__).parent / "example-slice.dcm"
ASSETS_URL: Final = "/docs/assets"
TITLE: Final = "Lungscope"
FAVICON: Final = f"{ASSETS_URL}/fastapi/favicon.png"
router = APIRouter(include_in_schema=False)


def mount_assets(app: FastAPI) -> None:
    """Serve the scripts and styles of both pages."""
    app.mount(ASSETS_URL, StaticFiles(directory=ASSETS), name="docs-assets")


@router.get("/")
async def index() -> RedirectResponse:
    """Lead to the docs until there is a viewer."""
    return RedirectResponse("/docs")


@router.get("/docs")
async def swagger() -> HTMLResponse:
    """Swagger UI."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=TITLE,
        swagger_js_url=f"{ASSETS_URL}/swagger/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS_URL}/swagger/swagger-ui.css",
        swagger_favicon_url=FAVICON,
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    """ReDoc."""
    return get_redoc_html(
        openapi_url="/openapi.json",
        title=TITLE,
        redoc_js_url=f"{ASSETS_URL}/redoc/redoc.standalone.js",
        redoc_favicon_url=FAVICON,
        with_google_fonts=False,
    )


@router.get("/docs/example-slice.dcm")
async def example_slice() -> FileResponse:
    """A generated phantom, to try the operations with."""
    return FileResponse(EXAMPLE_SLICE, media_type="application/dicom", filename=EXAMPLE_SLICE.name)
