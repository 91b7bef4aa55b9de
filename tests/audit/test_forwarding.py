"""The lines at a collector: as DICOM audit messages or as they are, by UDP, TCP and TLS, through a break."""

from __future__ import annotations

import json
import re
import socket
import ssl
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from pydicom.sr.codedict import codes

from app.audit.atna import ALERT, APPLICATION, KINDS, NOT_ALLOWED, STUDY_UID, audit_message
from app.audit.chain import ChainLimits
from app.audit.event import Event, Operation
from app.audit.forwarding import SENT_FILE, Format, Forwarding
from app.audit.syslog import Collector, Header, SyslogSender
from app.errors import SettingsError
from tests.audit.collector import collecting, write_certificate
from tests.audit.conftest import Trail

MESSAGE = re.compile(rb"<85>1 (\S+) reading-room lungscope 4711 (\S+) - \xef\xbb\xbf(.*)", re.DOTALL)
TIME = "2026-05-28T20:26:40.000000Z"


class Senders:
    """Forwardings of the one chain of a trail; their connections end with the test."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._senders: list[SyslogSender] = []

    def to(self, url: str, written: Format = "dicom", ca: Path | None = None) -> Forwarding:
        sender = SyslogSender(Collector.parse(url, ca, ca))
        self._senders.append(sender)
        chain = self._trail.folder / "chain-0"
        return Forwarding(lambda: chain, sender, Header("reading-room", "4711"), written)

    def close(self) -> None:
        for sender in self._senders:
            sender.close()


@pytest.fixture
def senders(trail: Trail) -> Iterator[Senders]:
    senders = Senders(trail)
    yield senders
    senders.close()


def content(message: bytes) -> bytes:
    matched = MESSAGE.fullmatch(message)
    assert matched, message[:120]
    return matched[3]


@pytest.mark.parametrize(("kind", "scheme"), [(socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")])
def test_every_line_arrives_once_and_in_order(
    trail: Trail, senders: Senders, kind: socket.SocketKind, scheme: str
) -> None:
    trail.write(20, ChainLimits(file_bytes=2000))
    with collecting(kind) as collector:
        sending = senders.to(f"{scheme}://127.0.0.1:{collector.port}", "json")
        assert sending.step()
        received = [json.loads(content(collector.next())) for _ in range(21)]
        assert [line["seq"] for line in received] == list(range(1, 22))
        trail.write(1)
        # Another process goes on where this one stopped.
        assert senders.to(f"{scheme}://127.0.0.1:{collector.port}", "json").step()
        assert [json.loads(content(collector.next()))["seq"] for _ in range(2)] == [22, 23]
        assert collector.messages.empty()


@pytest.mark.parametrize(
    "damage",
    [
        *(
            b"",
            b"\xff\xfe",
            b"[]",
            b"{}",
            b"[" * 100_000,
            b'{"file": "9999.jsonl", "offset": 3}',
            b'{"file": 1, "offset": 1e999}',
        ),
        *(b'{"file": "%s", "offset": -5}', b'{"file": "%s", "offset": 7}', b'{"file": "%s", "offset": 1000000}'),
    ],
)
def test_a_damaged_note_of_what_was_sent_has_all_sent_again(trail: Trail, senders: Senders, damage: bytes) -> None:
    trail.write(2)
    with collecting(socket.SOCK_STREAM) as collector:
        assert senders.to(f"tcp://127.0.0.1:{collector.port}", "json").step()
        (note,) = trail.folder.rglob(SENT_FILE)
        note.write_bytes(damage.replace(b"%s", json.loads(note.read_bytes())["file"].encode()))
        assert senders.to(f"tcp://127.0.0.1:{collector.port}", "json").step()
        # Over two connections, which the collector reads side by side.
        assert sorted(json.loads(content(collector.next()))["seq"] for _ in range(6)) == [1, 1, 2, 2, 3, 3]


def test_tls_knows_the_collector_and_is_known_by_it(trail: Trail, senders: Senders, tmp_path: Path) -> None:
    trail.write(1)
    ours, stranger = write_certificate(tmp_path, "collector"), write_certificate(tmp_path, "stranger")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours)
    context.load_cert_chain(ours)
    context.verify_mode = ssl.CERT_REQUIRED
    with collecting(socket.SOCK_STREAM, context) as collector:
        assert not senders.to(f"tls://127.0.0.1:{collector.port}", ca=stranger).step()
        sending = senders.to(f"tls://127.0.0.1:{collector.port}", ca=ours)
        assert sending.step()
        assert b"<AuditMessage>" in collector.next()
        assert b"DICOM Instances Accessed" in collector.next()
        trail.write(1)
        assert sending.step()
        assert b"<AuditMessage>" in collector.next()


def test_nothing_is_lost_while_the_collector_is_away(trail: Trail, senders: Senders) -> None:
    trail.write(2)
    with collecting(socket.SOCK_STREAM) as collector:
        sending = senders.to(f"tcp://127.0.0.1:{collector.port}", "json")
        assert sending.step()
        assert [json.loads(content(collector.next()))["seq"] for _ in range(3)] == [1, 2, 3]
    trail.write(2)
    assert not sending.step()
    with collecting(socket.SOCK_STREAM, port=collector.port) as again:
        assert sending.step()
        assert [json.loads(content(again.next()))["seq"] for _ in range(3)] == [4, 5, 6]
        # It hangs up: what is sent next must not go into a connection that is closed.
        again.hang_up()
        trail.write(1)
        assert sending.step()
        assert [json.loads(content(again.next()))["seq"] for _ in range(2)] == [7, 8]


@pytest.mark.parametrize("url", ["", "127.0.0.1", "http://host", "tcp://", "udp://host:99999", "tls://host/path"])
def test_a_collector_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="LUNGSCOPE_AUDIT_SYSLOG that cannot be used"):
        Collector.parse(url)


def test_ports_are_those_of_the_standards() -> None:
    assert [Collector.parse(f"{scheme}://host").port for scheme in ("udp", "tcp", "tls")] == [514, 514, 6514]
    assert Collector.parse("tls://[::1]:7000").host == "::1"


def message_of(event: Event) -> Element:
    return fromstring(audit_message({"time": TIME, **event.fields()}, "reading-room"))


def required(element: Element, name: str) -> Element:
    found = element.find(name)
    assert found is not None
    return found


JUDGED = Event(
    "judge_slice",
    "alice",
    address="10.0.0.7",
    request_id="an id",
    input="sha256:aa",
    models={"nodule-classifier/1": "sha256:bb"},
    decision="normal",
    subject={"study": "0123456789abcdef", "accession": "fedcba9876543210"},
    destinations=("pacs", "fhir"),
)


def test_a_judgement_is_instances_accessed() -> None:
    """PS3.15 A.5.3.6: event, who from where, the application, its source, the study, the patient."""
    message = message_of(JUDGED)
    event = required(message, "EventIdentification")
    assert event.attrib == {"EventActionCode": "R", "EventDateTime": TIME, "EventOutcomeIndicator": "0"}
    assert required(event, "EventID").attrib == {
        "csd-code": "110103",
        "codeSystemName": "DCM",
        "originalText": "DICOM Instances Accessed",
    }
    person, application = message.findall("ActiveParticipant")
    assert person.attrib == {
        "UserID": "alice",
        "UserIsRequestor": "true",
        "NetworkAccessPointTypeCode": "2",
        "NetworkAccessPointID": "10.0.0.7",
    }
    assert application.attrib == {"UserID": "reading-room", "UserIsRequestor": "false"}
    assert required(message, "AuditSourceIdentification").get("AuditSourceID") == "reading-room"
    study, patient = message.findall("ParticipantObjectIdentification")
    assert (study.get("ParticipantObjectTypeCode"), study.get("ParticipantObjectTypeCodeRole")) == ("2", "3")
    assert required(study, "ParticipantObjectIDTypeCode").get("csd-code") == "110180"
    assert study.get("ParticipantObjectID") == "0123456789abcdef"
    details = {each.get("type"): b64decode(each.get("value", "")) for each in study.findall("ParticipantObjectDetail")}
    assert details == {
        "request_id": b"an id",
        "decision": b"normal",
        "input": b"sha256:aa",
        "nodule-classifier/1": b"sha256:bb",
        "accession": b"fedcba9876543210",
        "destinations": b"pacs fhir",
    }
    assert (patient.get("ParticipantObjectTypeCode"), patient.get("ParticipantObjectTypeCodeRole")) == ("1", "1")
    for each in (study, patient):
        assert required(each, "ParticipantObjectDescription/Anonymized").text == "true"


@pytest.mark.parametrize(
    ("operation", "outcome", "code", "kind", "indicator"),
    [
        ("start", "done", "110100", "110120", "0"),
        ("stop", "done", "110100", "110121", "0"),
        ("store", "done", "110104", None, "0"),
        ("deliver", "retry", "110104", None, "4"),
        ("find_results", "done", "110112", None, "0"),
        ("refuse", "not_authorised", "110113", "110126", "4"),
        ("gap_in_trail", "done", "110113", "110133", "8"),
    ],
)
def test_events_have_the_codes_of_dicom(
    operation: Operation, outcome: str, code: str, kind: str | None, indicator: str
) -> None:
    event = required(message_of(Event(operation, outcome=outcome)), "EventIdentification")
    assert required(event, "EventID").get("csd-code") == code
    found = event.find("EventTypeCode")
    assert (None if found is None else found.get("csd-code")) == kind
    assert event.get("EventOutcomeIndicator") == indicator


def test_codes_mean_what_dicom_says() -> None:
    kinds = [*KINDS.values(), NOT_ALLOWED, ALERT]
    coded = {code for kind in kinds for code in (kind.event, kind.type) if code is not None} | {APPLICATION, STUDY_UID}
    for code in coded:
        known = getattr(codes.DCM, "".join(word[0].upper() + word[1:] for word in code.meaning.split()))
        assert (known.value, known.meaning) == (code.value, code.meaning)


def test_every_kind_of_event_is_a_message_with_a_source_and_a_participant() -> None:
    for operation in (*KINDS, "gap_in_trail", "expire_trail"):
        message = fromstring(audit_message({"time": TIME, "operation": operation, "who": "service"}, "here"))
        assert message.find("EventIdentification/EventID") is not None
        assert message.find("AuditSourceIdentification") is not None
        assert message.find("ActiveParticipant[@UserIsRequestor='true']") is not None
