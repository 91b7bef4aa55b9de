"""Whose scans two series are, and how many days lie between them, as far as their headers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from pydicom.dataset import Dataset

from app.errors import DifferentPatients, MalformedDicom, PriorAfterCurrent
from app.imaging.ct import QualityNote
from app.imaging.header import Header

DATES: Final = ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")  # the nearest to the scan itself first
PATIENT: Final = {"PatientID": "Patient ID", "PatientBirthDate": "birth date", "PatientSex": "sex"}
ISSUER: Final = "IssuerOfPatientID"
NOT_STATED: Final = QualityNote(
    "patient_not_stated", "warning", "Nothing in the headers says that both series are of one patient."
)
DATES_MISSING: Final = QualityNote(
    "dates_missing",
    "warning",
    "The headers share no date: which series is the earlier, and how fast nodules grow, is not known.",
)
SAME_DAY: Final = QualityNote("same_day", "info", "Both series are of one day: there is no doubling time.")


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What a header says of the patient and of the day, by DICOM's names; without what it leaves empty. For comparing
    alone: never for an answer or a log."""

    patient: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interval:
    """Days from the prior scan to the current one and the attribute that says so; None where both share no date."""

    days: int | None = None
    source: str | None = None


def header_facts(dataset: Dataset) -> HeaderFacts:
    """What can be read of a header; what is odd counts as unstated."""
    header = Header(dataset)
    patient = {name: text.casefold() for name in (*PATIENT, ISSUER) if (text := _text(header, name))}
    dates = {name: day for name in DATES if (day := _day(_text(header, name))) is not None}
    return HeaderFacts(patient, dates)


def require_pair(current: HeaderFacts, prior: HeaderFacts) -> tuple[Interval, tuple[QualityNote, ...]]:
    """The interval between two series of one patient, with remarks on what the headers leave open.

    Raises DifferentPatients, PriorAfterCurrent.
    """
    patient = require_one_patient(current, prior)
    interval, dates = interval_between(current, prior)
    return interval, (*patient, *dates)


def require_one_patient(current: HeaderFacts, prior: HeaderFacts) -> tuple[QualityNote, ...]:
    """Raise DifferentPatients where the headers contradict each other; a remark where they have nothing in common.

    Numbers of two hospitals are no contradiction where both are named.
    """
    elsewhere = _differ(current.patient, prior.patient, ISSUER)
    compared = [name for name in PATIENT if name in current.patient and name in prior.patient]
    compared = [name for name in compared if not (elsewhere and name == "PatientID")]
    wrong = [PATIENT[name] for name in compared if _differ(current.patient, prior.patient, name)]
    if wrong:
        raise DifferentPatients(
            found=f"two series that differ in {' and '.join(wrong)}",
            expected="two series of one patient",
            remedy="Send the right prior. If both are of one patient, correct what their headers say of them first.",
        )
    return () if compared else (NOT_STATED,)


def interval_between(current: HeaderFacts, prior: HeaderFacts) -> tuple[Interval, tuple[QualityNote, ...]]:
    """The interval by the first date that both state; raises PriorAfterCurrent."""
    source = next((name for name in DATES if name in current.dates and name in prior.dates), None)
    if source is None:
        return Interval(), (DATES_MISSING,)
    days = (current.dates[source] - prior.dates[source]).days
    if days < 0:
        raise PriorAfterCurrent(
            found=f"a prior that is {-days} days later than the current series",
            expected="the earlier series as `prior`, the later one as `current`",
            remedy="Swap the two parts.",
        )
    return Interval(days, source), (SAME_DAY,) if days == 0 else ()


def _differ(one: Mapping[str, str], other: Mapping[str, str], name: str) -> bool:
    return name in one and name in other and one[name] != other[name]


def _text(header: Header, name: str) -> str | None:
    try:
        return header.text(name)
    except MalformedDicom:
        return None


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    except ValueError:
        return None
