"""The docs pages, from files in our own packages, so that they work without the internet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import fastapi_standalone_docs
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse

from app import web
from app.api import contract
from app.api.page_policies import with_policy
from app.api.static_files import CompressedFiles

ASSETS: Final = Path(fastapi_standalone_docs.__file__).parent / "static"
WEB: Final = Path(web.__file__).parent
EXAMPLE_SLICE: Final = WEB / "example-slice.dcm"
EXAMPLE_SERIES: Final = WEB / "example-series.zip"
ASSETS_URL: Final = "/docs/assets"
TITLE: Final = "Lungscope"
# Addresses on the pages are relative to them: whatever proxy they come through, and by whatever name.
ASSETS_FROM_PAGE: Final = ASSETS_URL.removeprefix("/")
CONTRACT_FROM_PAGE: Final = "openapi.json"
FAVICON: Final = "favicon.ico"
router = APIRouter(include_in_schema=False)


def mount_assets(app: FastAPI) -> None:
    """Serve the scripts and styles of both pages."""
    app.mount(ASSETS_URL, CompressedFiles(ASSETS), name="docs-assets")


@router.get("/docs/")
@router.get("/redoc/")
async def without_slash(request: Request) -> RedirectResponse:
    """Redirect to the page's path with a slash, because the addresses in it are relative."""
    return RedirectResponse(f"../{request.url.path.split('/')[-2]}")


@router.get("/" + CONTRACT_FROM_PAGE)
async def openapi(request: Request) -> Response:
    """The OpenAPI document, for clients that reach it below the root path of a proxy too."""
    if root := request.scope.get("root_path", "").rstrip("/"):
        return JSONResponse({**request.app.openapi(), "servers": [{"url": root}]})
    return Response(contract.written(request.app), media_type="application/json")


@router.get("/docs")
async def swagger() -> HTMLResponse:
    """Swagger UI."""
    page = get_swagger_ui_html(
        openapi_url=CONTRACT_FROM_PAGE,
        title=TITLE,
        swagger_js_url=f"{ASSETS_FROM_PAGE}/swagger/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS_FROM_PAGE}/swagger/swagger-ui.css",
        swagger_favicon_url=FAVICON,
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    return with_policy(page, images="data: blob:")  # a picture that was answered is shown


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    """ReDoc."""
    page = get_redoc_html(
        openapi_url=CONTRACT_FROM_PAGE,
        title=TITLE,
        redoc_js_url=f"{ASSETS_FROM_PAGE}/redoc/redoc.standalone.js",
        redoc_favicon_url=FAVICON,
        with_google_fonts=False,
    )
    return with_policy(page, workers="blob:")  # its search runs in one


@router.get("/redoc/logo-mini.svg")
async def redoc_logo() -> FileResponse:
    """The logo that ReDoc looks for below its own address."""
    return FileResponse(ASSETS / "redoc" / "logo-mini.svg", media_type="image/svg+xml")


@router.get("/docs/example-slice.dcm")
async def example_slice() -> FileResponse:
    """A generated phantom, to try the operations with."""
    return FileResponse(EXAMPLE_SLICE, media_type="application/dicom", filename=EXAMPLE_SLICE.name)


@router.get("/docs/example-series.zip")
async def example_series() -> FileResponse:
    """A generated phantom of several slices."""
    return FileResponse(EXAMPLE_SERIES, media_type="application/zip", filename=EXAMPLE_SERIES.name)


@router.get("/favicon.ico")
async def favicon() -> FileResponse:
    """The icon that browsers ask for by this name on every page."""
    return FileResponse(WEB / "favicon.svg", media_type="image/svg+xml")
