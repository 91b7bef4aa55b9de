"""What the guidelines that were asked for say of one case: the one thing from which every format writes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from app.guidelines.assessment import Assessment
from app.guidelines.case import Case
from app.guidelines.register import GUIDELINES

Origin = Literal["context", "dicom"]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known of the patient or the scan; its origin is what the client told, or the image's header."""

    name: str
    value: int | str | bool
    origin: Origin

    @property
    def words(self) -> str:
        """What is known, and who said it."""
        return f"{self.name} {self.value} ({self.origin})"


@dataclass(frozen=True, slots=True)
class Guidance:
    """What the guidelines were told, and what each says."""

    known: tuple[Fact, ...]
    assessments: tuple[Assessment, ...]


def guidance(case: Case, told: Collection[str], names: Collection[str]) -> Guidance:
    """Ask the guidelines with these names; `told` are the fields of the context that the client gave."""
    return Guidance(tuple(_facts(case, told)), tuple(GUIDELINES[name](case) for name in names))


def _facts(case: Case, told: Collection[str]) -> Iterator[Fact]:
    for name, value in case.context.known().items():
        yield Fact(name, value, "context" if name in told else "dicom")
