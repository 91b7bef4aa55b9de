"""The docs pages in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from app.api.examples import SERIES
from app.api.routes.docs import EXAMPLE_SLICE
from benchmarks.serving.service import Service
from phantoms.series import SLICES, slice_file
from tests.e2e.conftest import patient_page, watched
from tests.servers import OURS

pytestmark = [pytest.mark.e2e, OURS]  # a page is what it is under any server


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """A page that fails its test on any error of its own, on anything that its policy forbids, and on any request to
    elsewhere."""
    page = patient_page(browser, 1280, 1600)
    wrong: list[str] = []
    watched(page, service, wrong)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("response", lambda response: wrong.append(response.url) if response.status >= 400 else None)
    yield page
    page.close()
    assert wrong == []


def test_the_page_renders_what_the_service_offers(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    expect(page.get_by_role("heading", name="Lungscope")).to_be_visible()
    for path in ("/v1/predict", "/v1/studies", "/v1/models", "/health/ready", "/metrics"):
        expect(page.locator(f'[data-path="{path}"]').first).to_be_visible()
    expect(page.locator('[data-path^="/dicom-web"]')).to_have_count(0)


def test_try_it_out_posts_an_image_as_it_stands(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    operation = page.locator("#operations-predict-predict_v1_predict_post")
    operation.locator(".opblock-summary-control").click()
    operation.locator("input[type=file]").set_input_files(EXAMPLE_SLICE)
    with page.expect_response("**/v1/predict*") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    answer = answered.value.json()
    assert answer["source"]["kind"] == "dicom"
    assert [note["code"] for note in answer["quality"]] == ["nodules_may_be_missed", "study_level_not_validated"]
    live = operation.locator(".live-responses-table .response-col_description .highlight-code").first
    expect(live).to_contain_text(answer["request_id"])


def test_the_page_begins_with_what_to_try_and_lists_errors_when_asked(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    expect(page.get_by_role("heading", name="What to try first")).to_be_visible()
    mark = page.locator(".info img")
    expect(mark).to_be_visible()
    assert mark.evaluate("picture => picture.decode().then(() => picture.complete)")
    row = page.locator("details tr", has=page.locator("code", has_text=re.compile("^model_loading$")))
    expect(row).to_be_hidden()
    page.locator("details summary", has_text="errors").click()
    expect(row).to_contain_text("/health/ready")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="The viewer").click()
    expect(opened.value).to_have_url(service.url("/"))
    opened.value.close()


def test_the_picture_of_an_answer_is_shown(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    operation = page.locator("#operations-predict-predict_v1_predict_post")
    operation.locator(".opblock-summary-control").click()
    operation.locator("input[type=file]").set_input_files(EXAMPLE_SLICE)
    operation.locator('tr[data-code="200"] select').first.select_option("image/png")
    with page.expect_response("**/v1/predict*") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.headers["content-type"] == "image/png"
    shown = operation.locator(".live-responses-table img")
    expect(shown).to_be_visible()
    assert shown.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 256


def test_try_it_out_with_every_parameter(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    operation = page.locator("#operations-predict-predict_v1_predict_post")
    operation.locator(".opblock-summary-control").click()
    operation.locator("input[type=file]").set_input_files(EXAMPLE_SLICE)
    for name, value in (("roi", "148,240"), ("pixel_spacing_mm", "0.7"), ("window", "-600,1500"), ("frame", "1")):
        operation.locator(f'tr[data-param-name="{name}"] input[type=text]').fill(value)
    operation.locator('tr[data-param-name="explain"] select').select_option("true")
    with page.expect_response("**/v1/predict*") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    (finding,) = answered.value.json()["findings"]
    assert "evidence" in finding


def test_try_it_out_posts_the_series_that_is_offered(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    operation = page.locator(".opblock", has=page.locator('[data-path="/v1/studies"]'))
    operation.locator(".opblock-summary-control").click()
    with page.expect_download() as offered:
        operation.get_by_role("link", name="a phantom series").click()
    operation.locator("input[type=file]").first.set_input_files(offered.value.path())
    with page.expect_response("**/v1/studies*") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    assert answered.value.json()["decision"] == SERIES["decision"]


def test_try_it_out_posts_several_files_of_a_series(page: Page, service: Service) -> None:
    page.goto(service.url("/docs"))
    operation = page.locator(".opblock", has=page.locator('[data-path="/v1/studies"]'))
    operation.locator(".opblock-summary-control").click()
    form = operation.locator(".opblock-section-request-body")
    for n in range(SLICES):
        form.get_by_role("button", name="Add").click()
        file: FilePayload = {"name": f"{n}.dcm", "mimeType": "application/dicom", "buffer": slice_file(n)}
        form.locator("input[type=file]").nth(n).set_input_files(file)
    with page.expect_response("**/v1/studies*") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    assert answered.value.json()["source"]["series"]["slices"] == SLICES


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/{name}", "/v1/models/{name}/card", "/health/live", "/metrics"]
)
def test_other_operations_can_be_tried_as_they_stand(page: Page, service: Service, path: str) -> None:
    page.goto(service.url("/docs"))
    operation = page.locator(".opblock", has=page.locator(f'[data-path="{path}"]'))
    operation.locator(".opblock-summary-control").click()
    with page.expect_response(
        lambda response: "/docs" not in response.url and "openapi" not in response.url
    ) as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200


def test_redoc_renders_and_finds(page: Page, service: Service) -> None:
    page.goto(service.url("/redoc"))
    expect(page.get_by_role("heading", name="Judge one CT slice")).to_be_visible()
    page.get_by_role("textbox").fill("series")  # it searches in a worker
    expect(page.locator('[role="search"] [role="menu"] label').first).to_contain_text("series", ignore_case=True)
    assert json.loads(page.request.get(service.url("/openapi.json")).text())["info"]["title"] == "Lungscope"


def put_script(page: Page, **attributes: str) -> object:
    """What a script that is put into the page makes of `window.put`."""
    page.evaluate(
        """attributes => {
            const script = Object.assign(document.createElement("script"), attributes);
            document.body.append(script);
        }""",
        attributes,
    )
    return page.evaluate("window.put")


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_script_that_is_put_into_a_page_does_not_run(browser: Browser, service: Service, path: str) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(service.url(path))
    assert put_script(page, textContent="window.put = 1") is None
    assert put_script(page, src="data:text/javascript,window.put = 1") is None
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert len(refused) >= 3
    page.close()


def test_no_page_of_others_shows_ours_in_a_frame(browser: Browser, service: Service) -> None:
    page = browser.new_page()
    with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
        page.set_content(f'<iframe src="{service.url("/docs")}"></iframe>')
    page.close()
