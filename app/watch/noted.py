"""What is noted of a judgement: names that nobody undoes without the key, probabilities, and no patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from app.inference.prediction import Finding
from app.judgement.judge import Judgement

What = Literal["finding", "scan"]
Named = Callable[[str, str], str]  # the keyed hash of an id, by what it is of


@dataclass(frozen=True, slots=True)
class Noted:
    """One finding, or one slice or series as a whole (`scan`), as it was judged.

    `name` and `aliases` are keyed hashes of the ids by which clients know it. `probability` is None where there was
    none. `called` says whether it was called suspicious: a finding by its probability at the operating point in force,
    a scan by its decision, None where that was withheld. `digest` is that of the classifier's bundle. `decision` is
    that of the scan or of what was pointed at; of a finding of a search it is what it counts for.
    """

    what: What
    name: str
    aliases: tuple[str, ...]
    digest: str
    probability: float | None
    called: bool | None
    decision: str


def noted(judgement: Judgement, request_id: str | None, named: Named) -> list[Noted]:
    """The findings of a judgement and, unless one place was pointed at, the scan.

    DICOM has names that last: judged again by the same model, a series is the same. A picture is known by its request
    alone, and not at all where there was none.
    """
    pointed = judgement.parameters.roi_px is not None
    # `written` is in none of the UIDs.
    report = judgement.report((), datetime.now(UTC)) if judgement.sources[0].sop_instance_uid else None
    of_report = () if report is None else (report.instance_uid("sr"), report.instance_uid("sr", "decision"))
    whole = _names(named, of_report, request_id)
    prediction = judgement.prediction
    found = []
    for finding in prediction.findings:
        uids = () if report is None else (report.tracking_uid(finding),)
        names = _names(named, uids, None if request_id is None else finding_of(request_id, finding.id))
        names += whole if pointed else ()
        if names:
            found.append(_finding(judgement, finding, names, pointed=pointed))
    if whole and not (pointed and found):
        called = {"cancer_suspected": True, "normal": False}.get(prediction.decision)
        digest = judgement.bundle.digest
        found.append(Noted("scan", whole[0], whole[1:], digest, prediction.probability, called, prediction.decision))
    return found


def finding_of(request_id: str, finding: int) -> str:
    """What a finding of an answer is called, by the ids that the answer has."""
    return f"{request_id}#{finding}"


def _finding(judgement: Judgement, finding: Finding, names: tuple[str, ...], *, pointed: bool) -> Noted:
    prediction, p = judgement.prediction, finding.probability
    called = None if p is None else p >= prediction.operating_point
    decision = prediction.decision if pointed else finding.suspicion or ""
    return Noted("finding", names[0], names[1:], judgement.bundle.digest, p, called, decision)


def _names(named: Named, uids: tuple[str, ...], of_request: str | None) -> tuple[str, ...]:
    """First the name that lasts longest."""
    names = tuple(named("uid", uid) for uid in uids)
    return names if of_request is None else (*names, named("request", of_request))
