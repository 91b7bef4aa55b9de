"""What becomes of instances that come by STOW-RS, in process."""

from __future__ import annotations

import pytest
from pydicom.uid import MRImageStorage
from starlette.testclient import TestClient

from app.delivery.spool import spool
from app.settings import Settings
from phantoms.series import slice_file
from phantoms.slices import derived_uid, dicom, small
from tests.api.dicomweb.test_dicomweb import post, spooled
from tests.imaging.series_files import enhanced_file


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a spool that keeps what came."""
    return settings.model_copy(update={"spool_dir": settings.models_dir / "state", "quiet_seconds": 3600})


@pytest.mark.parametrize(("frames", "cut_frames"), [(1, 0.5), (3, 0.5), (3, 1.5)])
def test_a_file_cut_off_on_its_way_is_not_kept(
    client: TestClient, settings: Settings, frames: int, cut_frames: float
) -> None:
    """However many of its frames are whole."""
    data = enhanced_file([float(height) for height in range(frames)]) if frames > 1 else slice_file(0)
    frame_bytes = 2 * (32 * 32 if frames > 1 else 128 * 128)
    status, dataset = post(client, [data[: -int(cut_frames * frame_bytes)]])
    assert status == 409
    assert [failure.FailureReason for failure in dataset.FailedSOPSequence] == [0xC000]
    assert not spooled(settings)


def test_instances_are_counted_by_what_became_of_them(client: TestClient) -> None:
    other = dicom(small(), SOPClassUID=MRImageStorage, SOPInstanceUID=derived_uid("mr"))
    post(client, [slice_file(0), slice_file(1), other, b"no DICOM at all"])
    told = client.get("/metrics").text
    for outcome, count in (("stored", 2), ("left_out", 1), ("failed", 1)):
        assert f'lungscope_stow_instances_total{{outcome="{outcome}"}} {count}.0' in told


def test_answer_about_many_parts_comes_in_pieces_and_says_each(client: TestClient) -> None:
    body = b"--b\r\n\r\n\r\n" * 5000 + b"--b--\r\n"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    with client.stream("POST", "/dicom-web/studies", content=body, headers=headers) as response:
        told = [len(piece) for piece in response.iter_raw()]
    assert response.status_code == 409
    assert max(told) < 100_000


@pytest.mark.parametrize("parts", [1, 2, 300])
def test_answer_is_dicom_json(client: TestClient, parts: int) -> None:
    files = [slice_file(0), *[b"no DICOM"] * (parts - 1)]
    status, dataset = post(client, files)
    assert status == (200 if parts == 1 else 202)
    assert len(dataset.ReferencedSOPSequence) == 1
    assert len(dataset.get("OtherFailuresSequence", ())) == parts - 1


def test_parts_beyond_the_bound_are_refused(client: TestClient, settings: Settings) -> None:
    body = b"--b\r\n\r\n\r\n" * (settings.max_parts + 1) + b"--b--\r\n"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    response = client.post("/dicom-web/studies", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "form_too_large")
    assert str(settings.max_parts) in response.json()["expected"]
    assert not spooled(settings)


def test_spool_that_fills_while_a_request_writes_refuses_it(
    settings: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "CHECK_BYTES", 1000)
    limits = client.app.state.services.delivery.spool._limits  # type: ignore[attr-defined]  # typed as bare ASGI
    object.__setattr__(limits, "max_bytes", 40_000)
    files = [slice_file(index) for index in range(4)]
    boundary = b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n"
    body = boundary + boundary.join(files) + b"\r\n--b--\r\n"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    response = client.post("/dicom-web/studies", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (503, "spool_full")
    assert not spooled(settings)
