"""Debian's Chromium, with every address but our own cut off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.serving.service import Service

# No look-ups, no background traffic: what a page cannot get from us it cannot get at all. Its pictures are drawn in
# software, as no machine of a test has a graphics card.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
PATIENCE_MS = 120_000  # a software renderer on cores that others use too


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "install Chromium first: make test-e2e does, where apt-get is at hand"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


def patient_page(browser: Browser, width: int, height: int) -> Page:
    """A new page, in English, on which everything may take its time."""
    page = browser.new_page(viewport={"width": width, "height": height}, locale="en")
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    return page


def watched(page: Page, service: Service, wrong: list[str]) -> None:
    """Write down any error of the page's own, anything that its policy forbids, and any request to elsewhere."""
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((service.url("/"), "data:", "blob:")) else wrong.append(request.url)
        ),
    )
