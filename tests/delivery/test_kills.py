"""Processes that judge are killed at moments that nobody chose, while series come in halves."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from app.delivery.database.series_states import SeriesName
from tests.delivery.spool.test_spool import receive
from tests.delivery.test_late import LATER, STUDY, Site

pytestmark = pytest.mark.usefixtures("each_database")
SERIES = 12
JUDGES = 2


def judging(folder: Path, kind: type[Site] = Site) -> int:
    """A process that judges until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            site = kind(folder)
            while True:
                site.work.step()
        finally:
            os._exit(1)
    return child


def bring(site: Site, series: str, *instances: str) -> None:
    site.store.received([SeriesName(site.spool.name_of(series), STUDY, series)], now=0, expires_at=LATER)
    receive(site.spool, *instances, series=series)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes")
def test_every_series_ends_in_one_report_on_all_of_it(tmp_path: Path) -> None:
    site, chance = Site(tmp_path), random.Random(7)
    names = [f"1.5.{number}" for number in range(SERIES)]
    halves = [(name, half) for name in names for half in (f"<{name} a>", f"<{name} b>")]
    chance.shuffle(halves)
    judges = [judging(tmp_path) for _ in range(JUDGES)]
    try:
        for name, half in halves:
            bring(site, name, half)
            if chance.random() < 0.4:
                place = chance.randrange(JUDGES)
                os.kill(judges[place], signal.SIGKILL)
                os.waitpid(judges[place], 0)
                judges[place] = judging(tmp_path)
    finally:
        for child in judges:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    site.run()
    assert len(site.spool) == 0
    stand = site.store.statuses(STUDY, site.spool.places())
    assert sorted(each.series_uid for each in stand) == sorted(names)
    reports = site.store.find()
    assert len(reports) == SERIES
    for each in stand:
        whole = f"<{each.series_uid} a><{each.series_uid} b>"
        # One that was killed with its judge three times, by chance, has a report too that says so.
        own = [report for report in reports if f"<{each.series_uid} " in report]
        assert own == [f"report on {whole}"] or (each.state == "failed" and own[0].startswith("judge_ended of "))
    assert sorted(site.due()) == sorted(reports)
