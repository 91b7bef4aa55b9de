"""Who is told by messages that a series cannot be judged, and who is not because something was found in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from app.errors import GantryTilt
from app.reports.result import ReportReference, ResultObject, SeriesResult
from tests.delivery.test_late import STUDY, Site


def said(*_: Any) -> SeriesResult:
    """A report for the PACS, and a message for the RIS."""
    report = ResultObject("why", "dicom", STUDY, "1.9", "{}", b"x")
    message = ResultObject("why in words", "hl7", STUDY, "1.9", "{}", b"x")
    return SeriesResult([report, message], ReportReference(STUDY, "1.9", "why", "1"))


def told(site: Site) -> list[tuple[str, str]]:
    return [(each.destination, each.uid) for each in site.store.owed()]


def test_what_was_found_is_not_taken_back_by_a_message_that_nothing_could_be(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.work = replace(site.work, say_why_not=said, destinations={"dicom": ["pacs"], "hl7": ["ris"]})
    site.bring("a")
    site.run()
    site.fault = GantryTilt(found="a tilt", expected="none", remedy="Send another.")
    site.bring("b")
    site.run()
    assert told(site) == [("pacs", "report on a"), ("pacs", "why")]


def test_who_is_told_of_results_is_told_that_there_is_none(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.work = replace(site.work, say_why_not=said, destinations={"dicom": ["pacs"], "hl7": ["ris"]})
    site.fault = GantryTilt(found="a tilt", expected="none", remedy="Send another.")
    site.bring("a")
    site.run()
    assert told(site) == [("pacs", "why"), ("ris", "why in words")]
