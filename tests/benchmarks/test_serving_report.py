"""The arithmetic between what was measured and what is said of it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from benchmarks.serving import report
from benchmarks.serving.arrivals import Tally
from benchmarks.serving.ceiling import Lap, together
from benchmarks.serving.chart import draw
from benchmarks.serving.closed import Load, account
from benchmarks.serving.memory_pace import MemoryPace
from benchmarks.serving.results import Bare, BesideSeries, Explaining, OpenLoop, Proof, Results, Round, Starts
from benchmarks.serving.rivals import NAIVE, PEERS, PeerResult, malignancy_of
from benchmarks.serving.soak import Segment, growth


def load(rate: float, clients: int = 16, cpu_ms: float = 4.0, p50_ms: float = 10.0) -> Load:
    return Load(clients, int(rate * 10), 10.0, 0, p50_ms, 20.0, 30.0, cpu_ms, 0.1)


def tally(good: int, refused: int = 0, p99_ms: float = 25.0) -> Tally:
    latency = {200: {"p50": 5.0, "p99": p99_ms}} | ({503: {"p99": 7.0}} if refused else {})
    return Tally(10.0, {200: good} | ({503: refused} if refused else {}), latency, 0, {"p99": 0.1}, 1.0)


def results() -> Results:
    """Service 300/s at 5 ms beside a loop of 400/s at 4 ms; the best peer 100/s, the naive one 60/s."""
    loop = Lap(4000, 10.0, 16.0, 0.9)
    peers = (
        PeerResult(NAIVE, "plain", 3.0, (load(60),), ((60.0, 300.0), (70.0, 340.0), (50.0, 270.0))),
        PeerResult("Quick", "tuned", 4.0, (load(100),), ((100.0, 300.0),)),
        PeerResult("Quick, form", "tuned", 4.0, (load(150),), ((150.0, 300.0),)),
        PeerResult("Silent", "tuned", error="no such | thing"),
    )
    return Results(
        machine={"processor": "a processor", "cores": "2"},
        quick=False,
        seconds=60.0,
        slice_sent="a slice",
        digests={},
        workers=2,
        proof=Proof(load(5000), tally(50_000)),
        rounds=tuple(Round(loop, loop, load(rate, cpu_ms=5.0)) for rate in (290, 300, 310)),
        tensorflow_loop=Lap(1000, 10.0, 18.0, 0.9),
        ours={"dicom, raw": (load(300),), "dicom, form": (load(270),)},
        form_pairs=((300.0, 270.0),),
        stock_pairs=((load(300, cpu_ms=5.0), load(240, cpu_ms=6.0)),),
        real_slice=None,
        peers=peers,
        peer_versions={},
        starts=Starts((2.0, 2.2, 9.0), (200.0, 190.0)),
        memory_pace=MemoryPace(20.0, (40.0, 10.0)),
        beside_series=tuple(
            BesideSeries(600, 2, load(100, 1), replace(load(60, 1), p99_ms=p99_ms), valid=True)
            for p99_ms in (45.0, 120.0, 30.0)
        ),
        open_loop=tuple(
            OpenLoop(
                load(100, 1), 217.0, tally(2170, 0, p99), 310.0, 620.0, tally(good, 3000), 310.0, 160, tally(2790, 5)
            )
            for p99, good in ((25.0, 2945), (90.0, 2480), (24.0, 3000))
        ),
        bare=(Bare(350.0, load(120, 1), 245.0, tally(2450)),),
        explaining=Explaining(((300.0, 285.0), (300.0, 291.0), (300.0, 288.0)), 2.0, 0.125, 0.075),
    )


def test_each_target_is_the_ratio_that_it_names() -> None:
    reached = {target.name: target.reached for target in report.targets(results())}
    assert list(reached.values()) == pytest.approx(
        [1.25, 0.75, 3.0, 5.0, 0.9, 2.5, 0.95, 7.0, 0.9, 1.5, 2.2, 200.0, 4.0, 10.0]
    )


def test_figures_by_the_services_own_loop_and_of_the_bare_server_stand_beside() -> None:
    found = results()
    quicker = Lap(5000, 10.0, 16.0, 0.9)
    found = replace(found, rounds=tuple(replace(r, own_loop=quicker) for r in found.rounds))
    assert report.own_throughput_ratio(found) == pytest.approx(0.6)
    assert report.own_cpu_ratio(found) == pytest.approx(5 / 3.2)
    assert report.bare_tails(found) == pytest.approx([2.5])
    assert "server CPU 1.56, throughput 0.6." in report.summary(found)


def test_plain_uvicorn_stands_beside() -> None:
    assert report.stock_ratios(results()) == pytest.approx((0.8, 1.2))
    assert "in turn with it: throughput 0.8, server CPU 1.2." in report.summary(results())


def test_spread_of_the_rounds_is_told() -> None:
    assert report.middle_half([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 2.0, 4.0)
    assert report.middle_half([2.0]) == (2.0, 2.0, 2.0)
    assert "The middle half of the 3 rounds lies within 1.25 and 1.25 for server CPU" in report.summary(results())


def test_the_summary_tells_each_round_of_a_fixed_rate() -> None:
    text = report.summary(results())
    assert "p99 at 70 % of peak by it, round by round: 2.5, 9, 2.4." in text
    assert "Goodput at 2x peak: 0.95, 0.8, 0.968." in text
    assert "beside a series by that alone, round by round: 1.5, 4, 1." in text


def test_targets_are_met_at_their_bound_and_missed_beyond() -> None:
    assert [target.met for target in report.targets(results())] == [True] * 14
    slow = replace(results(), rounds=tuple(Round(r.loop, r.own_loop, load(200, cpu_ms=6.0)) for r in results().rounds))
    assert [target.met for target in report.targets(slow)[:4]] == [False, False, True, True]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    found = replace(results(), peers=())
    assert [target.met for target in report.targets(found)[2:4]] == [None, None]
    assert "not measured" in report.targets_table(found)


def test_a_caller_beside_a_series_that_failed_judges_nothing() -> None:
    found = results()
    *others, last = found.beside_series
    short = replace(found, beside_series=(*others, replace(last, valid=False)))
    assert [target.met for target in report.targets(short)].count(None) == 1


def test_no_good_answer_at_a_fixed_rate_misses_its_target() -> None:
    found = results()
    refused = Tally(10.0, {503: 3}, {503: {"p99": 1.0}})
    silent = replace(found, open_loop=tuple(replace(o, steady=refused) for o in found.open_loop))
    target = report.targets(silent)[5]
    assert target.reached == math.inf
    assert target.met is False


def test_the_summary_names_every_peer_and_why_one_is_silent() -> None:
    text = report.summary(results())
    assert "did not run: no such / thing" in text
    assert text.index("| Quick |") < text.index(f"| {NAIVE} |")


def test_a_page_keeps_all_but_its_figures() -> None:
    page = f"before {report.BEGIN} old {report.END} after"
    assert report.filled(page, "new") == f"before {report.BEGIN}\n\nnew\n\n{report.END} after"
    assert report.filled(report.filled(page, "x"), "new") == report.filled(page, "new")
    with pytest.raises(ValueError, match="figures"):
        report.filled("no marks", "new")


def test_results_are_json_and_a_chart() -> None:
    assert json.loads(json.dumps(asdict(results())))["workers"] == 2
    assert draw(results()).startswith(b"\x89PNG")


def test_processor_time_is_shared_among_all_requests_and_failures_give_no_throughput() -> None:
    found = {"requests": 100, "seconds": 2.0, "not_ok": 8, "broken": 2, "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0}
    counted = account(found, 16, cpu_s=0.5, generator_cpu_s=0.01)
    assert (counted.cpu_ms, counted.failed) == (5.0, 10)
    assert counted.generator_cpu_ms == pytest.approx(0.1)
    assert counted.rate == 45.0


def test_processes_side_by_side_add_their_rates() -> None:
    both = together([Lap(100, 1.0, 0.9, 0.5), Lap(50, 2.0, 1.6, 0.5)])
    assert both.rate == 125.0
    assert both.cpu_ms == pytest.approx(2.5e3 / 150)


def test_growth_starts_when_memory_has_settled() -> None:
    segments = [
        Segment(4000, 0, 1.0, (50.0,)),
        Segment(8000, 0, 1.0, (60.0, 40.0)),
        Segment(9000, 0, 1.0, (66.0, 40.0)),
    ]
    assert growth(segments) == pytest.approx(1.06)
    assert growth(segments[:1]) is None


def test_a_peers_answer_is_read_in_either_form() -> None:
    assert malignancy_of(b'{"nodule": 0.5, "malignancy": 0.25}') == 0.25
    tensor = b'{"outputs": [{"name": "malignancy", "shape": [1, 1], "data": [[0.75]]}]}'
    assert malignancy_of(tensor) == 0.75
    assert malignancy_of(b'{"detail": "no"}') is None


def test_every_peer_has_a_name_of_its_own() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
