"""Reads the labelled reports, with their official split (RadNLP 2024, CC BY 4.0)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.data.nodules import DatasetMalformed

FOLDER: Final = "lung-ct-reports"
FILE: Final = "reports.jsonl"
LABELS: Final = (
    "omittable",
    "measure",
    "extension",
    "atelectasis",
    "satellite",
    "lymphadenopathy",
    "pleural",
    "distant",
)
Language = Literal["en", "ja"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "ja")


class Report(BaseModel):
    """One report: its official sentences and the labels of each. `case_guess` tells which reports are of one CT; known
    of the split `val` only."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    language: Language
    split: Literal["train", "val"]
    case_guess: str | None
    text: str
    sentences: Annotated[tuple[str, ...], Field(min_length=1)]
    labels: tuple[tuple[str, ...], ...]

    @model_validator(mode="before")
    @classmethod
    def _names_are_text(cls, given: dict[str, object]) -> dict[str, object]:
        case = given.get("case_guess")
        return {**given, "id": str(given["id"]), "case_guess": None if case is None else str(case)}

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if len(self.labels) != len(self.sentences):
            raise ValueError(f"{len(self.sentences)} sentences and {len(self.labels)} lists of labels")
        if unknown := {label for labels in self.labels for label in labels} - set(LABELS):
            raise ValueError(f"unknown labels {sorted(unknown)}")
        return self


def read_reports(data: Path) -> tuple[Report, ...]:
    """All reports of the folder `lung-ct-reports` under `data`.

    Raises DatasetMalformed for a line that is no report and for a report that both splits hold, OSError without file.
    """
    lines = (data / FOLDER / FILE).read_text("utf-8").splitlines()
    reports = tuple(_report(number, line) for number, line in enumerate(lines, start=1) if line)
    require_no_leak(reports)
    return reports


def of_split(reports: Sequence[Report], split: Literal["train", "val"]) -> tuple[Report, ...]:
    """The reports of one official split, in their order."""
    return tuple(report for report in reports if report.split == split)


def require_no_leak(reports: Sequence[Report]) -> None:
    """Raise DatasetMalformed when a report, or the same text, lies in both splits.

    Nine radiologists wrote about each CT: a case in both splits would leak. The two languages of a report have one id.
    """
    one, other = of_split(reports, "train"), of_split(reports, "val")
    shared = {r.id for r in one} & {r.id for r in other} | {r.text for r in one} & {r.text for r in other}
    if shared:
        raise DatasetMalformed(
            found=f"{len(shared)} reports in both splits",
            expected="the official split, which keeps the reports about one CT together",
            remedy="Take reports.jsonl as it was released.",
        )


def reports_digest(reports: Sequence[Report]) -> str:
    """sha256 of every sentence and label, in order."""
    digest = hashlib.sha256(repr([(r.id, r.language, r.sentences, r.labels) for r in reports]).encode())
    return f"sha256:{digest.hexdigest()[:16]}"


def _report(number: int, line: str) -> Report:
    try:
        return Report.model_validate_json(line)
    except (ValidationError, ValueError) as error:
        raise DatasetMalformed(
            found=f"line {number} of {FILE}, which is no report ({type(error).__name__})",
            expected="id, language, split, text, sentences and labels",
            remedy="Take the file as it was released.",
        ) from None
