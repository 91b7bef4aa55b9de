"""What a browser may load and run on our pages (Content Security Policy Level 3)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection
from typing import Final, Literal

from fastapi.responses import HTMLResponse

from app.reports.page_html import POLICY

NOBODY: Final = "'none'"
# Of every answer that is no page: shown in a browser it loads nothing, runs nothing, and stands in no frame.
NOTHING: Final = "default-src 'none'; frame-ancestors 'none'"
# Of a case report: its own style and its pictures, which stand in it.
REPORT: Final = f"{POLICY}; frame-ancestors 'none'"
HEADER: Final = "content-security-policy"
STYLES: Final = {
    "everywhere": "style-src 'self' 'unsafe-inline'",
    "attributes": "style-src 'self'; style-src-attr 'unsafe-inline'",
}
INLINE_SCRIPT: Final = re.compile(r"<script(?: type=\"module\")?>(.*?)</script>", re.DOTALL)


def with_policy(
    page: HTMLResponse,
    *,
    images: str = "data:",
    workers: str = "'none'",
    styles: Literal["everywhere", "attributes"] = "everywhere",
    frames: Collection[str] = (),
) -> HTMLResponse:
    """A page that runs the service's own scripts and those that stand in it now, each known by its digest.

    What others put into it later runs nothing and asks nobody but the service. Styles may stand in the page: both of
    the documentation's programs write them there. With "attributes" they may stand in attributes alone.
    `frames` are the origins whose pages may hold it.
    """
    text = bytes(page.body).decode("utf-8")
    digests = (hashlib.sha256(script.encode("utf-8")).digest() for script in INLINE_SCRIPT.findall(text))
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    page.headers[HEADER] = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {hashes}".rstrip(),
            STYLES[styles],
            f"img-src 'self' {images}",
            "font-src 'self' data:",
            "connect-src 'self'",
            f"worker-src {workers}",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {' '.join(sorted(frames)) or NOBODY}",
        )
    )
    return page
