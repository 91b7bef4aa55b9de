"""Webhooks: a receiver that verifies them by the specification's own library, and is down, slow, refusing, replayed."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.delivery.database.store import GIVEN_UP, ResultStore
from app.delivery.destinations.destination import Refused
from app.delivery.destinations.http_client import Access
from app.delivery.destinations.webhook import WebhookDestination
from app.delivery.worker import Backoff, DeliveryWork
from app.reports.result import ResultObject
from app.telemetry import Metrics
from benchmarks.serving.receiver import Receiver, receiving

SECRET = "whsec_" + "c2VjcmV0" * 4
BODY = '{"type":"series.judged","data":{"word":"肺"}}'.encode()
LATER = 4e9


def destination(receiver: Receiver) -> WebhookDestination:
    return WebhookDestination("hook", Access(receiver.url), SECRET)


def verified(request: tuple[str, dict[str, str], bytes], secret: str = SECRET) -> Any:
    _, headers, body = request
    return Webhook(secret).verify(body, headers)


def delivering(folder: Path, receiver: Receiver) -> DeliveryWork:
    store = ResultStore(folder / "results.sqlite3")
    store.put(
        "claim", [ResultObject("2.25.1", "json", "1.1", "1.2", "{}", BODY)], {"json": ["hook"]}, now=0, expires_at=LATER
    )
    return DeliveryWork(store, destination(receiver), folder / "hook.lock", Backoff(5.0), Metrics())


def test_a_receiver_can_verify_what_it_gets() -> None:
    with receiving(Receiver()) as receiver:
        assert destination(receiver).send(BODY) == "delivered"
    path, headers, body = receiver.requests[0]
    assert (path, body, headers["Content-Type"]) == ("/root", BODY, "application/json")
    assert verified(receiver.requests[0])["data"] == {"word": "肺"}
    with pytest.raises(WebhookVerificationError):
        verified(receiver.requests[0], "whsec_" + "b3RoZXIh" * 4)
    with pytest.raises(WebhookVerificationError):
        verified((path, headers, body + b" "))


def test_a_message_has_the_same_id_whenever_it_is_sent_and_another_one_another(tmp_path: Path) -> None:
    """The receiver took it the second time, and died before it said so: it can drop the third."""
    receiver = Receiver(lambda n: ((503, 503, 204)[n - 1], b""))
    with receiving(receiver):
        work = delivering(tmp_path, receiver)
        assert not work.step(100)
        assert not work.step(104)
        assert not work.step(105)
        assert work.step(115)
        assert not work.step(1e6)
    messages = [headers["Webhook-Id"] for _, headers, _ in receiver.requests]
    assert (len(messages), len(set(messages))) == (3, 1)
    assert all(verified(request) for request in receiver.requests)
    seen = {"destination": "hook"}
    assert work.metrics.registry.get_sample_value("lungscope_last_delivery_timestamp_seconds", seen) == 115
    with receiving(Receiver()) as other:
        destination(other).send(BODY + b" ")
    assert other.requests[0][1]["Webhook-Id"] != messages[0]
    assert work.store.content("2.25.1") is None


def test_what_is_replayed_later_is_not_verified() -> None:
    with receiving(Receiver()) as receiver:
        destination(receiver).send(BODY)
    _, headers, body = receiver.requests[0]
    with pytest.raises(WebhookVerificationError, match="old"):
        verified(("", headers | {"Webhook-Timestamp": str(int(time.time()) - 3600)}, body))


def test_an_answer_without_end_is_read_in_part() -> None:
    with receiving(Receiver(lambda _: (200, b"x" * (4 << 20)))) as receiver:
        hook = destination(receiver)
        assert [hook.send(BODY) for _ in range(2)] == ["delivered", "delivered"]
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("status", [301, 401, 403, 404, 408, 429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with receiving(Receiver(lambda _: (status, b""))) as receiver:
        assert destination(receiver).send(BODY) == "retry"


def test_a_receiver_that_is_down_or_too_slow_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(Receiver()) as gone:
        pass
    assert destination(gone).send(BODY) == "retry"
    monkeypatch.setattr("app.delivery.destinations.http_client.READ_TIMEOUT_S", 0.05)
    given_up = threading.Event()

    def slow(_: int) -> tuple[int, bytes]:
        given_up.wait(30)
        return 200, b""

    with receiving(Receiver(slow)) as receiver:
        assert destination(receiver).send(BODY) == "retry"
        given_up.set()


def test_who_dies_before_the_answer_is_noted_has_the_same_message_sent_again(tmp_path: Path) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    with receiving(Receiver()) as receiver:
        work = delivering(tmp_path, receiver)
        with pytest.raises(SystemExit):
            replace(work, told=die).step(1)
        assert work.step(2)
        assert not work.step(3)
    (_, first, _), (_, second, _) = receiver.requests
    assert first["Webhook-Id"] == second["Webhook-Id"]


@pytest.mark.parametrize("status", [400, 410, 413, 422])
def test_a_refusal_is_kept_with_its_code_and_can_be_sent_again(tmp_path: Path, status: int) -> None:
    receiver = Receiver(lambda n: (status if n == 1 else 200, b""))
    with receiving(receiver):
        with pytest.raises(Refused, match=str(status)):
            destination(receiver).send(BODY)
        receiver.requests.clear()
        work = delivering(tmp_path, receiver)
        assert work.step(1)
        assert not work.step(1e6)
        (dead,) = work.store.owed()
        assert (dead.destination, dead.code, work.store.refused("hook")) == ("hook", str(status), 1)
        assert work.store.send_again("hook", "2.25.1", now=2e6)
        assert (work.store.waiting("hook"), work.store.refused("hook")) == (1, 0)
        assert work.step(2e6)
    assert len({headers["Webhook-Id"] for _, headers, _ in receiver.requests}) == 1
    assert work.store.owed() == []
    assert not work.store.send_again("hook", "2.25.1", now=3e6)


def test_what_an_operator_gives_up_is_not_sent_and_not_said_to_have_been(tmp_path: Path) -> None:
    with receiving(Receiver()) as receiver:
        work = delivering(tmp_path, receiver)
        assert work.store.give_up("hook", "2.25.1")
        assert not work.store.give_up("hook", "2.25.7")
        assert not work.step(1)
    assert receiver.requests == []
    assert [each.code for each in work.store.owed()] == [GIVEN_UP]
