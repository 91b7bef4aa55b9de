"""Instances that come after their series was judged, what kills its judge, and where a series stands meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from app.delivery.database.clock_steps import read_clock
from app.delivery.database.series_states import KNOWN_S, SeriesName, SeriesStatus
from app.delivery.database.store import ResultStore
from app.delivery.judging import MAX_ATTEMPTS, SpoolWork
from app.delivery.spool.spool import Spool, SpoolLimits
from app.errors import GantryTilt, LocalizerImage, SpoolFull
from app.inference.series_lane import SeriesLane
from app.reports.result import ObjectKind, ReportReference, ResultObject, SeriesResult
from app.telemetry import Metrics
from tests.delivery.spool.test_spool import receive

pytestmark = pytest.mark.usefixtures("each_database")
LATER: Final = 4e9
HOUR_S: Final = 3600.0
SERIES, STUDY = "1.2", "1.1"


class Site:
    """A spool whose judge writes down the instances that it was given, and reports on exactly them."""

    def __init__(self, folder: Path, late_hours: float = 1, max_bytes: int = 1 << 20) -> None:
        self.folder = folder / "spool"
        self.metrics = Metrics()
        self.store = ResultStore(folder / "results.sqlite3")
        self.spool = Spool(self.folder, SpoolLimits(max_bytes, 1e9, 0, 0, late_hours), self.metrics.quarantined.inc)
        owed: dict[ObjectKind, Sequence[str]] = {"dicom": ["pacs"]}
        self.judged: list[tuple[str, str | None]] = []
        self.replaced: list[str] = []
        self.fault: Exception | None = None
        self.work = SpoolWork(
            self.spool,
            self.store,
            SeriesLane(1),
            self._judge,
            owed,
            self.metrics,
            keep_hours=1,
            say_why_not=self._say_why_not,
        )

    def _judge(
        self, paths: Sequence[Path], _: datetime, __: object, ___: object, predecessor: ReportReference | None
    ) -> SeriesResult:
        seen = "".join(sorted(path.read_text() for path in paths))
        self.judged.append((seen, None if predecessor is None else predecessor.uid))
        self.replaced = [] if predecessor is None else [predecessor.uid, *(each.uid for each in predecessor.earlier)]
        if self.fault is not None:
            raise self.fault
        return one(f"report on {seen}")

    def _say_why_not(
        self, paths: Sequence[Path], _: datetime, code: str, __: str, predecessor: ReportReference | None
    ) -> SeriesResult:
        replaced = "nothing" if predecessor is None else predecessor.uid
        return one(f"{code} of {''.join(sorted(path.read_text() for path in paths))} for {replaced}")

    def bring(self, *instances: str) -> None:
        self.store.received([SeriesName(self.spool.name_of(SERIES), STUDY, SERIES)], now=time.time(), expires_at=LATER)
        receive(self.spool, *instances, series=SERIES)

    def run(self) -> None:
        while self.work.step():
            pass

    def due(self) -> list[str]:
        """What a PACS would get, in the order in which it would."""
        found = []
        while (item := self.store.due("pacs", LATER)) is not None:
            found.append(item.uid)
            self.store.settle("pacs", item.uid)
        return found

    def status(self) -> SeriesStatus:
        (status,) = self.store.statuses(STUDY, self.spool.places())
        return status

    def count(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("lungscope_spooled_series_total", {"outcome": outcome})


def one(uid: str) -> SeriesResult:
    return SeriesResult([ResultObject(uid, "dicom", STUDY, "1.9", "{}", b"x")], ReportReference(STUDY, "1.9", uid, "1"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_late_slice_is_judged_with_what_came_before_and_its_report_replaces_the_other(site: Site) -> None:
    site.bring("a", "b")
    site.run()
    assert site.due() == ["report on ab"]
    site.bring("c")
    assert site.status().state == "waiting"
    site.run()
    assert site.judged == [("ab", None), ("abc", "report on ab")]
    assert site.due() == ["report on abc"]
    assert site.store.find() == ["report on abc"]


def test_of_halves_sent_apart_the_first_is_not_delivered_any_more(site: Site) -> None:
    """Nobody was there to take it before the other half came."""
    for half in (("a", "c"), ("b", "d"), ("a", "c")):
        site.bring(*half)
        site.run()
    assert [seen for seen, _ in site.judged] == ["ac", "abcd", "abcd"]
    assert site.due() == ["report on abcd"]


def test_a_half_that_could_not_be_judged_is_completed(site: Site) -> None:
    site.fault = GantryTilt(found="a tilt", expected="none", remedy="Send another.")
    site.bring("a")
    site.run()
    assert (site.status().state, site.status().code) == ("unfit", "gantry_tilt")
    assert site.due() == ["gantry_tilt of a for nothing"]
    site.fault = None
    site.bring("b")
    site.run()
    assert site.judged[-1] == ("ab", "gantry_tilt of a for nothing")
    assert site.due() == ["report on ab"]


def test_a_report_stands_when_a_late_instance_spoils_its_series(site: Site) -> None:
    site.bring("a")
    site.run()
    site.fault = GantryTilt(found="a tilt", expected="none", remedy="Send another.")
    site.bring("b")
    site.run()
    assert site.due() == ["report on a", "gantry_tilt of ab for nothing"]
    site.fault = None
    site.bring("c")
    site.run()
    assert site.judged[-1] == ("abc", "report on a")
    assert site.store.find() == ["report on abc"]


def test_once_it_is_no_longer_kept_a_late_slice_waits_for_the_others(site: Site) -> None:
    site.bring("a", "b")
    site.run()
    came = max(path.stat().st_mtime for path in (site.folder / "judged").iterdir())
    site.spool.sweep(came + HOUR_S - 1)
    assert list((site.folder / "judged").iterdir())
    site.spool.sweep(came + HOUR_S + 1)
    assert not list((site.folder / "judged").iterdir())
    site.bring("c")
    site.run()
    assert [seen for seen, _ in site.judged] == ["ab"]
    assert (site.status().state, site.status().code, site.count("late")) == ("delivering", "late_instances", 1)
    site.bring("b", "a")
    site.run()
    assert site.judged[-1] == ("abc", "report on ab")
    assert site.status().code == ""


def test_where_nothing_is_kept_a_late_slice_is_not_judged_alone(tmp_path: Path) -> None:
    site = Site(tmp_path, late_hours=0)
    site.bring("a", "b")
    site.run()
    site.bring("c")
    site.run()
    assert [seen for seen, _ in site.judged] == ["ab"]
    assert not [path for path in site.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    site.bring("a", "b", "c")
    site.run()
    assert [seen for seen, _ in site.judged] == ["ab", "abc"]


def test_what_was_judged_is_forgotten_after_its_time(site: Site) -> None:
    site.bring("a")
    site.run()
    name = site.spool.name_of(SERIES)
    assert site.store.known(name) is not None
    site.store.expire(time.time() + KNOWN_S + HOUR_S)
    assert site.store.known(name) is None


def test_a_clock_that_is_set_makes_nobody_forget_what_was_judged(site: Site) -> None:
    now, name = time.time(), site.spool.name_of(SERIES)
    site.bring("a")
    site.run()
    reading, ahead_s = read_clock(), 2 * KNOWN_S
    assert reading is not None
    reading = replace(reading, ahead_s=reading.ahead_s + ahead_s)
    site.store.follow_clock(reading, now=now + ahead_s, keep_s=HOUR_S)
    site.store.expire(now + ahead_s)
    assert site.store.known(name) is not None
    site.store.expire(now + ahead_s + KNOWN_S + HOUR_S)
    assert site.store.known(name) is None


def test_what_is_kept_gives_way_to_what_comes(tmp_path: Path) -> None:
    site = Site(tmp_path, max_bytes=1000)
    site.bring("a" * 600)
    site.run()
    site.bring("b" * 600)
    with site.spool.reception():
        assert not list((site.folder / "judged").iterdir())
    receive(site.spool, "c" * 600, series="1.3")
    with pytest.raises(SpoolFull), site.spool.reception():
        pass


def test_nobody_takes_a_late_slice_while_its_series_is_judged(site: Site) -> None:
    site.bring("a")
    claim = site.spool.claim(LATER)
    assert claim is not None
    site.bring("b")
    assert site.status().state == "judging"
    assert site.spool.claim(LATER) is None
    claim.done(keep=True)
    taken = site.spool.claim(LATER)
    assert taken is not None
    assert {path.read_text() for path in taken.paths} == {"a", "b"}
    taken.release()


def test_a_process_that_died_while_it_joined_instances_loses_none(site: Site) -> None:
    site.bring("a", "b")
    site.run()
    site.bring("c")
    claim = site.spool.claim(LATER)
    assert claim is not None
    # As it is between two renames.
    kept = site.folder / "judged" / site.spool.name_of(SERIES)
    kept.mkdir()
    moved = next(path for path in claim.paths if path.read_text() == "a")
    moved.rename(kept / moved.name)
    claim.release()
    site.run()
    assert site.judged[-1][0] == "abc"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process")
def test_what_kills_its_judge_three_times_is_set_apart_and_said(tmp_path: Path) -> None:
    def die(*_: object) -> SeriesResult:
        os._exit(1)

    for _ in range(MAX_ATTEMPTS):
        site = Site(tmp_path)
        if not len(site.spool):
            site.bring("a")
        in_child(lambda site=site: replace(site.work, judge=die).step())  # type: ignore[misc]  # bound at once
    site = Site(tmp_path)
    site.run()
    assert site.judged == []
    assert (site.status().state, site.status().code) == ("failed", "judge_ended")
    assert (site.count("quarantined"), len(site.spool), len(list((site.folder / "quarantine").iterdir()))) == (1, 0, 1)
    assert site.due() == ["judge_ended of a for nothing"]
    # A late slice of it is not judged alone either.
    site.bring("b")
    site.run()
    assert (site.judged, site.count("late")) == ([], 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process")
def test_what_kills_who_says_so_too_is_set_apart_all_the_same(tmp_path: Path) -> None:
    def die(*_: object) -> SeriesResult:
        os._exit(1)

    for _ in range(MAX_ATTEMPTS + 1):
        site = Site(tmp_path)
        if not len(site.spool):
            site.bring("a")
        in_child(lambda site=site: replace(site.work, judge=die, say_why_not=die).step())  # type: ignore[misc]  # bound at once
    site = Site(tmp_path)
    replace(site.work, say_why_not=die).step()
    assert (site.status().state, len(site.spool), site.due()) == ("failed", 0, [])


def in_child(work: Callable[[], Any]) -> None:
    """Have a process of its own do it, and end."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_what_fails_every_time_is_set_apart_and_said(site: Site) -> None:
    site.fault = ZeroDivisionError()
    site.bring("a")
    site.run()
    assert len(site.judged) == MAX_ATTEMPTS
    assert (site.status().state, site.status().code, site.count("failed")) == ("failed", "internal_error", 1)
    assert site.due() == ["internal_error of a for nothing"]
    assert len(list((site.folder / "quarantine").iterdir())) == 1


def test_a_scout_is_left_out_without_a_report(site: Site) -> None:
    site.fault = LocalizerImage(found="a scout", expected="slices", remedy="None.")
    site.bring("a")
    site.run()
    assert (site.status().state, site.status().code, site.count("left_out")) == ("left_out", "localizer", 1)
    assert site.due() == []


def test_where_nobody_wants_to_know_nothing_is_said_of_what_is_unfit(site: Site) -> None:
    site.work = replace(site.work, say_why_not=None)
    site.fault = GantryTilt(found="a tilt", expected="none", remedy="Send another.")
    site.bring("a")
    site.run()
    assert (site.status().state, site.due()) == ("unfit", [])


def test_of_what_was_too_old_to_be_judged_no_late_slice_is_judged_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    limits = SpoolLimits(1 << 20, 1, 1e9, 1e9)
    site.bring("a")
    waiting = replace(site.work, spool=Spool(site.folder, limits))
    waiting.step(time.time() + 2 * HOUR_S)
    assert (site.status().state, site.status().code, site.count("expired")) == ("failed", "dropped", 1)
    site.bring("b")
    site.run()
    assert (site.judged, site.count("late")) == ([], 1)


def test_where_a_series_stands(site: Site) -> None:
    site.store.received([SeriesName("never there", STUDY, "1.5")], now=time.time(), expires_at=LATER)
    assert (site.status().state, site.status().code) == ("failed", "dropped")
    site.store.expire(LATER)
    site.bring("a")
    assert site.status().state == "waiting"
    site.run()
    assert (site.status().state, site.status().waiting) == ("delivering", {"pacs": 1})
    site.store.settle("pacs", "report on a")
    assert (site.status().state, site.status().refused_by) == ("delivered", [])
    site.bring("b")
    site.run()
    site.store.settle("pacs", "report on ab", refused=True)
    assert (site.status().state, site.status().code) == ("failed", "refused_by_destination")
    assert site.status().refused_by == ["pacs"]
    assert site.store.statuses("1.7", {}) == []


def test_results_are_bounded_by_those_that_were_delivered(site: Site) -> None:
    big = [ResultObject(f"1.{n}", "dicom", STUDY, "1.9", "{}", bytes(100_000)) for n in range(20)]
    site.store.put("claim", big, {"dicom": ["pacs"]}, now=0, expires_at=LATER)
    assert not site.store.make_room(1_000_000)
    with pytest.raises(SpoolFull, match="LUNGSCOPE_RESULTS_MB"):
        site.store.require_room(1_000_000)
    site.work = replace(site.work, most_bytes=1_000_000)
    site.bring("a")
    assert not site.work.step()
    assert site.judged == []
    site.store.settle("pacs", "1.3", refused=True)
    for n in (4, 5, 6):
        site.store.settle("pacs", f"1.{n}", expires_at=LATER + n)
    assert site.store.make_room(1_900_000)
    assert {f"1.{n}" for n in (4, 5, 6)}.isdisjoint(site.store.find())
    assert "1.3" in site.store.find()


def test_what_everybody_has_is_dropped_after_a_time_of_its_own(site: Site) -> None:
    site.store.put("claim", one("1.4").objects, {"dicom": ["pacs", "copy"]}, now=0, expires_at=100)
    site.store.settle("pacs", "1.4", expires_at=10)
    assert site.store.expire(50) == 0
    assert site.store.find() == ["1.4"]
    site.store.settle("copy", "1.4", expires_at=60)
    site.store.expire(60)
    assert site.store.find() == []


def test_everything_is_private(site: Site, tmp_path: Path) -> None:
    site.bring("a", "b")
    site.run()
    site.bring("c")
    with site.spool.reception() as reception:
        reception.open_part().close()
        modes = {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    odd = {name: oct(mode) for name, mode in modes.items() if mode != (0o700 if (tmp_path / name).is_dir() else 0o600)}
    odd = {name: mode for name, mode in odd.items() if (tmp_path / name).exists()}
    assert odd == {}
