"""Guidelines and what is known of the patient, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from phantoms.series import NODULE, SLICES, slice_file, zipped
from tests.api.conftest import declared

ROI = ",".join(map(str, NODULE.centre_px))
CONTEXT = '{"age_years": 62, "sex": "male", "smoking": "never", "family_history": false, "emphysema": false}'


@pytest.fixture(scope="module")
def archive() -> bytes:
    return zipped([slice_file(n) for n in range(SLICES)])


def predict(client: TestClient, **fields: str) -> Any:
    return client.post("/v1/predict", files={"file": slice_file(8)}, data={"roi": ROI, **fields})


def test_they_are_off_until_they_are_asked_for(client: TestClient) -> None:
    assert "guidelines" not in declared(predict(client, context=CONTEXT).content)
    answer = declared(predict(client, guidelines="lung-rads,brock").content)
    assert [each["name"] for each in answer["guidelines"]["assessments"]] == ["lung-rads", "brock"]
    of_query = client.post(f"/v1/predict?roi={ROI}&guidelines=mayo", content=slice_file(8))
    assert [each["name"] for each in declared(of_query.content)["guidelines"]["assessments"]] == ["mayo"]


def test_every_guideline_on_a_roi_and_on_a_series(client: TestClient, archive: bytes) -> None:
    names = "fleischner,lung-rads,bts,c-lung-rads,brock,mayo"
    of_roi = declared(predict(client, guidelines=names, context=CONTEXT).content)
    files = [
        ("files", ("a.zip", archive, "application/zip")),
        ("context", ("context.json", CONTEXT.encode(), "application/json")),
    ]
    of_series = declared(client.post("/v1/studies", files=files, data={"guidelines": names}).content)
    for answer in (of_roi, of_series):
        told = {fact["name"]: fact["value"] for fact in answer["guidelines"]["known"]}
        assert (told["age_years"], told["sex"], told["emphysema"]) == (62, "male", False)
        assert [each["name"] for each in answer["guidelines"]["assessments"]] == names.split(",")
        ids = {finding["id"] for finding in answer["findings"] if finding["size"] is not None}
        for each in answer["guidelines"]["assessments"]:
            if each["applies"]:
                found = [line["finding"] for line in (*each.get("findings", ()), *each.get("probabilities", ()))]
                assert set(found) == ids
    assert all(each["category"] is None for each in of_roi["guidelines"]["assessments"])
    assert of_series["findings"][0]["size"] is not None
    assert "volume_mm3" in of_series["findings"][0]["size"]
    assert of_series["lungs"]["slice_thickness_mm"] == 2.5


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({"guidelines": "acr"}, ""),
        ({"guidelines": "mayo,"}, ""),
        ({"context": "62"}, ""),
        ({"context": '{"age_years": 620}'}, ""),
        ({}, "?context={}"),
    ],
)
def test_what_cannot_be_read_is_a_problem_that_repeats_nothing(
    client: TestClient, fields: dict[str, str], query: str
) -> None:
    response = client.post(f"/v1/predict{query}", files={"file": slice_file(8)}, data=fields)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert not any(text in response.text for text in fields.values() if len(text) > 2 and text.startswith("{"))


def test_the_document_says_what_is_asked_for(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v1/predict", "/v1/studies"):
        operation = paths[path]["post"]
        assert "guidelines" in {parameter["name"] for parameter in operation["parameters"]}
        assert "context" not in {parameter["name"] for parameter in operation["parameters"]}
        part = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["context"]
        assert "age_years" in part["contentSchema"]["properties"]
