"""The rows of a table of one's own: their columns, their cells as values, and errors that name both."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.data.nodules import INDETERMINATE, MALIGNANCY_SCALE, TRAIT_SCALES, DatasetMalformed, DatasetMissing

REQUIRED: Final = ("image", "column", "row", "patient")
OPTIONAL: Final = ("diameter_mm", "outline", "fold", "frame", "pixel_spacing_mm", "window")
KNOWN: Final = {*REQUIRED, *OPTIONAL, "label", "malignancy", *TRAIT_SCALES}
BINARY: Final = ("1", "0", "1.0", "0.0")  # what programs make of 1 and 0 in a column with gaps
SUSPICIOUS: Final = ("suspicious", "cancer", "malignant", "malignancy", "positive", "yes", "true", "恶性", "悪性", "癌")
BENIGN: Final = ("benign", "normal", "negative", "no", "false", "良性", "正常")
UNSURE: Final = ("indeterminate", "uncertain", "unsure")
LABELS: Final = {
    **dict.fromkeys((*SUSPICIOUS, "1", "1.0"), MALIGNANCY_SCALE[1]),
    **dict.fromkeys((*BENIGN, "0", "0.0"), MALIGNANCY_SCALE[0]),
    **dict.fromkeys(UNSURE, INDETERMINATE),
}
SURPLUS: Final = "\0"  # the key of cells beyond the last column; an empty one is that of a table's own index
MISSPELT: Final = 0.82  # likeness (difflib) from which a strange column is taken for a known one that is not there


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `number` is what a spreadsheet shows, the header being 1."""

    number: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def error(self, column: str, expected: str, remedy: str, *, found: str | None = None) -> DatasetMalformed:
        shown = found or (f"{self.text(column)[:40]!r}" if self.text(column) else "nothing")
        return DatasetMalformed(
            found=f"{shown} in row {self.number}, column {column!r}", expected=expected, remedy=remedy
        )

    def required(self, column: str, what: str) -> str:
        if not self.text(column):
            raise self.error(column, what, "Fill it in, or remove the row.")
        return self.text(column)

    def number_in(self, column: str, low: float, high: float, *, whole: bool = False) -> float | None:
        """A number, or None for an empty cell."""
        if not self.text(column):
            return None
        try:
            value = float(self.text(column))
        except ValueError:
            value = math.nan
        if not low <= value <= high or (whole and not value.is_integer()):
            kind = "a whole number" if whole else "a number"
            raise self.error(column, f"{kind} from {low:g} to {high:g}", "Write it with a decimal point, no unit.")
        return value

    def ratings(self, column: str, scale: tuple[int, int]) -> tuple[int, ...]:
        """One rating for each reader; empty for an empty cell."""
        low, high = scale
        parts = [part.strip() for part in self.text(column).split(";")] if self.text(column) else []
        if not all(part.isdecimal() and low <= int(part) <= high for part in parts):
            raise self.error(column, f"whole numbers from {low} to {high}, `;` between readers", "Correct the ratings.")
        return tuple(map(int, parts))


def read_rows(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    """The rows and what was noticed; raises DatasetMissing or DatasetMalformed."""
    if not path.is_file():
        raise DatasetMissing(found=f"no file {path.name}", expected="a CSV table", remedy="Check the path.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets put a mark before UTF-8
            reader = csv.DictReader(stream, restkey=SURPLUS, strict=True)
            columns = tuple(name.strip() for name in reader.fieldnames or ())
            reader.fieldnames = columns
            rows = [Row(number, cells) for number, cells in enumerate(reader, 2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetMalformed(
            found=f"{path.name} that is not a CSV file ({error})",
            expected="UTF-8 text, commas between cells",
            remedy="Export it again as CSV (UTF-8).",
        ) from None
    _check_columns(path, columns, rows)
    _refuse_ambiguous_labels(rows)
    strange = [name for name in columns if name not in KNOWN]
    return rows, (
        f"Columns that are not read: {', '.join(name or 'one without a name' for name in strange)}.",
    ) if strange else ()


def read_column(path: Path, column: str, most: int) -> dict[int, str]:
    """The text of a column by row number; raises DatasetMalformed when it is not there or has too many values."""
    rows, _ = read_rows(path)
    texts = {row.number: row.text(column) for row in rows}
    if column not in rows[0].cells or len(set(texts.values())) > most:
        found = f"{len(set(texts.values()))} values in column" if column in rows[0].cells else "no column"
        raise DatasetMalformed(
            found=f"{found} {column!r} in {path.name}",
            expected=f"a column of at most {most} values to group by",
            remedy="Give a column of groups, such as sex, scanner or age in bands.",
        )
    return texts


def _check_columns(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    answers = [name for name in ("label", "malignancy") if name in columns]
    if not answers:
        missing.append("label (or malignancy)")
    rated = [name for name in TRAIT_SCALES if name in columns]
    partly = [name for name in TRAIT_SCALES if name not in columns] if rated else []
    both = answers if len(answers) > 1 else []
    twice = sorted({name for name in columns if columns.count(name) > 1})
    found = {"missing": missing, "misspelt": _misspelt(columns), "missing beside other traits": partly, "both": both,
             "twice": twice}  # fmt: skip
    said = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    if said or not rows:
        raise DatasetMalformed(
            found=f"{path.name} with {'; '.join(said) or 'no rows'}",
            expected=f"commas between cells, the columns {', '.join(REQUIRED)} and one of label and malignancy; "
            f"all seven traits or none; optional {', '.join(OPTIONAL)}",
            remedy="Rename or add the columns in the first row.",
        )
    for row in rows:
        if row.cells.get(SURPLUS):
            raise row.error(columns[-1], "as many cells as columns", "Quote cells with a comma.", found="more cells")


def _misspelt(columns: Sequence[str]) -> list[str]:
    """Columns that would be left out and look like a known one that is not there."""
    absent = KNOWN - set(columns)
    likely = {name: difflib.get_close_matches(name, absent, 1, MISSPELT) for name in columns if name not in KNOWN}
    return [f"{name} ({meant[0]}?)" for name, meant in likely.items() if meant]


def _refuse_ambiguous_labels(rows: Iterable[Row]) -> None:
    """A bare 1 says suspicious, and beside ratings it would say the opposite."""
    bare = [row for row in rows if row.text("label") in BINARY]
    rated = [row for row in rows if row.text("label").isdecimal() and row.text("label") not in BINARY]
    if bare and rated:
        raise rated[0].error(
            "label",
            f"one meaning of the numbers: row {bare[0].number} has {bare[0].text('label')!r}, which is a label",
            "Write suspicious and benign, or move all ratings into a column malignancy.",
        )


def malignancy_of(row: Row) -> tuple[int, ...]:
    """One rating for each reader; a word is one reader's."""
    label = row.text("label").lower()
    if label in LABELS:
        return (LABELS[label],)
    return row.ratings("malignancy", MALIGNANCY_SCALE) or row.ratings("label", MALIGNANCY_SCALE) or _no_label(row)


def _no_label(row: Row) -> tuple[int, ...]:
    column = "label" if "label" in row.cells else "malignancy"
    expected = "a word (suspicious, benign, cancer, normal, …), 1 or 0, or ratings such as 4;5;3"
    raise row.error(column, expected, "Label the nodule or remove the row.")
