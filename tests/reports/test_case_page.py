"""A case report for people: its numbers are those of the JSON, in the table, in HTML and in PDF, in both languages."""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from app.explain.canvas import font_bytes
from app.explain.figures import percent
from app.imaging.ct import CTSlice, QualityNote
from app.inference.bundle import Bundle, Interval
from app.inference.prediction import Prediction
from app.inference.suspicion import ScanPoint
from app.inference.vocabulary import Decision, Language
from app.judgement.answers import answer
from app.judgement.case_files import case_files
from app.judgement.case_page import MAX_CARDS, case_page
from app.judgement.finding_rows import COLUMNS, finding_rows
from app.judgement.formats import render
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters, parse_parameters
from app.reports.page import Card, CasePage
from app.reports.page_html import write_html
from app.reports.page_pdf import write_pdf
from app.reports.report import Report
from app.telemetry import Metrics
from tests.reports.cases import DECISIONS, empty_report, series_report, slice_report
from tests.reports.pdf_text import pages_of
from tests.reports.written import Make

WRITTEN: Final = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
DECIDED: Final = pytest.mark.parametrize("decision", DECISIONS)
FOR_ALL: Final = pytest.mark.parametrize("make", [slice_report, series_report, empty_report])
ALIKE: Final = [
    *((series_report, decision, language) for decision in DECISIONS for language in ("en", "zh")),
    (slice_report, "cancer_suspected", "zh"),
    (slice_report, "rejected", "en"),
    (empty_report, "cancer_suspected", "en"),
    (empty_report, "normal", "zh"),
]


def judged(report: Report, parameters: Parameters | None = None, **changes: Any) -> Judgement:
    prediction: Prediction = replace(report.prediction, **changes)
    return Judgement(report.image, parameters or Parameters(), prediction, report.bundle, None, None, {})


class Words(HTMLParser):
    """The words of a page, and what its elements name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def in_html(page: CasePage) -> str:
    return " ".join(Words(write_html(page).decode()).words)


def in_pdf(page: CasePage) -> str:
    """Lines end where the column does: white space says nothing."""
    return "".join(pages_of(write_pdf(page, font_bytes()))).replace(" ", "")


def numbers(said: Any) -> list[str]:
    """What the page must say of an answer, as people read it."""
    told = [] if said["probability"] is None else [percent(said["probability"])]
    for found in said["findings"]:
        told += [] if found["probability"] is None else [percent(found["probability"])]
        if (size := found["size"]) is None:
            continue
        told.append(f"{size['long_axis_mm']:.1f} × {size['short_axis_mm']:.1f}")
        for measured, digits in ((size["mean_diameter_mm"], 1), (size.get("volume_mm3"), 0)):
            if measured is not None:
                low, high = measured["interval"]
                told.append(f"{measured['value']:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})")
    return told


@pytest.mark.parametrize(("make", "decision", "language"), ALIKE)
def test_html_and_pdf_say_what_the_json_says(
    make: Make, decision: Decision, language: Language, bundle: Bundle
) -> None:
    judgement = judged(make(decision, bundle))
    said, page = answer(judgement, language, ""), case_page(judgement, language, WRITTEN)
    html, pdf = in_html(page), in_pdf(page)
    assert said["display"] in html
    assert said["display"].replace(" ", "") in pdf
    for told in numbers(said):
        assert told in html, told
        assert told.replace(" ", "") in pdf, told
    for found in said["findings"]:
        assert found["location"]["display"] in html
        assert found["location"]["display"].replace(" ", "") in pdf


@pytest.mark.parametrize(("make", "language"), [(series_report, "zh"), (slice_report, "en")])
def test_a_bundle_holds_paper_that_says_what_the_json_says(make: Make, language: Language, bundle: Bundle) -> None:
    report = make("cancer_suspected", bundle)
    judgement = judged(report, Parameters(pdf=True))
    (written,) = render(judgement, "fhir", language, lambda _: report.headers, Metrics())
    form = json.loads(written)["entry"][0]["resource"]["presentedForm"][0]
    words = "".join(pages_of(b64decode(form["data"]))).replace(" ", "")
    assert form["language"] == language
    for told in numbers(answer(judgement, language, "")):
        assert told.replace(" ", "") in words, told
    (bare,) = render(judged(report), "fhir", language, lambda _: report.headers, Metrics())
    assert b"presentedForm" not in bare


@FOR_ALL
@DECIDED
def test_the_table_has_the_numbers_of_the_json(make: Make, decision: Decision, bundle: Bundle) -> None:
    said: Any = answer(judged(make(decision, bundle)), "en", "")
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS)
    table.writeheader()
    table.writerows(finding_rows(said))
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(rows) == max(1, len(said["findings"]))
    assert {row["decision"] for row in rows} == {decision}
    assert [row["finding"] for row in rows] == ([str(found["id"]) for found in said["findings"]] or [""])
    for row, found in zip(rows, said["findings"], strict=False):
        assert number(row["scan_probability"]) == said["probability"]
        assert number(row["probability"]) == found["probability"]
        assert row["side"] == (found["location"]["side"] or "")
        assert number(row["slice"]) == (found["slice"]["index"] + 1 if "slice" in found else None)
        assert [number(row[name]) for name in ("x_mm", "y_mm", "z_mm")] == list(found["center_mm"])
        size = found["size"] or {}
        assert number(row["long_axis_mm"]) == size.get("long_axis_mm")
        assert number(row["short_axis_mm"]) == size.get("short_axis_mm")
        for name, unit in (("mean_diameter", "mm"), ("volume", "mm3")):
            wanted = size.get(f"{name}_{unit}")
            measured = [number(row[f"{name}_{end}"]) for end in (unit, "low", "high")]
            assert measured == ([None] * 3 if wanted is None else [wanted["value"], *wanted["interval"]])
        for name, trait in found["traits"].items():
            assert number(row[name]) == trait["value"]


def number(text: str) -> float | None:
    return float(text) if text else None


def test_the_finding_s_own_probability_stands_first_and_the_scan_s_beside_it(bundle: Bundle) -> None:
    page = case_page(judged(series_report("cancer_suspected", bundle)), "en", WRITTEN)
    assert (page.leading, page.leading_caption) == ("87 %", "Finding 1: probability of malignancy")
    assert page.decision == "Whole series: Suspicious for lung cancer, 87 %"
    assert [card.heading for card in page.cards] == [
        "Finding 1: right lung, upper third (estimate)",
        "Finding 2: left lung, middle third (estimate)",
        "Finding 3: right lung, middle third (estimate)",
    ]
    assert [card.probability for card in page.cards] == ["87 %", "44 %", "not judged"]
    assert named(page.cards[1])["Slice"] == "slice 4 of 5, z -142.5 mm"


def named(card: Card) -> dict[str, str]:
    return dict(card.pairs)


def test_what_does_not_count_has_a_row_and_no_pictures(bundle: Bundle) -> None:
    judgement = judged(series_report("normal", bundle))
    page = case_page(judgement, "en", WRITTEN)
    assert (page.leading, page.decision, page.cards) == ("", "Whole series: No suspicious nodule found", ())
    (findings,) = (section.table for section in page.first if section.table is not None)
    assert findings.faint == {0, 1, 2}


def test_a_slice_without_findings_is_shown(bundle: Bundle) -> None:
    (card,) = case_page(judged(empty_report("normal", bundle)), "en", WRITTEN).cards
    assert card.anatomy.png.startswith(b"\x89PNG")
    assert (card.tiles, card.pairs) == (None, ())


def test_no_more_findings_have_pictures_than_a_reader_looks_at(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    first = report.prediction.findings[0]
    many = tuple(replace(first, id=number) for number in range(1, MAX_CARDS + 4))
    page = case_page(judged(report, findings=many), "en", WRITTEN)
    assert len(page.cards) == MAX_CARDS
    assert len(next(each.table for each in page.first if each.table is not None).rows) == len(many)


def test_why_and_what_to_bear_in_mind_is_said_in_words(bundle: Bundle) -> None:
    words: dict[Language, tuple[str, str]] = {
        "en": ("Too near the threshold to decide", "Thick slices: small nodules fade"),
        "zh": ("过于接近判定阈值", "层厚较大，小结节可能不可见"),
    }
    for language, (why, note) in words.items():
        text = in_html(case_page(judged(slice_report("indeterminate", bundle)), language, WRITTEN))
        assert why in text
        assert note in text
        assert "Slice thickness is 6 mm." in text


def test_the_score_says_what_a_finding_counts_for(bundle: Bundle) -> None:
    report = series_report("indeterminate", bundle)
    some = Interval(value=0.5, low=0.4, high=0.6)
    point = ScanPoint(
        per="series",
        listed_from=0.0,
        open_from=1.0,
        suspected_from=2.0,
        chosen_for="a test",
        sensitivity=some,
        false_alarms=some,
        scans=3,
    )
    first, second, _ = case_page(judged(report, point=point), "en", WRITTEN).cards
    scored = "uncertain: score 2.50, uncertain from 1.00, suspicious from 2.00; the classifier objects"
    assert named(first)["Counts as"] == scored
    assert named(second)["Counts as"] == "uncertain: score 1.50, uncertain from 1.00, suspicious from 2.00"


def test_guidelines_that_were_asked_for_have_their_rows(bundle: Bundle) -> None:
    parameters = parse_parameters({"guidelines": "lung-rads,brock,fleischner", "context": '{"age_years": 30}'})
    report = series_report("cancer_suspected", bundle)
    judgement = judged(report, parameters)
    said: Any = answer(judgement, "en", "")
    page = case_page(judgement, "en", WRITTEN)
    (section,) = (each for each in page.last if each.heading.startswith("Guidelines"))
    assert section.table is not None
    rows = section.table.rows
    assert dict(section.pairs)["Known"].startswith("age_years 30")
    for assessed in said["guidelines"]["assessments"]:
        for found in assessed.get("findings", ()):
            assert ("", str(found["finding"]), found["category"], ", ".join(found["possible"]), found["rule"]) in rows
        for found in assessed.get("probabilities", ()):
            low, high = found["interval"]
            assert f"{low:.1%}–{high:.1%}" in [row[3] for row in rows]
    assert any("is not made" in row[2] or row[2].startswith("not made") for row in rows)


def test_html_loads_nothing_and_runs_nothing_of_others(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    note = QualityNote("thick_slice", "warning", "<script>alert(1)</script>")
    text = write_html(case_page(judged(report, quality=(note,)), "en", WRITTEN)).decode()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    sources = Words(text).sources
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]+", "", text).replace("http-equiv", "")


def test_the_same_case_gives_the_same_pdf(bundle: Bundle) -> None:
    page = case_page(judged(slice_report("cancer_suspected", bundle)), "zh", WRITTEN)
    assert write_pdf(page, font_bytes()) == write_pdf(page, font_bytes())


def test_what_the_font_lacks_is_marked_in_a_pdf(bundle: Bundle) -> None:
    note = QualityNote("of_others", "warning", "a 龘 b")
    page = case_page(judged(slice_report("cancer_suspected", bundle), quality=(note,)), "en", WRITTEN)
    assert "a?b" in in_pdf(page)


def test_a_report_names_no_patient(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    judgement = judged(report)
    text = in_html(case_page(judgement, "en", WRITTEN))
    header = report.headers[0]
    assert str(header.PatientName) not in text
    assert header.PatientID not in text
    assert "2026-03-14" in text
    assert "2026-03-14" not in in_html(case_page(replace(judgement, deidentified=True), "en", WRITTEN))


def test_files_of_a_case_begin_with_the_slice_that_weighs_most(bundle: Bundle) -> None:
    suspected = case_files(judged(series_report("cancer_suspected", bundle)), "en")
    assert list(suspected) == ["report.html", "report.pdf", "01-slice-002.png", "02-slice-004.png"]
    assert all(content for content in suspected.values())
    normal = case_files(judged(series_report("normal", bundle)), "en")
    assert list(normal) == ["report.html", "report.pdf", "01-slice-003.png"]
    report = slice_report("normal", bundle)
    assert isinstance(report.image, CTSlice)
    assert list(case_files(judged(report), "en")) == ["report.html", "report.pdf", "slice.png"]
