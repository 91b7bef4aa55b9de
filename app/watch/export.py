"""Verdicts beside answers as rows, in the shape in which registries of AI results take them: what was said by which
software, what is true by which standard, and how both agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from app import __version__
from app.watch.ledger import Case

DAY_S: Final = 86_400
Called: TypeAlias = Literal["positive", "negative", "indeterminate"]
Row: TypeAlias = dict[str, str | float | None]
COLUMNS: Final = (
    *("case", "level", "judged_on", "software", "software_version", "model", "model_version", "model_digest"),
    *("ai_probability", "ai_decision", "ai_result", "reference_result", "reference_detail", "reference_source"),
    "agreement",
)
AGREEMENT: Final[Mapping[tuple[Called, bool], str]] = {
    ("positive", True): "true_positive",
    ("positive", False): "false_positive",
    ("negative", True): "false_negative",
    ("negative", False): "true_negative",
}


def rows_of(cases: Iterable[Case], models: Mapping[str, tuple[str, str]]) -> Iterator[Row]:
    """One row a case, with the columns COLUMNS; `models` are names and versions by digest, as far as they are known.

    `case` is the keyed hash by which the service knows it. `software_version` is the one that writes the rows.
    """
    for case in cases:
        name, version = models.get(case.digest, (None, None))
        called: Called = "indeterminate" if case.called is None else "positive" if case.called else "negative"
        malignant = case.verdict == "malignant"
        values = (
            *(case.name, case.what, f"{datetime.fromtimestamp(case.day * DAY_S, UTC):%Y-%m-%d}"),
            *("Lungscope", __version__, name, version, case.digest),
            *(case.probability, case.decision, called, "positive" if malignant else "negative", case.verdict),
            *("pathology" if case.pathology else "reader", AGREEMENT.get((called, malignant), "not_called")),
        )
        yield dict(zip(COLUMNS, values, strict=True))
