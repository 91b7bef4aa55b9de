"""Which reports a new one replaces: whichever of them a destination has, it must be able to tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import GantryTilt
from tests.delivery.test_late import SERIES, STUDY, Site

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_one_that_a_pacs_has_although_another_came_between_that_it_never_got(site: Site) -> None:
    site.bring("a")
    site.run()
    assert site.due() == ["report on a"]
    for late in "bc":
        site.bring(late)
        site.run()
    assert site.due() == ["report on abc"]
    assert site.replaced == ["report on ab", "report on a"]


def test_the_one_that_stands_and_the_one_that_said_beside_it_why_nothing_could_be(site: Site) -> None:
    site.bring("a")
    site.run()
    site.fault = GantryTilt(found="a tilt", expected="none", remedy="Send another.")
    site.bring("b")
    site.run()
    assert site.due() == ["report on a", "gantry_tilt of ab for nothing"]
    site.fault = None
    site.bring("c")
    site.run()
    assert site.replaced == ["report on a", "gantry_tilt of ab for nothing"]


def test_none_twice_when_the_same_is_sent_again(site: Site) -> None:
    for _ in range(2):
        for late in ("a", "b"):
            site.bring(late)
            site.run()
    assert site.judged[-1] == ("ab", "report on ab")
    assert site.replaced == ["report on ab", "report on a"]


def test_what_an_older_version_has_remembered(site: Site) -> None:
    site.bring("a")
    site.run()
    reference = {"study_uid": STUDY, "series_uid": "1.9", "uid": "report on a", "sop_class": "1"}
    with site.store._transaction() as connection:
        connection.execute("UPDATE known_series SET report = ?", (json.dumps({"report": reference, "judged": True}),))
    known = site.store.known(site.spool.name_of(SERIES))
    assert known is not None
    assert known.report is not None
    assert (known.report.uid, known.report.earlier) == ("report on a", ())
