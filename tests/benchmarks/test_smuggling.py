"""What tells a confusion of requests from none."""

from __future__ import annotations

from benchmarks.guard.smuggling.exchange import faults_of
from benchmarks.guard.smuggling.variants import variant

SEED = 22


def test_variants_are_those_of_their_seed() -> None:
    first = [variant(SEED, number) for number in range(300)]
    assert first == [variant(SEED, number) for number in range(300)]
    assert len({each.sent for each in first}) == len(first)


def test_what_the_proxy_did_not_send_is_noticed() -> None:
    asked = {"mark": ["v-1-0"], "method": "GET", "proxied": ["1 GET"]}
    assert faults_of([asked, {**asked, "proxied": ["2 GET"]}, {"malformed": 400}, {"passed on": 7}]) == []
    assert faults_of([asked, asked]) == ["v-1-0: the same request of the proxy a second time"]
    assert faults_of([{**asked, "mark": ["s-1"], "proxied": []}]) == ["s-1: a request that the proxy did not send"]
    assert faults_of([{**asked, "mark": [], "proxied": ["1 GET", "2 POST"]}]) == ["no mark: two requests in one"]
    assert faults_of([{**asked, "method": "POST"}]) == ["v-1-0: the proxy sent GET, the service read POST"]
