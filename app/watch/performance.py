"""How well the answers agree with the verdicts so far, as far as their number allows to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from app.watch.figures import MIN_EXPECTED, MIN_OF_A_CLASS, Figure, auc, observed_to_expected, share
from app.watch.ledger import Case, Verdict
from app.watch.noted import What

VERDICTS: Final[tuple[Verdict, ...]] = ("malignant", "benign", "no_nodule")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Agreement(_Frozen):
    """Answers beside verdicts, of findings or of scans. A figure is null while its cases are too few."""

    judged: Annotated[int, Field(description="that are remembered, with a verdict or without")]
    verdicts: Annotated[dict[str, int], Field(description="that count, by what they say")]
    of_pathology: Annotated[int, Field(description="of these")]
    withheld: Annotated[int, Field(description="of these: rejected or left open, so that nothing was called")]
    sensitivity: Annotated[Figure | None, Field(description="of the malignant, those that were called suspicious")]
    specificity: Annotated[Figure | None, Field(description="of all others, those that were not")]


class FindingAgreement(Agreement):
    """Findings: called suspicious from the operating point on."""

    auc: Figure | None
    observed_to_expected: Annotated[
        Figure | None, Field(description="malignant findings for each that the probabilities let expect")
    ]
    nodules: Annotated[Figure | None, Field(description="of findings with a verdict, those that are nodules at all")]


class Smallest(_Frozen):
    """The numbers from which a figure is given."""

    of_a_class: Annotated[int, Field(description="malignant, or not")] = MIN_OF_A_CLASS
    expected: Annotated[float, Field(description="malignant, and as many not, for observed_to_expected")] = MIN_EXPECTED


def findings_agreement(cases: Sequence[Case], judged: int) -> FindingAgreement:
    """Of the findings among some cases; those that were not judged count for nothing but their number."""
    own = _of("finding", cases)
    known = [case for case in own if case.probability is not None]
    malignant = np.array([case.verdict == "malignant" for case in known], np.bool_)
    probability = np.array([case.probability for case in known], np.float64)
    nodules = sum(case.verdict != "no_nodule" for case in own)
    return FindingAgreement(
        **_common(own, judged).model_dump(),
        auc=auc(malignant, probability),
        observed_to_expected=observed_to_expected(malignant, probability),
        nodules=share(nodules, len(own)),
    )


def scans_agreement(cases: Sequence[Case], judged: int) -> Agreement:
    """Of the slices and series among some cases that were judged as a whole: called suspicious by their decision.

    One that was left open or rejected was not called, and counts against neither figure: `withheld` says how many.
    """
    return _common(_of("scan", cases), judged)


def _of(what: What, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.what == what]


def _common(cases: Sequence[Case], judged: int) -> Agreement:
    called = [case for case in cases if case.called is not None]
    malignant = [case for case in called if case.verdict == "malignant"]
    others = [case for case in called if case.verdict != "malignant"]
    return Agreement(
        judged=judged,
        verdicts={verdict: sum(case.verdict == verdict for case in cases) for verdict in VERDICTS},
        of_pathology=sum(case.pathology is not None for case in cases),
        withheld=len(cases) - len(called),
        sensitivity=share(sum(bool(case.called) for case in malignant), len(malignant)),
        specificity=share(sum(not case.called for case in others), len(others)),
    )
