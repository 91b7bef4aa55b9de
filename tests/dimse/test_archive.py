"""Results sent on by C-STORE, to archives that take them, refuse them, or are not there."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
)
from pynetdicom import AE, evt

from app.api.destinations import routes_of
from app.api.rules import Rules
from app.delivery.destinations.destination import Refused
from app.dimse.archive import DimseDestination, Peer, archive_tls
from app.errors import SettingsError
from app.settings import Settings
from benchmarks.serving.service import free_port
from phantoms.slices import PixelCoding, dicom, small

PLAIN: Final = dicom(small())
PACKED: Final = dicom(small(), PixelCoding(transfer_syntax=JPEGLSLossless))


@dataclass
class Archive:
    """What one was sent: the transfer syntaxes and pixels of instances."""

    port: int
    status: int
    syntaxes: list[UID] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def take(self, event: evt.Event) -> int:
        self.syntaxes.append(UID(event.context.transfer_syntax))
        self.sizes.append(len(event.dataset.PixelData))
        return self.status


@contextmanager
def archive(
    status: int = 0,
    sop_class: str = CTImageStorage,
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    callers: Sequence[str] = (),
) -> Iterator[Archive]:
    ae = AE("ARCHIVE")
    ae.add_supported_context(sop_class, list(syntaxes))
    ae.require_calling_aet, ae.require_called_aet = list(callers), True
    taken = Archive(0, status)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, taken.take)])
    assert server is not None
    taken.port = server.server_address[1]
    yield taken
    server.shutdown()


def destination(port: int) -> DimseDestination:
    return DimseDestination(Peer.parse(f"ARCHIVE@127.0.0.1:{port}"), "LUNGSCOPE")


def outcome_of(archive: DimseDestination) -> str:
    """The outcome, or the code of a refusal."""
    try:
        return archive.send(PLAIN)
    except Refused as refusal:
        return refusal.code


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, "delivered"),
        (0xB000, "delivered"),
        (0xB007, "delivered"),
        (0x0111, "delivered"),  # it has it already
        (0xA700, "retry"),
        (0x0110, "retry"),
        (0x0122, "0122"),
        (0x0124, "0124"),
        (0xA900, "A900"),
        (0xC000, "C000"),
    ],
)
def test_the_status_says_what_becomes_of_a_delivery(status: int, outcome: str) -> None:
    with archive(status) as taken:
        assert outcome_of(destination(taken.port)) == outcome
        assert taken.syntaxes == [ExplicitVRLittleEndian]


@pytest.mark.parametrize(
    ("content", "syntaxes", "sent"),
    [
        (PLAIN, [ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        (PACKED, [JPEGLSLossless, ImplicitVRLittleEndian], JPEGLSLossless),
        (PACKED, [ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        (PACKED, [ImplicitVRLittleEndian], ImplicitVRLittleEndian),
    ],
)
def test_an_archive_gets_what_it_can_read(content: bytes, syntaxes: Sequence[str], sent: UID) -> None:
    with archive(syntaxes=syntaxes) as taken:
        assert destination(taken.port).send(content) == "delivered"
    assert taken.syntaxes == [sent]
    whole = small().size * 2
    assert (taken.sizes[0] == whole) == (sent != JPEGLSLossless)


def test_an_archive_that_knows_no_such_objects_is_not_asked_again() -> None:
    with archive(sop_class=MRImageStorage) as taken:
        assert outcome_of(destination(taken.port)) == "no_presentation_context"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_archive_that_is_not_there_or_does_not_know_us_is_tried_again() -> None:
    assert destination(free_port()).send(PLAIN) == "retry"
    assert DimseDestination(Peer("ARCHIVE", "nowhere.invalid", 104), "LUNGSCOPE").send(PLAIN) == "retry"
    with archive(callers=["SOMEBODY"]) as taken:
        assert destination(taken.port).send(PLAIN) == "retry"
        assert DimseDestination(Peer("OTHER", "127.0.0.1", taken.port), "SOMEBODY").send(PLAIN) == "retry"
        assert DimseDestination(Peer("ARCHIVE", "127.0.0.1", taken.port), "SOMEBODY").send(PLAIN) == "delivered"
    gc.collect()  # pynetdicom leaves the sockets of connections that were refused to it


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("PACS@10.0.0.5:104", Peer("PACS", "10.0.0.5", 104)),
        ("My PACS@pacs.example:11112", Peer("My PACS", "pacs.example", 11112)),
        ("PACS@[::1]:104", Peer("PACS", "::1", 104)),
    ],
)
def test_where_an_archive_is(text: str, peer: Peer) -> None:
    assert Peer.parse(text) == peer


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "@host:104", "PACS@:104", "A TITLE TOO LONG!@host:104", "a\\b@h:1"]
)
def test_what_names_no_archive_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LUNGSCOPE_DELIVER_DIMSE", text)
    with pytest.raises(SettingsError, match="LUNGSCOPE_DELIVER_DIMSE"):
        Settings.load()


def test_an_archive_needs_a_place_where_results_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_DELIVER_DIMSE", "PACS@host:104")
    with pytest.raises(SettingsError, match="LUNGSCOPE_SPOOL_DIR"):
        Settings.load()


def test_the_settings_make_the_destination(tmp_path: Any) -> None:
    settings = Settings(spool_dir=tmp_path, deliver_dimse="PACS@host:104", deliver_dimse_tls=True)
    (made,) = routes_of(settings, Rules())
    assert (made.destination.name, made.destination.kind) == ("dimse", "dicom")


def test_tls_checks_the_archive_unless_told_otherwise(tmp_path: Any) -> None:
    assert archive_tls(None, None, None, verify=True).verify_mode == ssl.CERT_REQUIRED
    assert archive_tls(None, None, None, verify=False).verify_mode == ssl.CERT_NONE
    (tmp_path / "odd.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match="LUNGSCOPE_CA_FILE"):
        archive_tls(tmp_path / "odd.pem", None, None, verify=True)
