"""Verdicts on what was judged, and how answers agree with them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app import telemetry
from app.api.deps import Services, ServicesDep, actor_of, authorise
from app.api.negotiation import JSON, media_ranges
from app.api.problems import responses_for
from app.api.uploads.body import BodyLimit, body_of
from app.errors import (
    EmptyInput,
    FeedbackOff,
    InvalidParameter,
    MalformedJson,
    UnknownModel,
)
from app.inference.arrivals import Arrivals
from app.inference.bundle import Interval
from app.judgement.answer_types import ModelRef
from app.judgement.answers import identity
from app.settings import KILOBYTE
from app.watch.drift import Drift, State
from app.watch.ledger import Heard, Source, Verdict
from app.watch.noted import What, finding_of
from app.watch.performance import Agreement, FindingAgreement, Smallest
from app.watch.sketch import Side
from app.watch.watch import Watch

router = APIRouter(prefix="/v1", tags=["feedback"], dependencies=[Depends(authorise)])
MAX_BYTES: Final = 4 * KILOBYTE
EXAMPLE: Final[dict[str, Any]] = {
    "request_id": "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11",
    "finding": 1,
    "verdict": "malignant",
    "source": "pathology",
}
UID: Final = r"^[0-9]+(\.[0-9]+)*$"  # PS3.5 9.1


class FeedbackIn(BaseModel):
    """A verdict on a finding or on a whole answer, by an id that the answer has."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    request_id: Annotated[uuid.UUID | None, Field(description="of the answer")] = None
    finding: Annotated[
        int | None, Field(strict=True, ge=1, le=10_000, description="its `id` in that answer; without it the whole")
    ] = None
    uid: Annotated[
        str | None,
        Field(
            strict=True,
            pattern=UID,
            max_length=64,
            description="in place of both: the tracking UID of a finding in SR, SEG, FHIR and comparisons, or the SOP "
            "Instance UID of the structured report for the whole",
        ),
    ] = None
    verdict: Annotated[
        Verdict | Literal["withdrawn"],
        Field(description="`no_nodule`: there is none. `withdrawn` takes back what the same source said"),
    ]
    source: Annotated[Source, Field(description="pathology counts before the reader, whichever came last")]

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.request_id is None) == (self.uid is None) or (self.finding is not None and self.uid is not None):
            raise ValueError("either request_id, perhaps with finding, or uid")
        return self


class FeedbackOut(BaseModel):
    """What became of a verdict, and the one that counts now."""

    model_config = ConfigDict(frozen=True)

    of: Annotated[What, Field(description="a finding, or the whole (`scan`)")]
    changed: Annotated[bool, Field(description="false where the same source had said the same")]
    verdict: Annotated[Verdict | None, Field(description="that counts; null where none is left")]
    source: Source | None


class DriftOut(BaseModel):
    """Where one feature of images or answers stands against its reference."""

    model_config = ConfigDict(frozen=True)

    feature: str
    side: Side
    state: State
    reference: Annotated[int, Field(description="values in the reference, or gathered for it")]
    window: Annotated[int, Field(description="values of late that are compared with it")]
    index: Annotated[float | None, Field(description="population stability index; null while values are gathered")]
    bound: Annotated[float | None, Field(description="of the index, from which the feature has drifted")]


class PerformanceOut(BaseModel):
    """How answers agree with verdicts at this site, beside what the bundle states, and what has drifted."""

    model_config = ConfigDict(frozen=True)

    model: ModelRef
    days: Annotated[int, Field(description="for which judgements are remembered")]
    smallest: Smallest
    findings: FindingAgreement
    scans: Agreement
    stated: Annotated[dict[str, Interval], Field(description="what the bundle states of its own operating point")]
    drift: list[DriftOut]


REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {JSON: {"schema": FeedbackIn.model_json_schema()}},
}
DESCRIPTION: Final = (
    "Say what a reader or pathology found, of a finding or of a whole answer. The verdict is joined to the probability "
    "that was answered; `GET /v1/models/{name}/performance` shows what comes of it. Sent again it counts once, and a "
    "later one of the same source takes its place.\n\n"
    "Nothing of the patient is sent, and ids are kept as keyed hashes."
)


@router.post(
    "/feedback",
    summary="Say what was found",
    description=DESCRIPTION,
    responses=responses_for(400, 404, 406, 408, 413, 415, 501, 503, 507, 500),
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def take_verdict(request: Request, services: ServicesDep) -> FeedbackOut:
    """Keep a verdict."""
    media_ranges(request).require(JSON)
    watch = _watch(services)
    services.records.require()
    said = _read(bytes(await body_of(request, _limit(services))))
    heard = await asyncio.to_thread(_hear, watch, said)
    details = {"of": heard.what, "verdict": said.verdict, "source": said.source, "changed": heard.changed}
    services.records.happened("take_verdict", actor_of(request), telemetry.request_id.get(), details=details)
    return FeedbackOut(of=heard.what, changed=heard.changed, verdict=heard.counts, source=heard.source)


@router.get(
    "/models/{name}/performance",
    summary="Compare answers with verdicts",
    responses=responses_for(404, 501, 503, 507, 500),
)
async def performance(
    name: Annotated[str, Path(description="Name of the model that judges nodules.")], services: ServicesDep
) -> PerformanceOut:
    """Live figures of the version that judges, with 95 % intervals, each once enough verdicts are there; and whether
    images or answers have drifted."""
    bundle = services.registry.bundle
    if name != bundle.manifest.name:
        raise UnknownModel(
            found="the name of a model on whose answers there are no verdicts",
            expected=bundle.manifest.name,
            remedy="GET /v1/models lists the models.",
        )
    watch = _watch(services)
    with watch.ledger.watch.guard():
        found = await asyncio.to_thread(watch.performance)
    point = bundle.manifest.operating_point
    return PerformanceOut(
        model=identity(bundle),
        days=watch.options.days,
        smallest=Smallest(),
        findings=found.findings,
        scans=found.scans,
        stated={"sensitivity": point.sensitivity, "specificity": point.specificity},
        drift=[_drift(drift) for drift in watch.drifts],
    )


def _watch(services: Services) -> Watch:
    if services.watch is None:
        raise FeedbackOff(
            found="a service that remembers no judgements",
            expected="LUNGSCOPE_FEEDBACK_DIR, the folder in which it would",
            remedy="Ask the operator of this service to set it.",
        )
    return services.watch


def _limit(services: Services) -> BodyLimit:
    settings = services.settings
    return BodyLimit(
        MAX_BYTES, "no setting", settings.upload_patience_seconds, settings.min_rate_kb * KILOBYTE, Arrivals()
    )


def _read(body: bytes) -> FeedbackIn:
    """The verdict in a body; raises EmptyInput, MalformedJson and InvalidParameter, which repeat nothing of it."""
    if not body:
        raise EmptyInput(found="no bytes", expected="a verdict as JSON", remedy="Send a body.")
    try:
        return FeedbackIn.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        raise MalformedJson(found="a body that is no JSON", expected="a verdict as JSON", remedy="Correct the body.")
    named = sorted({str(fault["loc"][0]) for fault in faults if fault["loc"]} & set(FeedbackIn.model_fields))
    raise InvalidParameter(
        found=f"a verdict with an unusable or missing {', '.join(named)}" if named else "no verdict on one thing",
        expected="request_id, perhaps with finding, or uid; verdict (malignant, benign, no_nodule, withdrawn); source "
        "(reader, pathology); and nothing else",
        remedy="Correct the body.",
    )


def _hear(watch: Watch, said: FeedbackIn) -> Heard:
    verdict = None if said.verdict == "withdrawn" else said.verdict
    if said.uid is not None:
        return watch.hear("uid", said.uid, said.source, verdict)
    known_by = str(said.request_id)
    return watch.hear(
        "request", known_by if said.finding is None else finding_of(known_by, said.finding), said.source, verdict
    )


def _drift(drift: Drift) -> DriftOut:
    feature = drift.feature
    return DriftOut(
        feature=feature.name,
        side=feature.side,
        state=drift.state,
        reference=drift.reference,
        window=drift.window,
        index=drift.psi,
        bound=drift.bound,
    )
