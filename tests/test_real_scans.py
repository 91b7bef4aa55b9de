"""The shipped model on real scans: one nodule gives one probability, however it is sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from app.imaging.patches import PatchSpec, resample
from app.imaging.read import read_slice
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import wait_until_ready

SAME_PATCH = 1e-4  # float32 arithmetic in another order
AS_16_BIT = 0.005  # 4096 HU in 65536 steps
AS_8_BIT = 0.05  # 1400 HU in 256 steps


@dataclass(frozen=True)
class Nodule:
    """A nodule of LIDC-IDRI-0012 as tabulated: its slice, its centre and its patch at native spacing."""

    name: str
    dicom: bytes
    roi: tuple[int, int]
    patch: NDArray[np.float32]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings())) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def nodules(shared_data: Path) -> list[Nodule]:
    folder = shared_data / "lidc-nodules"
    with np.load(folder / "patches.npz") as patches:
        row_of = {str(name): n for n, name in enumerate(patches["nodule_id"])}
        hu = patches["hu"]
    files = {
        pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID: path
        for path in (shared_data / "series" / "lidc-0012").glob("*.dcm")
    }
    with (folder / "nodules.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["patient"] == "LIDC-IDRI-0012"]
    return [
        Nodule(
            row["nodule_id"],
            files[row["sop_uid"]].read_bytes(),
            (int(row["col"]), int(row["row"])),
            hu[row_of[row["nodule_id"]]].astype(np.float32),
        )
        for row in rows
    ]


def post(client: TestClient, body: bytes, **parameters: str) -> dict[str, Any]:
    response = client.post("/v1/predict", params=parameters, content=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def probability(client: TestClient, body: bytes, roi: tuple[int, int], **parameters: str) -> float:
    (finding,) = post(client, body, roi=f"{roi[0]},{roi[1]}", **parameters)["findings"]
    assert finding["probability"] is not None
    return float(finding["probability"])


def as_png(hu: NDArray[np.float32], centre: float, width: float, dtype: type[np.uint8] | type[np.uint16]) -> bytes:
    values = np.clip((hu - (centre - width / 2)) / width, 0, 1) * np.iinfo(dtype).max
    _, encoded = cv2.imencode(".png", values.round().astype(dtype))
    return encoded.tobytes()


def test_every_tabulated_nodule_gives_the_probability_of_its_patch(client: TestClient, nodules: list[Nodule]) -> None:
    model = client.app.state.services.registry.models().classifier  # type: ignore[attr-defined]  # typed as bare ASGI
    assert len(nodules) == 12
    for nodule in nodules:
        spacing = read_slice(nodule.dicom).spacing_mm
        spec: PatchSpec = model.patch_spec
        middle = (nodule.patch.shape[0] - 1) / 2
        patch, _ = resample(nodule.patch, spacing, (middle, middle), spec)
        expected = float(model.backend.run(patch[None, ..., None])["malignancy"][0])
        assert probability(client, nodule.dicom, nodule.roi) == pytest.approx(expected, abs=SAME_PATCH), nodule.name


def test_dicom_and_pictures_agree(client: TestClient, nodules: list[Nodule]) -> None:
    for nodule in nodules:
        ct_slice = read_slice(nodule.dicom)
        spacing = ",".join(map(str, ct_slice.spacing_mm))
        expected = probability(client, nodule.dicom, nodule.roi)
        for dtype, centre, width, tolerance in (
            (np.uint16, 1024, 4096, AS_16_BIT),
            (np.uint8, -300, 1400, AS_8_BIT),
        ):
            png = as_png(ct_slice.hu, centre, width, dtype)
            found = probability(client, png, nodule.roi, pixel_spacing_mm=spacing, window=f"{centre},{width}")
            assert found == pytest.approx(expected, abs=tolerance), (nodule.name, dtype)


def test_places_that_are_no_nodule(client: TestClient, nodules: list[Nodule]) -> None:
    body = nodules[0].dicom
    hu = read_slice(body).hu
    dense = cv2.erode((hu > 300).astype(np.uint8), np.ones((7, 7), np.uint8))
    row, column = np.argwhere(dense)[0].tolist()
    for roi, code in ((f"{column},{row}", "roi_on_bone"), ("256,40", "roi_in_air")):
        answer = post(client, body, roi=roi)
        assert (answer["decision"], answer["probability"]) == ("rejected", None)
        assert {code, "not_a_nodule"} <= set(answer["reasons"])
        assert code in {note["code"] for note in answer["quality"]}
    outside = client.post("/v1/predict?roi=512,10", content=body)
    assert (outside.status_code, outside.json()["code"]) == (422, "roi_outside_image")


def test_slice_without_roi_finds_a_known_nodule(client: TestClient, nodules: list[Nodule]) -> None:
    largest = next(nodule for nodule in nodules if nodule.name == "34")
    answer = post(client, largest.dicom)
    assert answer["decision"] in ("cancer_suspected", "indeterminate")
    distances = [np.hypot(*np.subtract(f["center_px"], largest.roi)) for f in answer["findings"]]
    assert min(distances) < 8


@pytest.mark.parametrize("folder", ["dicom-variants", "not-lung-ct", "malformed"])
def test_other_files_are_never_judged_and_never_a_5xx(client: TestClient, shared_data: Path, folder: str) -> None:
    paths = sorted((shared_data / folder).iterdir())
    assert len(paths) >= 15
    for path in paths:
        for parameters in ({}, {"roi": "100,100"}):
            response = client.post("/v1/predict", params=parameters, content=path.read_bytes())
            answer = response.json()
            if response.status_code == 200:
                assert (answer["decision"], answer["probability"]) == ("rejected", None), path.name
                assert answer["reasons"], path.name
            else:
                assert 400 <= response.status_code < 500, path.name
                assert answer["code"], path.name


def test_answer_holds_no_patient_data(client: TestClient, shared_data: Path) -> None:
    path = next(iter(sorted((shared_data / "series" / "lidc-0012").glob("*.dcm"))))
    dataset = pydicom.dcmread(path)
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = "Secret^Name", "SECRET-ID", "SECRET-NO"
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert "secret" not in client.post("/v1/predict", content=stream.getvalue()).text.lower()
