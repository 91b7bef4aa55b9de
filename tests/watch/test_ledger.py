"""What is remembered of judgements: bounded, forgotten in time, shared, and never told apart twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.watch.drift import Reference
from app.watch.ledger import Ledger, counted
from app.watch.noted import Noted

DIGEST = "sha256:a"


@pytest.fixture
def ledger(tmp_path: Path, each_database: None) -> Ledger:  # noqa: ARG001
    return Ledger(tmp_path / "feedback.sqlite3")


def finding(name: str, probability: float = 0.5, *aliases: str) -> Noted:
    return Noted("finding", name, aliases, DIGEST, probability, True, "")


def names(ledger: Ledger) -> set[str]:
    return {case.name for case in ledger.cases()}


def test_what_is_too_old_is_forgotten_with_its_verdict(ledger: Ledger) -> None:
    ledger.note([finding("old", 0.5, "alias")], {(DIGEST, "decision", 10, 0): 1}, day=10)
    ledger.note([finding("new")], {(DIGEST, "decision", 11, 0): 1}, day=11)
    for name in ("alias", "new"):
        assert ledger.hear(name, "reader", "benign", day=12) is not None
    ledger.forget(before=11, most=100)
    assert names(ledger) == {"new"}
    assert ledger.hear("alias", "reader", "malignant", day=12) is None
    assert list(ledger.days(DIGEST, "decision", since=-1)) == [11]


def test_beyond_the_bound_what_nobody_spoke_of_goes_first_and_the_oldest_first(ledger: Ledger) -> None:
    for day, name in enumerate("abcdef"):
        ledger.note([finding(name)], {}, day=day)
    for name in "adf":
        ledger.hear(name, "reader", "benign", day=9)
    ledger.forget(before=0, most=4)
    assert ledger.judged(DIGEST) == {"finding": 4}
    assert names(ledger) == {"a", "d", "f"}
    ledger.forget(before=0, most=2)
    assert names(ledger) == {"d", "f"}


def test_what_is_judged_again_is_one_and_remembered_for_longer(ledger: Ledger) -> None:
    ledger.note([finding("a", 0.25, "first")], {}, day=1)
    ledger.hear("first", "pathology", "malignant", day=2)
    ledger.note([finding("a", 0.25, "second")], {}, day=5)
    ledger.forget(before=3, most=10)
    heard = ledger.hear("second", "reader", "benign", day=6)
    assert heard is not None
    assert (heard.counts, heard.source) == ("malignant", "pathology")
    assert ledger.judged(DIGEST) == {"finding": 1}


def test_an_id_that_names_something_goes_on_naming_it(ledger: Ledger) -> None:
    ledger.note([finding("a", 0.25, "request")], {}, day=1)
    ledger.note([finding("b", 0.75, "request")], {}, day=1)
    ledger.note([finding("request", 0.9)], {}, day=1)
    ledger.hear("request", "reader", "benign", day=1)
    assert names(ledger) == {"a"}


@pytest.mark.usefixtures("each_database")
def test_counts_of_workers_add_up(tmp_path: Path) -> None:
    one, two = (Ledger(tmp_path / "feedback.sqlite3") for _ in range(2))
    bins = counted([(DIGEST, [("decision", 0), ("decision", 2)]), (DIGEST, [("decision", 2)])], day=3)
    one.note([], bins, day=3)
    two.note([], bins, day=3)
    assert {day: each.tolist() for day, each in one.days(DIGEST, "decision", since=2).items()} == {3: [2, 0, 4, 0]}
    assert one.days(DIGEST, "decision", since=3) == {}


def test_the_first_reference_is_kept(ledger: Ledger) -> None:
    assert ledger.reference(DIGEST, "decision") is None
    for until in (7, 8):
        ledger.keep_reference(DIGEST, "decision", Reference(until, np.array([until, 0, 1, 0])))
    kept = ledger.reference(DIGEST, "decision")
    assert kept is not None
    assert (kept.until, kept.counts.tolist()) == (7, [7, 0, 1, 0])


def test_a_database_that_is_damaged_is_set_aside(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "feedback.sqlite3")
    ledger.note([finding("a")], {}, day=1)
    (tmp_path / "feedback.sqlite3").write_bytes(b"garbage" * 5000)
    again = Ledger(tmp_path / "feedback.sqlite3")
    again.note([finding("b")], {}, day=1)
    assert again.hear("b", "reader", "benign", day=1) is not None
    assert list(tmp_path.glob("feedback.sqlite3.damaged-*"))
