"""docs/pacs.md as written: a CT series stored in Orthanc comes back as SR, SEG and pictures, with no script between."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage, SegmentationStorage

from benchmarks.serving.service import Service, eventually, free_port
from tests.interop.conftest import Orthanc, require_orthanc

pytestmark = pytest.mark.interop
LARGEST_SHARE = 0.1  # of the source, for all results
TOKEN = secrets.token_hex(16)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Orthanc]:
    """Orthanc and the service, each sending to the other."""
    require_orthanc()
    port = free_port()
    orthanc = Orthanc(tmp_path, port, TOKEN)
    service = Service(
        port=port,
        environment={
            "LUNGSCOPE_SPOOL_DIR": str(tmp_path / "state"),
            "LUNGSCOPE_API_TOKEN": TOKEN,
            "LUNGSCOPE_PACS_URL": f"{orthanc.root}/dicom-web",
        },
    )
    service.wait_until_ready()
    yield orthanc
    service.process.terminate()
    assert service.end() == 0
    orthanc.end()


def test_series_comes_back_as_results_in_its_own_study(pair: Orthanc, lidc_0012: list[bytes]) -> None:
    for data in lidc_0012:
        pair.upload(data)
    (study,) = pair.json("/studies")
    results = results_in(pair, study)
    assert {Comprehensive3DSRStorage, SecondaryCaptureImageStorage, SegmentationStorage} <= results.keys()
    source_bytes = sum(map(len, lidc_0012))
    stored_bytes = sum(each["FileSize"] for each in pair.json(f"/studies/{study}/instances"))
    assert stored_bytes - source_bytes <= LARGEST_SHARE * source_bytes
    assert len(pair.json("/studies")) == 1
    assert len(pair.json("/patients")) == 1
    picture = pair.get(f"/instances/{results[SecondaryCaptureImageStorage]}/preview", Accept="image/png")
    assert picture.status == 200
    pixels = np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"))
    assert pixels.std() > 10
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() > 50
    report = dcmread(BytesIO(pair.get(f"/instances/{results[Comprehensive3DSRStorage]}/file").data))
    source = dcmread(BytesIO(lidc_0012[0]), stop_before_pixels=True)
    assert report.StudyInstanceUID == source.StudyInstanceUID
    assert report.PatientID == source.PatientID


def results_in(orthanc: Orthanc, study: str) -> dict[str, str]:
    """One instance of every SOP class in a study, once the last result, which is the segmentation, is there."""

    def complete() -> dict[str, str] | None:
        found = {sop_class(orthanc, each["ID"]): each["ID"] for each in orthanc.json(f"/studies/{study}/instances")}
        return found if SegmentationStorage in found else None

    return eventually(complete) or {}


def sop_class(orthanc: Orthanc, instance: str) -> str:
    return orthanc.get(f"/instances/{instance}/metadata/SopClassUid").data.decode()
