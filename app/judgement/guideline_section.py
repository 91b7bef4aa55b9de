"""What the guidelines say, as a section of a case report; the words of their tables are English."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.inference.vocabulary import Language
from app.judgement.guideline_answers import GuidelineOut, GuidelinesOut, MissingOut, ProbabilityOut
from app.reports.page import Section, Table
from app.reports.page_words import PAGE_WORDS, PageWord

COLUMNS: Final[tuple[PageWord, ...]] = ("guideline", "finding", "category", "possible", "rule")
Row = tuple[str, ...]


def guidelines_section(said: GuidelinesOut, language: Language) -> Section:
    """A row for each guideline, and one for each finding that counts; what is not known below."""
    known = ", ".join(f"{fact['name']} {fact['value']}" for fact in said["known"])
    rows = tuple(row for assessed in said["assessments"] for row in _rows(assessed, language))
    missing = dict.fromkeys(each["message"] for assessed in said["assessments"] for each in _missing(assessed))
    return Section(
        PAGE_WORDS["guidelines"][language],
        pairs=((PAGE_WORDS["known"][language], known or PAGE_WORDS["none"][language]),),
        table=Table(tuple(PAGE_WORDS[name][language] for name in COLUMNS), rows),
        sentences=(f"{PAGE_WORDS['missing'][language]}: {' '.join(missing)}",) if missing else (),
    )


def _rows(said: GuidelineOut, language: Language) -> Iterator[Row]:
    if not said["applies"]:
        words = PAGE_WORDS["not_for_such"][language].format(reason=said["reason"])
        yield (said["name"], "", words, "", said["source"])
        return
    category = said["category"]
    whole = "" if category is None else PAGE_WORDS["whole"][language]
    yield (said["name"], whole, category or "", ", ".join(said["possible"]), said["source"])
    for each in said.get("findings", ()):
        if each["counts"]:
            yield ("", str(each["finding"]), each["category"], ", ".join(each["possible"]), each["rule"])
    for found in said.get("probabilities", ()):
        if found["counts"]:
            yield _probability_row(found)


def _probability_row(found: ProbabilityOut) -> Row:
    own, interval = found["probability"], found["interval"]
    between = "" if interval is None else f"{interval[0]:.1%}–{interval[1]:.1%}"
    why = "" if interval is not None else " ".join(each["message"] for each in found["missing"])
    return ("", str(found["finding"]), "" if own is None else f"{own:.1%}", between, why)


def _missing(said: GuidelineOut) -> Iterator[MissingOut]:
    yield from said["missing"]
    for each in said.get("findings", ()):
        if each["counts"]:
            yield from each["missing"]
    for found in said.get("probabilities", ()):
        if found["counts"]:
            yield from found["missing"]
