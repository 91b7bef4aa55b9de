"""A request that is repeated while something is measured."""

from __future__ import annotations

import http.client
import threading

from benchmarks.serving.beside import BROKEN, post_series, while_repeated
from benchmarks.serving.service import free_port

PATIENCE_S = 60


def test_one_request_follows_another_until_what_is_measured_has_ended() -> None:
    third, made = threading.Event(), list[int]()

    def request() -> int:
        made.append(len(made))
        if len(made) == 3:
            third.set()
        return http.client.OK

    ended_in_time, statuses = while_repeated(request, lambda: third.wait(PATIENCE_S))
    assert ended_in_time
    assert statuses == [http.client.OK] * len(made)


def test_none_follows_a_refusal() -> None:
    refused = threading.Event()
    answers = iter([http.client.OK, http.client.SERVICE_UNAVAILABLE])

    def request() -> int:
        status = next(answers)
        if status != http.client.OK:
            refused.set()
        return status

    assert while_repeated(request, lambda: refused.wait(PATIENCE_S)) == (
        True,
        [http.client.OK, http.client.SERVICE_UNAVAILABLE],
    )


def test_nobody_listening_is_no_answer() -> None:
    assert post_series(free_port(), b"") == BROKEN
