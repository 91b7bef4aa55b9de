"""What the DIMSE door takes in, and what it answers to the rest."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
)
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when it is imported

from app.audit.trail import AuditTrail
from app.delivery.spool import spool
from app.delivery.spool.spool import Spool, SpoolLimits
from app.intake import Intake
from benchmarks.serving.service import eventually
from phantoms.series import slice_file
from phantoms.slices import PixelCoding, derived_uid, dicom, small
from tests.dimse.caller import ABORTED, Caller, dataset_of, pdv
from tests.dimse.conftest import QUIET_S, SETTLE_S, SLICE, UID_0, Site, opened
from tests.imaging.series_files import enhanced_file
from tests.small_disk import fill, small_disk

STUDY, SERIES = derived_uid("study"), derived_uid("series")


def written(instance: Path, data: bytes) -> bool:
    """Whether a stored file holds these bytes as its data set."""
    return dataset_of(instance.read_bytes()) == data


def test_a_series_of_one_association_is_stored_and_complete_when_that_is_released(site: Site, tmp_path: Path) -> None:
    ae = AE("CT01")
    ae.add_requested_context(Verification)
    ae.add_requested_context(CTImageStorage)
    association = ae.associate("127.0.0.1", site.port, ae_title="LUNGSCOPE")
    assert association.send_c_echo().Status == 0
    for index in range(3):
        path = tmp_path / "slice.dcm"
        path.write_bytes(slice_file(index))
        assert association.send_c_store(path).Status == 0
        assert len(site.instances()) == index + 1
    assert site.spool.claim(time.time() + QUIET_S - 1) is None
    association.release()
    claim = eventually(lambda: site.spool.claim(time.time() + SETTLE_S + 1))
    assert claim is not None
    assert {dcmread(path).SOPInstanceUID for path in claim.paths} == {
        derived_uid(f"slice {index}") for index in range(3)
    }
    claim.release()
    assert [each.state for each in site.store.statuses(STUDY, site.spool.places())] == ["judging"]
    assert site.counted("associations", "released")
    assert not site.leftovers()


def test_an_association_for_each_instance_waits_for_the_long_pause(site: Site) -> None:
    with Caller(site.port) as caller:
        assert caller.store(SLICE, uid=UID_0) == 0
        caller.release()
    assert site.counted("associations", "released")
    assert site.spool.claim(time.time() + QUIET_S - 1) is None
    assert site.spool.claim(time.time() + QUIET_S + 1) is not None


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, JPEGLSLossless])
def test_an_instance_keeps_its_bytes_and_the_syntax_that_was_agreed_on(site: Site, syntax: UID) -> None:
    data = dataset_of(dicom(small(), PixelCoding(transfer_syntax=syntax), SOPInstanceUID=UID_0))
    with Caller(site.port, syntax=syntax) as caller:
        assert caller.store(data, uid=UID_0) == 0
    (instance,) = site.instances()
    assert written(instance, data)
    assert dcmread(instance).file_meta.TransferSyntaxUID == syntax


def test_enhanced_ct_is_a_series_by_itself(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "enhanced.dcm"
    path.write_bytes(enhanced_file([0.0, 1.0, 2.0]))
    ae = AE("PACS")
    ae.add_requested_context(EnhancedCTImageStorage)
    association = ae.associate("127.0.0.1", site.port, ae_title="LUNGSCOPE")
    assert association.send_c_store(path).Status == 0
    association.abort()
    assert site.spool.claim(time.time() + SETTLE_S + 1) is not None


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")
@pytest.mark.parametrize(
    ("attributes", "given", "status", "outcome"),
    [
        ({"SOPClassUID": MRImageStorage}, {}, 0xA900, "failed"),
        ({"SOPInstanceUID": "1.2.3"}, {}, 0xA900, "failed"),
        ({"SeriesInstanceUID": None}, {}, 0xA900, "failed"),
        ({"StudyInstanceUID": "no UID"}, {}, 0xC000, "failed"),
        ({"Rows": None}, {}, 0xC000, "failed"),
        ({"Modality": "MR"}, {}, 0xB006, "left_out"),
        ({}, {"sop_class": MRImageStorage}, 0x0122, "failed"),
        ({}, {"uid": "no UID"}, 0xC000, "failed"),
    ],
)
def test_an_object_that_cannot_be_judged_gets_the_status_of_its_fault(
    site: Site, attributes: dict[str, Any], given: dict[str, str], status: int, outcome: str
) -> None:
    with Caller(site.port) as caller:
        data = dataset_of(slice_file(0, **attributes))
        assert caller.store(data, **{"uid": UID_0, **given}) == status
        assert site.counted("instances", outcome)
        assert not site.instances()
        assert not site.leftovers()
        assert caller.store(SLICE, uid=UID_0) == 0  # the association goes on
    assert len(site.instances()) == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"no data set at all", 0xC000), (SLICE[:-5000], 0xC000), (SLICE[:300], 0xA900), (None, 0xC000)],
)
def test_a_data_set_that_is_damaged_or_missing_is_not_stored(site: Site, data: bytes | None, status: int) -> None:
    with Caller(site.port) as caller:
        assert caller.store(data, uid=UID_0) == status
    assert not site.instances()


@pytest.mark.parametrize(
    ("calling", "called", "rejection", "outcome"),
    [
        ("STRANGER", "LUNGSCOPE", (1, 1, 3), "unknown_caller"),
        ("ct01", "LUNGSCOPE", (1, 1, 3), "unknown_caller"),
        ("CT01", "ANY-SCP", (1, 1, 7), "unknown_title"),
    ],
)
def test_who_is_not_known_or_calls_somebody_else_is_rejected(
    site: Site, calling: str, called: str, rejection: tuple[int, ...], outcome: str
) -> None:
    with Caller(site.port, calling, called) as caller:
        assert caller.rejection == rejection
    assert site.counted("associations", outcome)


def test_a_spool_that_is_full_is_out_of_resources_and_says_so_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=len(SLICE)) as site, Caller(site.port) as caller:
        assert caller.store(SLICE, uid=UID_0) == 0
        assert caller.store(SLICE, uid=UID_0) == 0xA700
        assert caller.echo() == 0
        assert site.counted("instances", "refused")
        assert len(site.instances()) == 1


def test_a_spool_that_fills_meanwhile_is_out_of_resources(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "CHECK_BYTES", 1000)
    object.__setattr__(site.spool._limits, "max_bytes", 20_000)
    with Caller(site.port) as caller:
        assert caller.store(SLICE, uid=UID_0) == 0xA700
    assert not site.instances()
    assert not site.leftovers()


def test_a_disk_that_is_full_is_out_of_resources_and_keeps_nothing_half(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 10) as disk, opened(disk) as site, Caller(site.port) as caller:
        assert caller.store(bytes(12 << 20), uid=UID_0) == 0xA700  # it fills while it comes
        assert not site.leftovers()
        filler = fill(disk)
        assert caller.store(SLICE, uid=UID_0) == 0xA700
        filler.unlink()
        assert eventually(lambda: caller.store(SLICE, uid=UID_0) == 0)
        assert len(site.instances()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="writes to /dev/full")
def test_what_a_full_disk_did_not_take_is_not_tried_again_when_it_is_closed(tmp_path: Path) -> None:
    spooled = Spool(tmp_path, SpoolLimits(1 << 20, 1, 1, 1))
    with (
        spooled.reception("a") as reception,
        Path("/dev/full").open("wb") as full,
        pytest.MonkeyPatch.context() as patches,
    ):
        patches.setattr(reception, "open_part", lambda: full)
        intake = Intake(reception)
        intake.begin()
        intake.write(b"bytes that wait in the buffer")
        intake.close()
    assert not intake.counts()["stored"]


def test_what_is_stored_is_in_the_audit_trail_by_keyed_hashes(tmp_path: Path) -> None:
    trail = AuditTrail.at(tmp_path / "audit")
    trail.start()
    with opened(tmp_path / "state", trail=trail) as site:
        with Caller(site.port) as caller:
            assert caller.store(SLICE, uid=UID_0) == 0
            caller.release()
        with Caller(site.port, "STRANGER") as caller:
            assert caller.rejection
        assert site.counted("associations", "unknown_caller")
    trail.close()
    told = "".join(path.read_text() for path in (tmp_path / "audit").glob("*/*.jsonl"))
    assert '"who":"CT01","operation":"store"' in told
    assert '"operation":"refuse"' in told
    assert SERIES not in told


def test_a_trail_that_cannot_be_written_lets_nothing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = AuditTrail.at(tmp_path / "audit")
    monkeypatch.setattr(trail, "trouble", "the disk is full")
    with opened(tmp_path / "state", trail=trail) as site, Caller(site.port) as caller:
        assert caller.store(SLICE, uid=UID_0) == 0xA700
        assert not site.instances()


def test_what_is_no_message_ends_the_association(site: Site) -> None:
    for sent in (
        pdv(3, b"no command"),
        pdv(2, b"data"),
        pdv(0, b""),
        pdv(1, bytes(20_000)),
        b"\x04\0\0\0\0\x04\0\0\0\x09",
    ):
        with Caller(site.port) as caller:
            caller.socket.sendall(sent)
            assert caller.pdu()[0] in (ABORTED, 0)


def test_other_services_are_not_offered(site: Site) -> None:
    with Caller(site.port) as caller:
        caller.find()
        assert caller.pdu()[0] == ABORTED
    assert site.counted("associations", "aborted")
