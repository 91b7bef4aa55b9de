"""The viewer in each of its states: nothing in it keeps people out, and it needs no more than its policy says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.api.routes.docs import EXAMPLE_SERIES
from benchmarks.serving.service import Service
from phantoms.slices import WINDOW_16_BIT, chest, picture, windowed
from tests.conftest import REPOSITORY
from tests.e2e.conftest import patient_page
from tests.e2e.test_viewer import choose, judged, point_at
from tests.servers import OURS

pytestmark = [pytest.mark.e2e, OURS]  # a page is what it is under any server
AXE = REPOSITORY / "build" / "viewer" / "node_modules" / "axe-core" / "axe.min.js"
CHECK = """() => axe.run().then(({passes, violations}) => ({
    passed: passes.length,
    grave: violations.filter(({impact}) => impact === "serious" || impact === "critical")
        .map(({id, nodes}) => `${id}: ${nodes.map(({target}) => target).join(", ")}`),
}))"""
# Stricter than the page's own policy, which stays in force beside it: whatever goes beyond is reported and let through.
STRICT = ("content-security-policy-report-only", "default-src 'self'")
# The drawing library's cursors, and the places of its texts.
NAMED = {("report", "img-src", "blob"), ("report", "img-src", "data"), ("report", "style-src-attr", "inline")}
LISTEN = """
window.refused = [];
document.addEventListener("securitypolicyviolation", ({disposition, effectiveDirective, blockedURI}) =>
    window.refused.push([disposition, effectiveDirective, blockedURI.split(":")[0]]));
"""
Refusal = tuple[str, str, str]  # disposition, directive, scheme


class Seen(NamedTuple):
    """What was seen in all states: grave issues by state, and refusals; a script that was put in is in `put`."""

    grave: dict[str, list[str]]
    refused: set[Refusal]
    put: set[Refusal]


def states(page: Page) -> Iterator[str]:
    """Bring the page into each state, and name it."""
    yield "start"
    page.get_by_role("button", name="Example slice").click()
    expect(page.locator("#decision")).to_be_visible()
    judged(page)
    yield "slice judged"
    point_at(page, left=108, up=16)
    page.keyboard.press("Enter")
    expect(page.locator("#findings li.chosen .number")).to_have_text("A")
    judged(page)
    measure(page)
    yield "place judged, length measured"
    choose(page, "slice.png", picture(windowed(chest(), WINDOW_16_BIT, 16)))
    expect(page.get_by_role("button", name="Judge again with these")).to_be_visible()
    judged(page)
    yield "picture of an assumed scale"
    choose(page, "bad", b"GIF89a" + bytes(64))
    expect(page.get_by_role("alert")).to_contain_text("neither DICOM nor")
    yield "error"
    page.route("**/v1/studies?*", lambda _route: None)  # it is never answered
    choose(page, "series.zip", EXAMPLE_SERIES.read_bytes())
    expect(page.locator("#busy-text")).to_have_text("Judging")
    yield "progress"
    page.get_by_role("button", name="Stop").click()
    page.unroute("**/v1/studies?*")
    page.get_by_role("button", name="Search again").click()
    expect(page.locator("#findings .pick").first).to_be_visible()
    judged(page)
    yield "series judged"
    for summary in page.locator("summary").all():
        summary.click()
    page.locator("#viewport").press("?")
    expect(page.locator("#help")).to_be_visible()
    yield "keys"
    page.locator("#help").get_by_role("button").click()
    page.get_by_role("combobox", name="Language").select_option("zh")
    yield "zh, unfolded"
    page.emulate_media(color_scheme="dark")
    yield "zh, dark"
    page.locator("#language").select_option("en")
    yield "dark"
    refusal = {"code": "not_authorised", "detail": "No key.", "status": 401}
    page.route("**/v1/studies?*", lambda route: route.fulfill(status=401, json=refusal))
    page.get_by_role("button", name="Search again").click()
    expect(page.get_by_label("Key or token")).to_be_visible()
    yield "dark, token"


def measure(page: Page) -> None:
    page.locator("#viewport").press("l")
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()


def refusals(page: Page) -> set[Refusal]:
    return {(how, what, whose) for how, what, whose in page.evaluate("window.refused")}


@pytest.fixture(scope="module")
def seen(browser: Browser, service: Service) -> Seen:
    """One walk through all states."""
    assert AXE.is_file(), "axe-core is missing: make test-e2e gets it"
    page = patient_page(browser, 1440, 900)

    def with_strict_policy(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, STRICT[0]: STRICT[1]})

    page.route(service.url("/"), with_strict_policy)
    page.add_init_script(LISTEN)
    page.goto(service.url("/"))
    page.evaluate(AXE.read_text("utf-8"))
    grave = {}
    for state in states(page):
        found = page.evaluate(CHECK)
        assert found["passed"] > 10, state
        if found["grave"]:
            grave[state] = found["grave"]
    refused = refusals(page)
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))")
    put = refusals(page) - refused
    page.close()
    return Seen(grave, refused, put)


def test_no_state_has_a_serious_issue_for_people_who_see_or_move_otherwise(seen: Seen) -> None:
    assert seen.grave == {}


def test_nothing_is_refused_and_two_things_go_beyond_the_strictest_policy(seen: Seen) -> None:
    assert seen.refused <= NAMED
    assert ("enforce", "script-src-elem", "inline") in seen.put  # so refusals are noticed
