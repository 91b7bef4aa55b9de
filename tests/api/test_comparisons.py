"""`POST /v1/comparisons`, on models whose answers are arithmetic."""

from __future__ import annotations

import re
from html import unescape
from itertools import count
from typing import Any, Final

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from app.imaging.volume_candidates import VolumeCandidate, find_volume_candidates
from app.inference import series as inference
from app.judgement.comparison_answers import ComparisonAnswer
from phantoms.series import NODULE_SLICES, SIZE_PX, SLICES, SPACING_MM, slice_file, zipped
from phantoms.slices import SECRET_ID, Disc, chest
from tests.api.test_representations import items, objects_of
from tests.reports.pdf_text import pages_of

PLACE: Final = (37.0, 60.0)
ANSWER: Final = TypeAdapter(ComparisonAnswer)
STRUCTURED_REPORT: Final = "1.2.840.10008.5.1.4.1.1.88.34"
TRACKING_UID: Final = "112040"  # DCM


def series(diameter_mm: float, day: str, *, hu: float = 400.0, **attributes: Any) -> list[bytes]:
    """A series with a cylinder of this diameter, so that its volume goes with the square of it; none for 0."""
    files = []
    for index in range(SLICES):
        discs = [Disc(PLACE, diameter_mm, hu=hu)] if index in NODULE_SLICES and diameter_mm else []
        pixels = chest(discs, size_px=SIZE_PX, spacing_mm=SPACING_MM, seed=index)
        dates = {"AcquisitionDate": day, "ContentDate": day, "StudyDate": day}
        files.append(slice_file(index, pixels, **dates, **attributes))
    return files


def post(client: TestClient, current: list[bytes], prior: list[bytes], **headers: str) -> Any:
    """Both as zips."""
    return client.post("/v1/comparisons", files={"current": zipped(current), "prior": zipped(prior)}, headers=headers)


def decisions(client: TestClient) -> int:
    """How many judgements the service has counted."""
    counted = re.findall(r"^lungscope_decisions_total\{.*\} (.+)$", client.get("/metrics").text, re.MULTILINE)
    return sum(int(float(number)) for number in counted)


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("request_id", "timing_ms")}


@pytest.fixture(scope="module")
def prior() -> list[bytes]:
    return series(14.0, "20260101")


def test_a_nodule_of_twice_the_volume_after_a_hundred_days(client: TestClient, prior: list[bytes]) -> None:
    current = series(14.0 * 2**0.5, "20260411")
    response = post(client, current, prior, **{"Accept-Language": "zh"})
    assert response.status_code == 200, response.text
    answer = ANSWER.validate_json(response.content, strict=True, extra="forbid")
    (nodule,) = answer["nodules"]
    assert (nodule["verdict"], nodule["display"], answer["display"]) == ("grew", "增大", "增大：1")
    change, doubling = nodule["volume_change"], nodule["doubling_days"]
    assert change is not None
    assert doubling is not None
    assert change["value"] == pytest.approx(1, abs=0.2)  # pixels of 2.8 mm
    assert doubling["value"] == pytest.approx(100, abs=12)
    assert answer["interval"] == {"days": 100, "source": "AcquisitionDate"}
    assert nodule["apart_mm"] == pytest.approx(0, abs=3)
    assert SECRET_ID not in response.text
    assert response.headers["content-language"] == "zh"

    # Each judgement is that of /v1/studies, and its result objects call the nodule what the comparison calls it.
    alone = client.post("/v1/studies", content=zipped(prior), headers={"Accept-Language": "zh"})
    assert without_times(response.json()["prior"]) == without_times(alone.json())
    (report,) = objects_of(client.post("/v1/studies", content=zipped(prior), headers={"Accept": "application/dicom"}))[
        STRUCTURED_REPORT
    ]
    assert nodule["tracking_uid"] in {item.UID for item in items(report, TRACKING_UID)}


def test_files_one_by_one_are_as_good_and_the_same_series_is_stable(client: TestClient, prior: list[bytes]) -> None:
    parts = [(name, data) for name in ("current", "prior") for data in prior]
    response = client.post("/v1/comparisons", files=parts, data={"roi": "1,2"})
    assert response.status_code == 200, response.text
    answer = response.json()
    (nodule,) = answer["nodules"]
    assert (nodule["verdict"], nodule["no_doubling"], nodule["doubling_days"]) == ("stable", "same_day", None)
    assert nodule["volume_change"]["value"] == 0
    assert [note["code"] for note in answer["quality"]] == ["parameter_ignored", "same_day", "same_series"]
    assert answer["registration"]["shift_mm"] == pytest.approx(0, abs=0.1)


def test_a_nodule_that_is_there_once_is_new_or_gone(client: TestClient, prior: list[bytes]) -> None:
    empty = series(0.0, "20260101")
    for current, before, verdict in ((prior, empty, "new"), (empty, prior, "gone")):
        (nodule,) = post(client, current, before).json()["nodules"]
        assert nodule["verdict"] == verdict
        assert nodule["expected"]["center_px"] == pytest.approx(PLACE, abs=1.5)
        assert nodule["expected"]["slice"]["index"] == pytest.approx(8, abs=1)


def test_a_nodule_that_one_search_has_missed_is_measured_at_its_place(
    client: TestClient, prior: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search of the current series, which is the first, finds no candidates."""
    searches, search = count(), find_volume_candidates

    def blind(*given: Any, **named: Any) -> tuple[VolumeCandidate, ...]:
        return search(*given, **named) if next(searches) else ()

    monkeypatch.setattr(inference, "find_volume_candidates", blind)
    answer = ANSWER.validate_json(post(client, prior, prior).content, strict=True, extra="forbid")
    (nodule,) = answer["nodules"]
    assert answer["current"]["findings"] == []
    assert (nodule["current"], nodule["prior"], nodule["verdict"]) == (None, 1, "stable")
    assert nodule["display"] == "stable (missed by the search of the current scan)"
    looked = nodule["looked"]
    assert looked is not None
    assert (looked["series"], looked["id"]) == ("current", 1)
    assert looked["center_px"] == pytest.approx(PLACE, abs=1.5)
    assert nodule["volume_change"] is not None
    assert nodule["volume_change"]["value"] == pytest.approx(0, abs=0.1)
    assert "search_missed" in [note["code"] for note in answer["quality"]]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PatientID": "ANOTHER"}, "different_patients"),
        ({"PatientBirthDate": "19010101"}, None),  # the prior states none
        ({}, None),
    ],
)
def test_two_patients_are_refused(
    client: TestClient, prior: list[bytes], changes: dict[str, Any], code: str | None
) -> None:
    judged = decisions(client)
    response = post(client, series(14.0, "20260411", **changes), prior)
    assert response.json().get("code") == code
    assert response.status_code == (422 if code else 200)
    assert decisions(client) == judged + (0 if code else 2)  # what is refused is not judged first
    assert SECRET_ID not in response.text


def test_a_prior_that_is_later_is_refused_before_anything_is_judged(client: TestClient, prior: list[bytes]) -> None:
    judged = decisions(client)
    response = post(client, prior, series(14.0, "20260411"))
    assert (response.status_code, response.json()["code"]) == (422, "prior_after_current")
    assert "Swap" in response.json()["remedy"]
    assert decisions(client) == judged


def test_guidelines_are_asked_about_the_current_series_beside_the_prior(client: TestClient) -> None:
    """Of 150 HU, so that it is not calcium."""
    parts = {"current": zipped(series(20.0, "20260411", hu=150.0)), "prior": zipped(series(14.0, "20260101", hu=150.0))}
    asked = {"guidelines": "bts,c-lung-rads", "context": '{"age_years": 62}'}
    response = client.post("/v1/comparisons", files=parts, data=asked)
    answer = ANSWER.validate_json(response.content, strict=True, extra="forbid")
    assert "guidelines" in answer
    bts, other = answer["guidelines"]["assessments"]
    (found,) = bts["findings"]
    assert (found["finding"], found["category"]) == (answer["nodules"][0]["current"], "subsolid-grew")
    codes = [{each["code"] for each in said["missing"]} for said in (bts, other)]
    assert [{"prior_ct", "prior_unused", "follow_up_step"} & each for each in codes] == [
        {"follow_up_step"},
        {"prior_unused"},
    ]
    assert {"name": "age_years", "value": 62, "origin": "context"} in answer["guidelines"]["known"]
    assert "guidelines" not in answer["current"]
    page = client.post("/v1/comparisons", files=parts, data=asked, headers={"Accept": "text/html"}).text
    paper = client.post("/v1/comparisons", files=parts, data=asked, headers={"Accept": "application/pdf"}).content
    on_paper = "".join("".join(pages_of(paper)).split())
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    told = [[unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows]
    assert ["", str(found["finding"]), found["category"], ", ".join(found["possible"]), found["rule"]] in told
    for said in (bts, other):
        assert said["name"] in {row[0] for row in told}
        assert said["source"] in {row[-1] for row in told}
        for missing in said["missing"]:
            assert missing["message"] in unescape(page)
    for words in (found["category"], found["rule"], bts["source"], "age_years 62"):
        assert "".join(words.split()) in on_paper
    wrong = client.post("/v1/comparisons", files=parts, data={"guidelines": "none"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_parameter")
    logged = client.post("/v1/comparisons?context={}", files=parts)
    assert (logged.status_code, logged.json()["code"]) == (400, "invalid_parameter")


def test_the_same_in_every_format(client: TestClient, prior: list[bytes]) -> None:
    current = series(20.0, "20260411")

    def asked(accept: str) -> Any:
        return post(client, current, prior, Accept=accept, **{"Accept-Language": "zh"})

    (nodule,) = asked("application/json").json()["nodules"]
    more = f"+{100 * nodule['volume_change']['value']:.0f} %"
    page = asked("text/html, application/json;q=0.5")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert more in page.text
    assert "增大：1" in page.text
    paper = asked("application/pdf")
    assert paper.content.startswith(b"%PDF-")
    assert more.replace(" ", "") in "".join(pages_of(paper.content)).replace(" ", "")
    (report,) = objects_of(asked("application/dicom"))[STRUCTURED_REPORT]
    assert nodule["tracking_uid"] in {item.UID for item in items(report, TRACKING_UID)}
    bundle = asked("application/fhir+json").json()
    changes = [entry["resource"] for entry in bundle["entry"] if "method" in entry["resource"]]
    assert [round(each["valueQuantity"]["value"]) for each in changes] == [
        round(100 * nodule["volume_change"]["value"])
    ]
    for response in (page, paper):
        assert SECRET_ID.encode() not in response.content
        assert response.headers["content-language"] == "zh"


def test_paper_goes_into_a_bundle_alone(client: TestClient, prior: list[bytes]) -> None:
    parts = {"current": zipped(prior), "prior": zipped(prior)}
    refused = client.post("/v1/comparisons", files=parts, data={"pdf": "true"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
    fhir = {"Accept": "application/fhir+json"}
    response = client.post("/v1/comparisons", files=parts, data={"pdf": "true"}, headers=fhir)
    (form,) = response.json()["entry"][0]["resource"]["presentedForm"]
    assert form["contentType"] == "application/pdf"


def test_without_a_date_there_is_no_doubling_time(client: TestClient, prior: list[bytes]) -> None:
    answer = post(client, series(14.0 * 2**0.5, ""), prior).json()
    assert answer["nodules"][0]["verdict"] == "grew"
    assert answer["nodules"][0]["no_doubling"] == "dates_missing"
    assert answer["interval"] == {"days": None, "source": None}


def test_what_are_not_two_series_is_refused(client: TestClient, prior: list[bytes]) -> None:
    archive = zipped(prior)
    refused = [
        client.post("/v1/comparisons", content=archive, headers={"Content-Type": "application/zip"}),
        client.post("/v1/comparisons", files={"current": archive}),
        client.post("/v1/comparisons", files={"current": archive, "before": archive}),
    ]
    for response in refused:
        assert (response.status_code, response.json()["code"]) == (400, "two_series_expected")
    unreadable = client.post("/v1/comparisons", files={"current": archive, "prior": b"neither"})
    assert unreadable.status_code in (415, 422)
    assert unreadable.json()["found"].endswith("of prior")
    accept = {"Accept": "image/png"}
    response = client.post("/v1/comparisons", files={"current": archive, "prior": archive}, headers=accept)
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


def test_the_contract_has_the_operation(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/v1/comparisons"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["current", "prior"]
    assert "`different_patients`, `prior_after_current`" in operation["responses"]["422"]["description"]
    assert "two_series_expected" in operation["responses"]["400"]["description"]
