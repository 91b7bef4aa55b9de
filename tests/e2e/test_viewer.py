"""The viewer in a real browser: what a radiologist would do on it, and what they would see."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Download, FilePayload, Page, Route, expect

from app.api.examples import SUSPECTED
from app.api.routes.docs import EXAMPLE_SERIES
from app.guidelines.register import GUIDELINES
from benchmarks.serving.service import Service
from phantoms.series import NODULE_SLICES, SLICES
from phantoms.slices import chest, derived_uid, dicom
from tests.conftest import REPOSITORY
from tests.e2e.conftest import patient_page, watched
from tests.servers import OURS

pytestmark = [pytest.mark.e2e, OURS]  # a page is what it is under any server
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
KNOWN_SLICE, KNOWN_NODULE = "1-064.dcm", (386.0, 296.0)
LONG_SERIES, MOST_BYTES = 600, 1_500_000_000


def show(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The viewer, which fails its test on an error of its own, on what its policy forbids, and on other addresses."""
    page = patient_page(browser, 1440, 900)
    wrong: list[str] = []
    watched(page, service, wrong)
    page.goto(service.url("/"))
    yield page
    page.close()
    assert wrong == []


def choose(page: Page, name: str, data: bytes) -> None:
    """Choose a file, as the button of the page lets one do."""
    file: FilePayload = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.locator("#files").set_input_files(file)


def judged(page: Page) -> str:
    """The decision that the page shows, once there is one and nothing is at work."""
    expect(page.locator("#busy")).to_be_hidden()
    return page.locator("#decision .verdict").inner_text()


def point_at(page: Page, *, left: int, up: int) -> None:
    """Move the crosshair that far from the middle of the image, by keys."""
    page.locator("#viewport").press("c")
    for key, pixels in (("ArrowLeft", left), ("ArrowUp", up)):
        for pressed in (*["Shift+" + key] * (pixels // 10), *[key] * (pixels % 10)):
            page.keyboard.press(pressed)


def saved(download: Download) -> str:
    return Path(download.path()).read_text("utf-8")


def test_a_slice_is_judged_and_a_click_judges_the_nodule_there(page: Page) -> None:
    expect(page.get_by_role("link", name="Interface and documentation")).to_have_attribute("href", "docs")
    show(page, "start")
    page.get_by_role("button", name="Example slice").click()
    expect(page.locator("#decision")).to_be_visible()
    judged(page)
    show(page, "slice")
    # The phantom's nodule, pointed at by keys alone: the crosshair begins in the middle.
    point_at(page, left=108, up=16)
    expect(page.locator("#told")).to_have_text("Crosshair at column 148, row 240")
    with page.expect_response("**/v1/predict?*roi=148.0%2C240.0*") as answered:
        page.keyboard.press("Enter")
    assert answered.value.status == 200
    assert "Suspicious for lung cancer" in judged(page)
    expect(page.locator("#decision")).to_contain_text("98 %")
    expect(page.locator("#findings li.chosen")).to_contain_text("Spiculation")
    expect(page.get_by_role("heading", name="Places you pointed at (1)")).to_be_visible()
    show(page, "point")
    page.get_by_role("combobox", name="Language").select_option("zh")
    expect(page.locator("#decision .verdict")).to_contain_text("肺癌(疑似)")
    expect(page.get_by_text("仅供研究使用，非医疗器械。").first).to_be_visible()
    page.emulate_media(color_scheme="dark")
    show(page, "point-zh-dark")


def test_a_click_on_a_known_nodule_outlines_it(page: Page, shared_data: Path) -> None:
    """A nodule of 12 mm that four readers of LIDC-IDRI-0012 saw."""
    choose(page, "slice.dcm", (shared_data / "series" / "lidc-0012" / KNOWN_SLICE).read_bytes())
    judged(page)
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    pixel = min(stage["width"], stage["height"]) / 512  # the whole slice is in view, in the middle
    column, row = KNOWN_NODULE
    across, down = stage["width"] / 2 + (column - 255.5) * pixel, stage["height"] / 2 + (row - 255.5) * pixel
    with page.expect_response("**/v1/predict?*roi=*") as answered:
        page.locator("#viewport").click(position={"x": across, "y": down})
    (finding,) = answered.value.json()["findings"]
    outline = np.asarray(finding["outline_px"], np.float32)
    assert cv2.pointPolygonTest(outline, (column, row), measureDist=False) > 0
    assert finding["center_px"] == pytest.approx(KNOWN_NODULE, abs=1)
    judged(page)
    expect(page.locator("#findings li.chosen .number")).to_have_text("A")
    show(page, "known-nodule")


def test_a_series_is_judged_and_reviewed_and_saved(page: Page) -> None:
    choose(page, "series.zip", EXAMPLE_SERIES.read_bytes())
    judged(page)
    first = page.locator("#findings .pick").first
    expect(first).to_have_attribute("aria-expanded", "true")
    number = int(re.findall(r"Slice (\d+) of", page.locator("#where").inner_text(), re.IGNORECASE)[0])
    assert number - 1 in NODULE_SLICES
    show(page, "series")
    page.locator("#viewport").press("Home")  # towards the head
    expect(page.locator("#where")).to_contain_text(f"slice {SLICES} of {SLICES}")
    first.click()
    expect(page.locator("#where")).to_contain_text(f"slice {number} of {SLICES}")
    page.get_by_role("radio", name="Reject").check()
    page.get_by_role("textbox", name="Comment").fill('=a vessel, "I think"')
    expect(first).to_contain_text("✗ ✎")
    page.get_by_text("Save results").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    expect(page.get_by_text("Saved: lungscope-reviews.csv")).to_be_visible()
    row = next(csv.DictReader(io.StringIO(saved(download.value))))
    assert (row["verdict"], row["comment"], row["found_by"]) == ("reject", '\'=a vessel, "I think"', "search")
    assert int(row["slice_index"]) == number - 1
    with page.expect_download() as download:
        page.locator("#downloads").get_by_role("button", name="JSON").click()
    whole = json.loads(saved(download.value))
    assert whole["answer"]["source"]["series"]["slices"] == SLICES
    assert whole["reviews"][0]["sop_instance_uid"] == row["sop_instance_uid"]


def test_every_guideline_can_be_asked_for_and_the_page_stays_where_it_is(page: Page) -> None:
    choose(page, "series.zip", EXAMPLE_SERIES.read_bytes())
    judged(page)
    page.locator("#options summary").first.click()
    boxes = page.locator("#guidelines input").all()
    assert [box.get_attribute("value") for box in boxes] == list(GUIDELINES)
    for box in boxes:
        box.check()
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".assessment")).to_have_count(len(GUIDELINES))
    expect(page.get_by_role("alert")).to_be_hidden()
    show(page, "guidelines")
    page.locator("#options summary").last.click()
    page.locator("aside").evaluate("aside => aside.scrollTo(0, aside.scrollHeight)")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    show(page, "save")


def test_a_place_that_is_no_nodule_stands_apart_and_can_be_removed(page: Page) -> None:
    page.get_by_role("button", name="Example slice").click()
    expect(page.locator("#decision")).to_be_visible()
    judged(page)
    found = page.locator("#findings .pick").count()
    page.locator("#opacity").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#viewport")).to_be_focused()
    page.keyboard.press("c")
    page.keyboard.press("Enter")  # the middle of the chest
    place = page.locator("#findings li.chosen .pick")
    expect(place).to_contain_text("Not judged")
    expect(place).not_to_contain_text("not judged")
    expect(place).not_to_contain_text("lung")
    expect(page.get_by_role("heading", name=f"Findings ({found})")).to_be_visible()
    show(page, "no-nodule")
    page.get_by_role("button", name="Remove this place").click()
    expect(page.locator("#findings .pick")).to_have_count(found)


def test_a_slice_inside_a_zip_can_be_pointed_at(page: Page) -> None:
    choose(page, "series.zip", EXAMPLE_SERIES.read_bytes())
    judged(page)
    page.locator("#viewport").press("c")
    with page.expect_response("**/v1/predict?*roi=64.0%2C64.0*") as answered:
        page.keyboard.press("Enter")
    assert answered.value.status == 200
    expect(page.locator("#findings li.chosen .number")).to_have_text("A")


def test_stop_ends_the_request_and_says_so(page: Page) -> None:
    """That the service then stops its work is a test of tests/api/test_studies.py."""
    page.route("**/v1/studies?*", lambda _route: None)  # it is never answered
    choose(page, "series.zip", EXAMPLE_SERIES.read_bytes())
    expect(page.locator("#busy-text")).to_have_text("Judging")
    show(page, "progress")
    with page.expect_event("requestfailed", lambda request: "/v1/studies?" in request.url):
        page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_have_text("Stopped. The service has stopped its work, too.")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"GIF89a" + bytes(64), "neither DICOM nor"), (b"\x89PNG\r\n\x1a\n" + bytes(64), "picture is damaged")],
)
def test_a_bad_file_gets_a_clear_message(page: Page, data: bytes, words: str) -> None:
    choose(page, "bad", data)
    expect(page.get_by_role("alert")).to_contain_text(words)
    show(page, "bad-file")
    expect(page.get_by_role("button", name="Open files")).to_be_visible()


def long_series(folder: Path) -> list[Path]:
    """A series of whole slices in files, 0.5 MB each."""
    hu = chest(size_px=512, spacing_mm=0.7)
    paths = []
    for n in range(LONG_SERIES):
        uid, position = derived_uid(f"long {n}"), [-178.5, -178.5, n * 0.6]
        data = dicom(hu, spacing_mm=0.7, SliceThickness=0.6, SOPInstanceUID=uid, ImagePositionPatient=position)
        paths.append(folder / f"{n}.dcm")
        paths[-1].write_bytes(data)
    return paths


def most_bytes(browser: Browser) -> int:
    """The most that the processes of pages, and the one that draws, have held so far, the browser's code included.

    JavaScript's own count leaves out the pixels.
    """
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    drawing = [each["id"] for each in processes if each["type"].lower() in ("renderer", "gpu")]
    assert len(drawing) >= 2, processes
    told = [Path(f"/proc/{process}/status").read_text() for process in drawing]
    return sum(1024 * int(re.findall(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)[0]) for text in told)


def test_a_series_of_600_slices_fits_into_the_page(browser: Browser, page: Page, tmp_path: Path) -> None:
    page.route("**/v1/studies?*", lambda route: route.abort())  # the service's judgement is no matter of the page
    page.locator("#files").set_input_files(long_series(tmp_path))
    expect(page.locator("#where")).to_contain_text(f"of {LONG_SERIES}")
    expect(page.get_by_role("alert")).to_be_visible()
    page.locator("#viewport").press("Home")
    for _ in range(LONG_SERIES // 10):
        page.keyboard.press("PageDown")
    expect(page.locator("#where")).to_contain_text(f"slice 1 of {LONG_SERIES}")
    assert most_bytes(browser) < MOST_BYTES


def test_a_token_is_asked_for_and_kept_in_memory_alone(page: Page) -> None:
    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer the-key":
            route.continue_()
        else:
            route.fulfill(status=401, json={"code": "not_authorised", "detail": "No key.", "status": 401})

    page.route("**/v1/**", guard)
    page.get_by_role("button", name="Example slice").click()
    page.get_by_label("Key or token").fill("the-key")
    show(page, "token")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#decision")).to_be_visible()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


# Geometry ----------------------------------------------------------------------------------------------------------

SIDE_PX = 9  # of the planted square, and of each cell of its evidence
ORIENTATIONS = {
    "as usual": (512, 512, (0.7, 0.7), [1, 0, 0, 0, 1, 0]),
    "rotated": (512, 512, (0.7, 0.7), [0, 1, 0, -1, 0, 0]),
    "flipped": (512, 512, (0.7, 0.7), [-1, 0, 0, 0, 1, 0]),
    "anisotropic": (320, 512, (1.1, 0.7), [1, 0, 0, 0, 1, 0]),
    "cropped": (300, 420, (0.7, 0.7), [1, 0, 0, 0, 1, 0]),
}


def planted(rows: int, columns: int) -> tuple[NDArray[np.int16], tuple[float, float]]:
    """Lung with one bright square, and its middle as (column, row)."""
    hu = np.full((rows, columns), -850, np.int16)
    hu[90 : 90 + SIDE_PX, 130 : 130 + SIDE_PX] = 1000
    return hu, (134.0, 94.0)


def about(middle: tuple[float, float]) -> dict[str, Any]:
    """An answer with one finding: outlined along the edge of the square, with evidence two cells to its right, and two
    above it."""
    column, row = middle
    half = SIDE_PX / 2
    corners = [(column + x * half, row + y * half) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    values = np.full((7, 7), 0.5)
    values[3, 5] = values[1, 3] = 1
    reach = 3.5 * SIDE_PX
    rectangle = (column - reach, row - reach, column + reach, row + reach)
    evidence = {"shape": (7, 7), "rectangle_px": rectangle, "values": values.tolist()}
    finding = {**SUSPECTED["findings"][0], "center_px": middle, "outline_px": corners, "evidence": evidence}
    return {**SUSPECTED, "findings": [finding]}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_outline_and_evidence_lie_on_what_they_are_about(page: Page, name: str) -> None:
    """Each within one pixel of the image, measured on the screen."""
    rows, columns, spacing_mm, cosines = ORIENTATIONS[name]
    hu, middle = planted(rows, columns)
    data = dicom(hu, spacing_mm=spacing_mm[0], PixelSpacing=list(spacing_mm), ImageOrientationPatient=cosines)
    page.route("**/v1/predict?*", lambda route: route.fulfill(json=about(middle)))
    choose(page, "planted.dcm", data)
    judged(page)
    expect(page.locator("#findings .pick")).to_be_visible()
    screen = cv2.imdecode(np.frombuffer(page.locator("#stage").screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert screen is not None
    show(page, f"geometry-{name.replace(' ', '-')}")
    blue, green, red = (screen[..., n].astype(int) for n in range(3))
    here = box_of((red > 225) & (green > 225) & (blue > 225), rows_from=40, columns_from=20)
    line = box_of((red > 230) & (green > 200) & (blue < 130))
    orange = (red - blue > 70) & (red < 230)
    # Lung is 85 in this window, and beside the image it is black but for letters, which this takes away.
    bright = cv2.morphologyEx((green > 60).astype(np.uint8), cv2.MORPH_OPEN, np.ones((25, 25), np.uint8))
    image = box_of(bright > 0)
    across, down = image.width / columns, image.height / rows  # of one pixel, on the screen
    x, y = here.middle
    left, top = image.middle[0] - image.width / 2, image.middle[1] - image.height / 2
    assert x - left == pytest.approx((middle[0] + 0.5) * across, abs=across)
    assert y - top == pytest.approx((middle[1] + 0.5) * down, abs=down)
    assert line.middle == pytest.approx((x, y), abs=1)
    cell, rise = SIDE_PX * across, SIDE_PX * down
    right = box_of(mask_within(orange, x + cell, x + 3 * cell, y - rise / 2, y + rise / 2)).middle[0]
    above = box_of(mask_within(orange, x - cell / 2, x + cell / 2, y - 3 * rise, y - rise)).middle[1]
    assert right - x == pytest.approx(2 * cell, abs=across)
    assert y - above == pytest.approx(2 * rise, abs=down)


class Box(NamedTuple):
    """A rectangle on the screen."""

    middle: tuple[float, float]
    width: int
    height: int


def mask_within(mask: NDArray[np.bool_], left: float, right: float, top: float, bottom: float) -> NDArray[np.bool_]:
    within = np.zeros_like(mask)
    part = np.s_[round(top) : round(bottom), round(left) : round(right)]
    within[part] = mask[part]
    return within


def box_of(mask: NDArray[np.bool_], rows_from: int = 0, columns_from: int = 0) -> Box:
    """The rectangle around the largest connected part of what is true, in a given part of the screen."""
    part = mask[rows_from:, columns_from:].astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
    left, top, width, height, _ = max(found[1:].tolist(), key=lambda each: each[cv2.CC_STAT_AREA])
    return Box((left + columns_from + (width - 1) / 2, top + rows_from + (height - 1) / 2), width, height)
