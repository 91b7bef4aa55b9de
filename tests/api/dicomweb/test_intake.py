"""What becomes of instances that come by STOW-RS, in process."""

from __future__ import annotations

import pytest
from pydicom.uid import MRImageStorage
from starlette.testclient import TestClient

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
