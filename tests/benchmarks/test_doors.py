"""Whether the campaign of the doors sees what may not be, and a small one of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import urllib3

from benchmarks.doors.campaign import Plan, campaign
from benchmarks.doors.destinations import Destination, Hooks, Result, current
from benchmarks.doors.moods import Answer, Mood, Peer, Request
from benchmarks.doors.page import BEGIN, END, filled, table
from benchmarks.doors.senders import Standing
from benchmarks.doors.series import SLICES, Series
from benchmarks.doors.troubles import rounds
from benchmarks.doors.verdict import Kind, Verdict

SERIES: Final = Series(3)
DELIVERED: Final = Standing("delivered")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_each_of_six_series_has_one_result_when_all_is_killed_twice(tmp_path: Path) -> None:
    outcome = campaign(Plan("stow", series=6, kills=2, seed=4, pace=0.2), tmp_path)
    assert not outcome.bad, outcome.bad
    assert outcome.written()["one_result"] == 6
    assert sum(outcome.killed.values()) == 2
    assert sum(outcome.moods.values()) == 4


def report(uid: str, about: frozenset[str] | int = SLICES, reason: str | None = None, replaces: str = "") -> Result:
    return Result(uid, SERIES.study_uid, about, reason, frozenset({replaces} if replaces else ()))


class Given(Destination):
    """Has what it is given."""

    def __init__(self, *results: Result) -> None:
        super().__init__()
        self._results = {each.uid: each for each in results}


ONE: Final = report("1")
PART: Final = report("1", frozenset([*SERIES.instance_uids][1:]))
WHOLE: Final = report("2", SERIES.instance_uids, replaces="1")
UNFIT: Final = report("3", reason="geometry")


@pytest.mark.parametrize(
    ("standing", "results", "kind"),
    [
        (DELIVERED, [ONE], "result"),
        (DELIVERED, [PART, WHOLE], "result"),
        (DELIVERED, [UNFIT], "failure"),
        (Standing("failed", "judge_ended"), [UNFIT], "failure"),
        (Standing("failed", "not_at_source"), [], "failure"),
        (Standing("failed", ""), [], "lost"),
        (Standing("failed", "judge_ended"), [ONE], "lost"),
        (DELIVERED, [], "lost"),
        (DELIVERED, [ONE, report("2")], "doubled"),
        (DELIVERED, [ONE, UNFIT], "doubled"),
        (DELIVERED, [PART], "partial"),
        (DELIVERED, [report("1", SLICES - 1)], "partial"),
        (Standing("delivering"), [ONE], "unsettled"),
        (Standing(""), [], "unsettled"),
    ],
)
def test_what_became_of_a_series(standing: Standing, results: list[Result], kind: Kind) -> None:
    assert Verdict.on(SERIES, standing, {"archive": Given(*results)}).kind == kind


def test_one_that_is_missing_at_one_destination_is_lost() -> None:
    verdict = Verdict.on(SERIES, DELIVERED, {"archive": Given(ONE), "hooks": Given()})
    assert verdict.kind == "lost"
    assert "hooks: nothing" in verdict.detail


def test_what_was_replaced_is_not_current() -> None:
    assert current([PART, WHOLE]) == [WHOLE]


def event(number: int, **data: Any) -> Request:
    told = {"study_instance_uid": SERIES.study_uid, "series_instance_uid": SERIES.uid, **data}
    kind, when = "series.judged" if "result" in data else "series.not_processed", f"2026-12-01T12:00:0{number}+00:00"
    body = json.dumps({"type": kind, "timestamp": when, "data": told}).encode()
    return Request("/", {"Webhook-Id": f"msg_{number}"}, body)


def test_a_message_that_comes_again_is_one() -> None:
    hooks, result = Hooks(), {"source": {"series": {"slices": SLICES}}}
    for _ in range(3):
        hooks.take(event(1, report_uid="1", result=result))
    assert hooks.repeated == 2
    hooks.take(event(3, report_uid="3", replaces_report_uid="2", result=result))
    hooks.take(event(0, reason={"code": "geometry", "message": "…"}))
    assert [each.uid for each in current(hooks.results(SERIES))] == ["3"]
    hooks.take(event(4, report_uid="4", result=result))
    assert [each.uid for each in current(hooks.results(SERIES))] == ["3", "4"]


@pytest.mark.parametrize(
    ("mood", "status", "taken"),
    [("well", 200, 1), ("slow", 200, 1), ("refusing", 503, 0), ("breaking", 0, 1), ("down", 0, 0)],
)
def test_moods(mood: Mood, status: int, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.doors.moods.SLOW_S", 0)
    requests: list[Request] = []

    def answer(request: Request) -> Answer:
        requests.append(request)
        return Answer(200)

    with Peer("archive", answer) as peer:
        peer.become(mood)
        try:
            found = urllib3.request("POST", peer.url, body=b"x", retries=False).status
        except urllib3.exceptions.HTTPError:
            found = 0
        assert (found, len(requests)) == (status, taken)
        peer.become("well")
        assert urllib3.request("POST", peer.url, body=b"x", retries=False).status == 200


def test_a_seed_makes_the_same_troubles() -> None:
    every = [rounds(seed, 20, ("serve", "dimse"), ("archive", "hooks")) for seed in (1, 1, 2)]
    assert every[0] == every[1] != every[2]
    assert {each.kill.of for each in every[0]} == {("serve",), ("dimse",), ("serve", "dimse")}
    assert len({spell.mood for each in every[0] for spell in each.spells}) == 4


def test_runs_of_a_door_add_up_in_its_row() -> None:
    good = {"series": 3, "kills": {"serve": 1, "dimse": 1}, "one_result": 3, "stated_failures": [], "replaced": 1}
    good |= {"sent_again_to_destinations": 2, "bad": []}
    bad = {**good, "one_result": 1, "stated_failures": [{}], "bad": [{"kind": "lost"}]}
    written = filled(f"before {BEGIN}old{END} after", table({"cstore": [good, bad]}))
    assert "| C-STORE | 6 | 4 | 4 | 1 | 1 lost | 2 | 4 |" in written
    assert "old" not in written
    assert "| STOW-RS" not in written


def test_every_series_is_in_one_round() -> None:
    assert [[*each] for each in Plan("stow", 7, 3, 1).chunks()] == [[0, 1], [2, 3], [4, 5, 6]]
