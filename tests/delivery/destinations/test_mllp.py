"""HL7 v2 over MLLP: what acknowledgements mean, and a receiver that is down, slow, or breaks off."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import hl7
import pytest

from app.delivery.database.store import ResultStore
from app.delivery.destinations.destination import Refused
from app.delivery.destinations.http_client import Access
from app.delivery.destinations.mllp import Endpoint, Hl7Destination
from app.delivery.worker import Backoff, DeliveryWork
from app.reports.result import ResultObject
from app.telemetry import Metrics
from tests.delivery.destinations.mllp_receiver import END, START, MllpReceiver, acknowledging, receiving_mllp
from tests.server.test_tls import make

MESSAGE = "MSH|^~\\&|LUNGSCOPE||RIS||20260101||ORU^R01^ORU_R01|4711|P|2.5.1||||||UNICODE UTF-8\rPID|1||P^^^^||王^小东\r"
LATER = 4e9


def destination(receiver: MllpReceiver, patience_s: float = 30) -> Hl7Destination:
    return Hl7Destination("ris", Endpoint("127.0.0.1", receiver.port, patience_s=patience_s))


def sent(receiver: MllpReceiver, patience_s: float = 30) -> str:
    """The outcome, or the code of a refusal."""
    try:
        return destination(receiver, patience_s).send(MESSAGE.encode())
    except Refused as refusal:
        return refusal.code


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AA", "delivered"),
        ("CA", "delivered"),
        ("AE", "AE"),
        ("AR", "AR"),
        ("CE", "CE"),
        ("CR", "CR"),
        ("", "retry"),
        ("XX", "retry"),
    ],
)
def test_acknowledgements(code: str, outcome: str) -> None:
    with receiving_mllp(MllpReceiver(acknowledging(code))) as receiver:
        assert sent(receiver) == outcome
    (message,) = receiver.messages
    assert str(message["PID.F5.R1.C1"]) == "王"


def test_the_acknowledgement_of_another_message_is_none() -> None:
    with receiving_mllp(MllpReceiver(acknowledging("AA", "4712"))) as receiver:
        assert sent(receiver) == "retry"


@pytest.mark.parametrize("answer", [None, b"", START, b"AA", START + b"no message" + END, START + b"MSH" + END])
def test_a_broken_line_is_a_reason_to_try_again(answer: bytes | None) -> None:
    with receiving_mllp(MllpReceiver(lambda _: answer)) as receiver:
        assert sent(receiver) == "retry"


def test_nobody_listening_is_a_reason_to_try_again() -> None:
    with receiving_mllp(MllpReceiver()) as gone:
        pass
    assert sent(gone) == "retry"


def test_who_answers_too_slowly_or_without_end_is_tried_again() -> None:
    given_up = threading.Event()

    def slow(_: hl7.Message) -> bytes:
        given_up.wait(30)
        return b""

    with receiving_mllp(MllpReceiver(slow)) as receiver:
        assert sent(receiver, patience_s=0.05) == "retry"
        given_up.set()
    with receiving_mllp(MllpReceiver(lambda _: START + b"x" * (1 << 20))) as receiver:
        assert sent(receiver) == "retry"


def test_an_acknowledgement_may_come_in_pieces_and_with_other_delimiters() -> None:
    text = b"\x0bMSH$%~\\&$RIS\r\nMSA$AA$4711\r\n\x1c\r"
    with receiving_mllp(MllpReceiver(lambda _: text)) as receiver:
        assert sent(receiver) == "delivered"


def test_mllps_is_within_tls_and_the_certificate_is_checked(tmp_path: Path) -> None:
    authority, issuer = make(tmp_path, "authority")
    service, _ = make(tmp_path, "service", issuer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(service.certificate, service.key)
    with receiving_mllp(MllpReceiver(), tls) as receiver:
        known, unknown = (Access("", ca_file=each) for each in (authority.certificate, None))
        for access, outcome in ((known, "delivered"), (unknown, "retry")):
            endpoint = Endpoint("127.0.0.1", receiver.port, access)
            assert Hl7Destination("ris", endpoint).send(MESSAGE.encode()) == outcome
    assert len(receiver.messages) == 1


def test_a_refusal_is_kept_with_its_code_and_the_next_message_goes_on(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results.sqlite3")
    objects = [ResultObject(uid, "hl7", "1.1", "1.2", "{}", MESSAGE.encode()) for uid in ("2.25.1", "2.25.2")]
    store.put("claim", objects, {"hl7": ["ris"]}, now=0, expires_at=LATER)
    answers = iter(["AE", "AA", "AA"])
    with receiving_mllp(MllpReceiver(lambda message: acknowledging(next(answers))(message))) as receiver:
        work = DeliveryWork(store, destination(receiver), tmp_path / "ris.lock", Backoff(5.0), Metrics())
        assert work.step(1)
        assert work.step(1)
        assert not work.step(1)
        assert [(each.uid, each.code) for each in store.owed()] == [("2.25.1", "AE")]
        assert store.content("2.25.2") is None
        store.send_again("ris", "2.25.1", now=2)
        assert work.step(2)
    assert store.owed() == []
    assert len(receiver.messages) == 3
