"""The shipped models on two whole scans. One scan each: this shows that the parts fit, not how well they do."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.api.conftest import wait_until_ready

MIN_READERS, MIN_DIAMETER_MM = 3, 4.0
MAX_DISTANCE_PX = 8.0
MAX_OTHERS = 6  # findings that are none of these nodules
TUMOUR = (110.0, 171.0, -193.0)  # column, row, and z in mm of its middle: read by the maintainers, no radiologist
TUMOUR_RADIUS_MM = 12.0
TUMOUR_DIAMETER_MM = 20.0  # about, by the same


@dataclass(frozen=True)
class Nodule:
    """A tabulated nodule: its name, the slice on which it is largest, and its place there."""

    name: str
    sop_instance_uid: str
    centre_px: tuple[float, float]

    def is_at(self, finding: dict[str, Any]) -> bool:
        on = {ref["sop_instance_uid"] for ref in finding["slices"]}
        return self.sop_instance_uid in on and math.dist(finding["center_px"], self.centre_px) <= MAX_DISTANCE_PX


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings())) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def nodules(shared_data: Path) -> list[Nodule]:
    with (shared_data / "lidc-nodules" / "nodules.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["patient"] == "LIDC-IDRI-0012"]
    return [
        Nodule(row["nodule_id"], row["sop_uid"], (float(row["col"]), float(row["row"])))
        for row in rows
        if int(row["n_readers"]) >= MIN_READERS and float(row["eq_diameter_mm"]) >= MIN_DIAMETER_MM
    ]


def judge(client: TestClient, folder: Path) -> dict[str, Any]:
    files = [("files", path.read_bytes()) for path in folder.glob("*.dcm")]
    response = client.post("/v1/studies", files=files)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_every_nodule_that_three_readers_marked_is_found(
    client: TestClient, shared_data: Path, nodules: list[Nodule]
) -> None:
    answer = judge(client, shared_data / "series" / "lidc-0012")
    assert len(nodules) == 9
    found = {nodule.name for nodule in nodules if any(map(nodule.is_at, answer["findings"]))}
    assert {nodule.name for nodule in nodules} - found == set()
    others = [finding for finding in answer["findings"] if not any(nodule.is_at(finding) for nodule in nodules)]
    assert len(others) <= MAX_OTHERS
    assert answer["decision"] in ("cancer_suspected", "indeterminate")


def test_tumour_is_among_the_first(client: TestClient, shared_data: Path) -> None:
    answer = judge(client, shared_data / "series" / "cptac-c3n-00247")
    column, row, z = TUMOUR
    spacing = answer["source"]["pixel_spacing_mm"][0]
    first = [
        finding
        for finding in answer["findings"][:3]
        if math.dist(finding["center_px"], (column, row)) * spacing <= TUMOUR_RADIUS_MM
        and abs(finding["center_mm"][2] - z) <= TUMOUR_RADIUS_MM
    ]
    assert first
    assert answer["decision"] in ("cancer_suspected", "indeterminate")


def test_where_and_how_big_the_tumour_is(client: TestClient, shared_data: Path) -> None:
    """A woman of 77, B70f at 3 mm. The mass of about 20 mm lies on the dome of the right diaphragm, below which the
    lung goes on behind: the middle third, no lobe."""
    files = [("files", path.read_bytes()) for path in (shared_data / "series" / "cptac-c3n-00247").glob("*.dcm")]
    answer = client.post("/v1/studies", files=files, data={"guidelines": "lung-rads,brock,bts"}).json()
    column, row, z = TUMOUR
    spacing = answer["source"]["pixel_spacing_mm"][0]
    (tumour,) = [
        finding
        for finding in answer["findings"][:3]
        if math.dist(finding["center_px"], (column, row)) * spacing <= TUMOUR_RADIUS_MM
        and abs(finding["center_mm"][2] - z) <= TUMOUR_RADIUS_MM
    ]
    assert (tumour["location"]["side"], tumour["location"]["side_assumed"]) == ("right", False)
    assert tumour["location"]["third"] == "middle"
    assert tumour["size"]["mean_diameter_mm"]["value"] == pytest.approx(TUMOUR_DIAMETER_MM, abs=4)
    assert tumour["size"]["attenuation"]["code"] == "solid"
    volume = tumour["size"]["volume_mm3"]
    assert volume["interval"][0] <= volume["value"] <= volume["interval"][1]
    assert (answer["lungs"]["kernel"], answer["lungs"]["slice_thickness_mm"]) == ("B70f", 3.0)
    told = {fact["name"]: (fact["value"], fact["origin"]) for fact in answer["guidelines"]["known"]}
    assert told == {"age_years": (77, "dicom"), "sex": ("female", "dicom")}
    lung_rads, brock, _ = answer["guidelines"]["assessments"]
    (row_of,) = [each for each in lung_rads["findings"] if each["finding"] == tumour["id"]]
    assert row_of["category"] == "4B"
    (risk,) = [each for each in brock["probabilities"] if each["finding"] == tumour["id"]]
    assert risk["interval"][0] < risk["interval"][1]
