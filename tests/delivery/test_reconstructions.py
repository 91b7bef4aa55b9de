"""One reconstruction of each study: the best of those that are there, another one where that cannot be judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.delivery.database.series_states import SeriesName
from app.delivery.database.store import ResultStore
from app.delivery.judging import SpoolWork
from app.delivery.reconstructions import OnePerStudy
from app.delivery.spool.spool import Spool, SpoolLimits
from app.errors import GantryTilt, LeftOutByRules
from app.inference.series_lane import SeriesLane
from app.reports.result import ReportReference, ResultObject, SeriesResult
from app.telemetry import Metrics
from tests.delivery.spool.test_spool import receive

pytestmark = pytest.mark.usefixtures("each_database")
LATER = 4e9
STUDY, THIN, THICK, SCOUT = "1.1", "1.2", "1.3", "1.4"
RANKS = {"thin": (1.0,), "thick": (5.0,), "scout": None}


def rank(paths: Sequence[Path]) -> tuple[float, ...] | None:
    """By what stands in the files."""
    return RANKS[paths[0].read_text().split()[0]]


class Site:
    """A spool whose judge writes down which series it was given."""

    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.store = ResultStore(folder / "results.sqlite3")
        self.spool = Spool(folder / "spool", SpoolLimits(1 << 20, 1e9, 0, 0, 1))
        self.judged: list[str] = []
        self.unfit: set[str] = set()
        self.work = SpoolWork(
            self.spool,
            self.store,
            SeriesLane(1),
            self._judge,
            {"dicom": ["pacs"]},
            self.metrics,
            keep_hours=1,
            one_per_study=OnePerStudy(self.spool, self.store, rank),
        )

    def _judge(self, paths: Sequence[Path], *_: Any) -> SeriesResult:
        kind = paths[0].read_text().split()[0]
        if RANKS[kind] is None:
            raise LeftOutByRules(found="a scout", expected="slices", remedy="None.")
        if kind in self.unfit:
            raise GantryTilt(found="a tilt", expected="none", remedy="Send another.")
        self.judged.append(kind)
        uid = f"report on {kind} {len(self.judged)}"
        item = ResultObject(uid, "dicom", STUDY, "1.9", "{}", b"x")
        return SeriesResult([item], ReportReference(STUDY, "1.9", uid, "1"))

    def bring(self, series: str, *instances: str, study: str = STUDY) -> None:
        self.store.received([SeriesName(self.spool.name_of(series), study, series)], now=time.time(), expires_at=LATER)
        receive(self.spool, *instances, series=series)

    def run(self) -> None:
        while self.work.step():
            pass

    def states(self) -> dict[str, tuple[str, str]]:
        statuses = self.store.statuses(STUDY, self.spool.places())
        return {each.series_uid: (each.state, each.code) for each in statuses}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_best_of_those_that_are_there_is_judged_and_the_others_are_left_out(site: Site) -> None:
    site.bring(THICK, "thick 1", "thick 2")
    site.bring(SCOUT, "scout 1")
    site.bring(THIN, "thin 1", "thin 2")
    site.run()
    assert site.judged == ["thin"]
    states = site.states()
    assert states[THIN] == ("delivering", "")
    assert states[THICK] == ("left_out", "other_reconstruction")
    assert states[SCOUT][0] == "left_out"
    assert site.metrics.registry.get_sample_value("lungscope_spooled_series_total", {"outcome": "left_out"}) == 2


def test_another_is_judged_where_the_best_is_unfit(site: Site) -> None:
    site.unfit.add("thin")
    site.bring(THICK, "thick 1")
    site.bring(THIN, "thin 1")
    site.run()
    assert site.judged == ["thick"]
    assert (site.states()[THIN], site.states()[THICK]) == (("unfit", "gantry_tilt"), ("delivering", ""))


def test_what_comes_when_another_was_judged_is_left_out_but_not_its_own_late_slice(site: Site) -> None:
    site.bring(THICK, "thick 1")
    site.run()
    site.bring(THIN, "thin 1")
    site.run()
    assert site.judged == ["thick"]
    site.bring(THICK, "thick 2")
    site.run()
    assert site.judged == ["thick", "thick"]
    site.bring(THIN, "thin 2")
    site.run()
    assert site.judged == ["thick", "thick"]
    assert site.states()[THIN] == ("left_out", "other_reconstruction")


def test_nobody_takes_another_while_one_is_judged(site: Site) -> None:
    site.bring(THICK, "thick 1")
    assert site.work.one_per_study is not None
    claim = site.spool.claim(LATER, site.work.one_per_study.may_take)
    assert claim is not None
    site.bring(THIN, "thin 1")
    assert site.spool.claim(LATER, site.work.one_per_study.may_take) is None
    claim.release()
    site.run()
    assert site.judged == ["thick"]


def test_a_better_one_that_still_comes_is_waited_for(site: Site) -> None:
    site.bring(THICK, "thick 1")
    site.bring(THIN, "thin 1")
    with site.spool.reception() as reception:
        reception.open_part().close()
        reception.keep(THIN, "thin 2")
        assert not site.work.step()
    site.run()
    assert site.judged == ["thin"]


def test_series_of_other_studies_are_judged(site: Site) -> None:
    site.bring(THICK, "thick 1", study="2.1")
    site.bring(THIN, "thin 1")
    site.run()
    assert sorted(site.judged) == ["thick", "thin"]


def test_without_the_rule_each_is_judged(site: Site) -> None:
    site.work = replace(site.work, one_per_study=None)
    site.bring(THICK, "thick 1")
    site.bring(THIN, "thin 1")
    site.run()
    assert sorted(site.judged) == ["thick", "thin"]
