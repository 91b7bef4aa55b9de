"""Which of the series that come in are judged, by what their headers say."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.errors import InputError, LeftOutByRules, SettingsError
from app.imaging.header import Header, read_header

DERIVED: Final = "DERIVED"  # value 1 of Image Type (PS3.3 C.7.6.1.1.2)
MAX_THICKNESS_MM: Final = 100.0  # beyond any slice of a scanner
Millimetres = Annotated[float, Field(ge=0, le=MAX_THICKNESS_MM)]


def _ignoring_case(value: object) -> object:
    try:
        return re.compile(value, re.IGNORECASE) if isinstance(value, str) else value
    except re.error as error:
        raise ValueError(f"no regular expression: {error.msg}") from None


Expression = Annotated[re.Pattern[str], BeforeValidator(_ignoring_case)]


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a series' header says; None for what it does not. `slices` counts its files, or the frames of one."""

    slices: int
    body_part: str | None = None
    description: str | None = None
    kernel: str | None = None
    thickness_mm: float | None = None
    derived: bool = False


class SeriesRules(BaseModel):
    """The series that are judged. What a header does not say leaves nothing out.

    Of `body_part`, `description` and `kernel` one expression must be found somewhere in the value, whatever its case.
    With `one_per_study` one reconstruction of each study is judged: whose kernel stands first in `kernel`, then the
    thinnest, then the one with the most slices, of those that are there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_part: tuple[Expression, ...] = ()
    description: tuple[Expression, ...] = ()
    kernel: tuple[Expression, ...] = ()
    least_thickness_mm: Millimetres = 0.0
    most_thickness_mm: Millimetres = MAX_THICKNESS_MM
    min_slices: Annotated[int, Field(ge=1, le=5000)] = 1
    derived: bool = True
    one_per_study: bool = True

    def require(self, paths: Sequence[Path]) -> None:
        """Raise LeftOutByRules for a series that is not judged; one whose header cannot be read is judged, which says
        why it cannot be."""
        facts = facts_of(paths)
        for what in () if facts is None else self._against(facts):
            raise LeftOutByRules(
                found=f"a series with another {what}",
                expected="what LUNGSCOPE_RULES says of the series that are judged",
                remedy="Change the rules, and send it again.",
            )

    def may_take(self, body_part: str | None, description: str | None) -> bool:
        """Whether a series may be judged, by what an archive's list says of it: the rest is seen when it is here."""
        return not (_lacks(body_part, self.body_part) or _lacks(description, self.description))

    def rank(self, paths: Sequence[Path]) -> tuple[float, ...] | None:
        """What is smaller of the reconstruction that is rather judged; None for one that the rules leave out."""
        facts = facts_of(paths)
        if facts is None or any(self._against(facts)):
            return None
        fitting = (place for place, kernel in enumerate(self.kernel) if kernel.search(facts.kernel or ""))
        thickness = math.inf if facts.thickness_mm is None else facts.thickness_mm
        return (next(fitting, len(self.kernel)), thickness, -facts.slices)

    def _against(self, facts: SeriesFacts) -> Iterator[str]:
        """What speaks against judging a series, in words."""
        thickness_mm = facts.thickness_mm
        wrong = {
            "body part": _lacks(facts.body_part, self.body_part),
            "description": _lacks(facts.description, self.description),
            "kernel": _lacks(facts.kernel, self.kernel),
            "slice thickness": thickness_mm is not None
            and not self.least_thickness_mm <= thickness_mm <= self.most_thickness_mm,
            "number of slices": facts.slices < self.min_slices,
            "image type (derived)": facts.derived and not self.derived,
        }
        return (what for what, is_wrong in wrong.items() if is_wrong)


def series_rules_in(path: Path) -> SeriesRules | None:
    """The table [series] of a file of rules, whose other tables are not looked at; raises SettingsError."""
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("series")
        return None if table is None else SeriesRules.model_validate(table)
    except (OSError, ValueError) as error:
        raise SettingsError(
            found=f"{path}, rules that cannot be used ({type(error).__name__})",
            expected="a file with which the service starts",
            remedy="Start the service with it: it says what is wrong.",
        ) from None


def _lacks(value: str | None, wanted: Sequence[re.Pattern[str]]) -> bool:
    return bool(wanted) and value is not None and not any(each.search(value) for each in wanted)


def facts_of(paths: Sequence[Path]) -> SeriesFacts | None:
    """What the first of a series' files that can be read says; None where there is none."""
    for path in paths:
        try:
            with path.open("rb") as stream:
                header = Header(read_header(stream))
        except (InputError, OSError):
            continue
        frames = _number(header, "NumberOfFrames") or 1
        return SeriesFacts(
            slices=max(len(paths), int(frames)),
            body_part=header.text_if_usable("BodyPartExamined"),
            description=header.text_if_usable("SeriesDescription"),
            kernel=header.text_if_usable("ConvolutionKernel"),
            thickness_mm=_number(header, "SliceThickness"),
            derived=(header.text_if_usable("ImageType") or "").upper().startswith(DERIVED),
        )
    return None


def _number(header: Header, keyword: str) -> float | None:
    try:
        numbers = header.numbers(keyword, 1)
    except InputError:
        return None
    return numbers[0] if numbers else None
