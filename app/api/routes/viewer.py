"""The viewer page at `/`, from files in our own package, so that it works without the internet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse

from app import web
from app.api.deps import ServicesDep
from app.api.page_policies import with_policy
from app.api.static_files import CompressedFiles

FILES: Final = Path(web.__file__).parent / "viewer"
PAGE: Final = FILES / "index.html"
ASSETS_URL: Final = "/viewer"
router = APIRouter(include_in_schema=False)


def mount_assets(app: FastAPI) -> None:
    """Serve the page's scripts and styles."""
    app.mount(ASSETS_URL, CompressedFiles(FILES), name="viewer-assets")


@router.get("/")
async def page(services: ServicesDep) -> HTMLResponse:
    """The page; addresses in it are relative to it, whatever proxy it comes through."""
    # The library's cursors are pictures that it makes, and its texts have attributes of style.
    return with_policy(
        HTMLResponse(PAGE.read_text("utf-8")),
        images="data: blob:",
        styles="attributes",
        frames=services.settings.frame_hosts,
    )
