"""A report that comes with a series. Every report here was written for these tests."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from phantoms.series import SLICES, slice_file, zipped
from tests.api.conftest import declared

TEXT = "  A nodule of 500 mm in the left lung.\r\nAn {:.0f} mm nodule. No mass."


@pytest.fixture(scope="module")
def archive() -> bytes:
    return zipped([slice_file(n) for n in range(SLICES)])


def post(client: TestClient, archive: bytes, *reports: Any, **given: Any) -> Any:
    files = [("files", ("a.zip", archive, "application/zip")), *(("report", each) for each in reports)]
    return client.post("/v1/studies", files=files, **given)


def test_the_answer_says_where_report_and_findings_agree(client: TestClient, archive: bytes) -> None:
    without = post(client, archive).json()
    assert "report" not in without
    text = TEXT.format(without["findings"][0]["diameter_mm"])
    response = post(client, archive, ("report.txt", text.encode(), "text/plain"))
    answer = declared(response.content)
    assert response.json()["findings"] == without["findings"]
    report = answer["report"]
    assert [line["outcome"] for line in report["agreement"]][:2] == ["text_only", "match"]
    assert (report["agreement"][1]["nodule"], report["agreement"][1]["finding"]) == (1, 1)
    assert "size" in report["agreement"][1]["basis"]
    first = report["sentences"][0]
    assert text[slice(*first["span"])] == first["text"] == "A nodule of 500 mm in the left lung."


def test_a_field_is_as_good_as_a_file_and_an_empty_one_is_none(client: TestClient, archive: bytes) -> None:
    field = post(client, archive, data={"report": "No nodule. " + "The lungs are clear. " * 400}).json()
    assert [line["outcome"] for line in field["report"]["agreement"]][:1] == ["denied"]
    assert "report" not in post(client, archive, data={"report": " \n"}).json()


@pytest.mark.parametrize(
    ("reports", "accept", "code"),
    [
        (("No nodule.", "Two."), "application/json", "invalid_parameter"),
        (("No nodule.",), "application/dicom", "invalid_parameter"),
        (("No\x1bnodule.",), "application/json", "malformed_text"),
        (("nodule " * 20_000,), "application/json", "input_too_large"),
    ],
)
def test_a_report_that_cannot_be_compared_is_a_problem(
    client: TestClient, archive: bytes, reports: tuple[str, ...], accept: str, code: str
) -> None:
    sent = [("r.txt", each.encode(), "text/plain") for each in reports]
    assert post(client, archive, *sent, headers={"Accept": accept}).json()["code"] == code


def test_a_report_in_the_address_is_not_read(client: TestClient, archive: bytes) -> None:
    answer = post(client, archive, params={"report": "No nodule."}).json()
    assert "report" not in answer
    assert "parameter_ignored" in {note["code"] for note in answer["quality"]}
