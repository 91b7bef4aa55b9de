"""What is kept of a judgement beyond its answer: a line of the audit trail, and a receipt. Either may be off."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.audit.event import SERVICE, Event, Operation
from app.audit.receipts import Judged, Notary, digest_of
from app.audit.trail import AuditTrail
from app.imaging.ct import SliceSource
from app.inference.bundle import Bundle
from app.inference.detector import Detector
from app.inference.registry import ModelRegistry
from app.inference.suspicion import SecondLook
from app.inference.view import ViewCheck
from app.inference.vocabulary import Language
from app.judgement.answer_types import ComparedReportOut
from app.judgement.answers import answer
from app.judgement.conditions import conditions_of
from app.judgement.judge import Judgement
from app.judgement.parameters import parameter_texts
from app.judgement.result_digest import OF_THE_REQUEST, result_bytes, with_members


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked: the name that the operator gave, and the address."""

    name: str = SERVICE
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Attested:
    """An answer in JSON, and its receipt if there is a key."""

    answer: bytes
    receipt: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Records:
    """The audit trail and the notary of a service."""

    trail: AuditTrail | None = None
    notary: Notary | None = None

    @property
    def kept(self) -> bool:
        """Whether anything is kept at all."""
        return self.trail is not None or self.notary is not None

    @property
    def refused(self) -> bool:
        """Whether nothing may be begun now: it could not be put on record."""
        return self.trail is not None and self.trail.refuses

    def require(self) -> None:
        """Raise AuditFull or AuditUnavailable where what is to be done could not be put on record."""
        if self.trail is not None:
            self.trail.require()

    def judged(
        self,
        operation: Operation,
        caller: Caller,
        judgement: Judgement,
        language: Language,
        request_id: str,
        report: ComparedReportOut | None = None,
    ) -> Attested:
        """The answer of a judgement with its receipt, once it is on record; raises AuditFull, AuditUnavailable."""
        written = answer(judgement, language, request_id, report)
        result = result_bytes(written)
        digest = digest_of(result)
        members: dict[str, Any] = {name: value for name, value in written.items() if name in OF_THE_REQUEST}
        receipt = self._receipt(judgement, language, request_id, digest)
        if receipt is not None:
            members["receipt"] = receipt
        if self.trail is not None:
            self.trail.record(self._event(operation, caller, judgement, request_id, digest))
        return Attested(with_members(result, members), receipt)

    def judged_spooled(self, judgement: Judgement, destinations: Sequence[str]) -> None:
        """Put the judgement of a spooled series on record; raises AuditFull, AuditUnavailable."""
        if self.trail is None:
            return
        digest = digest_of(result_bytes(answer(judgement, "en", "")))
        self.trail.record(self._event("judge_spooled", Caller(), judgement, None, digest, tuple(destinations)))

    def delivered(self, destination: str, uid: str, outcome: str) -> None:
        """Put an attempt to deliver a result on record; `uid` is the result's. Raises AuditFull, AuditUnavailable."""
        if self.trail is not None:
            done = "done" if outcome == "delivered" else outcome
            self.trail.record(
                Event("deliver", outcome=done, subject=self.trail.subject(instance=uid), destinations=(destination,))
            )

    def began(self, registry: ModelRegistry) -> None:
        """Put on record that the models are ready, which they are, and what code runs them; raises AuditFull,
        AuditUnavailable."""
        if self.trail is not None:
            conditions = conditions_of(registry)
            models = _named(*registry.bundles, registry.view_bundle)
            self.trail.record(Event("start", models=models, details={**conditions.code, **conditions.settings}))

    def ended(self) -> None:
        """Put on record that the service ends, and give the trail away."""
        if self.trail is not None:
            if not self.trail.refuses:
                self.trail.record(Event("stop"))
            self.trail.close()

    def _receipt(
        self, judgement: Judgement, language: Language, request_id: str, digest: str
    ) -> Mapping[str, Any] | None:
        if self.notary is None:
            return None
        texts = {**parameter_texts(judgement.parameters), "language": language}
        judged = Judged(request_id, judgement.input_digest or "", texts, _models_of(judgement), digest)
        return self.notary.receipt(judged, time.time())

    def _event(
        self,
        operation: Operation,
        caller: Caller,
        judgement: Judgement,
        request_id: str | None,
        digest: str,
        destinations: tuple[str, ...] = (),
    ) -> Event:
        return Event(
            operation,
            caller.name,
            address=caller.address,
            request_id=request_id,
            input=judgement.input_digest,
            result=digest,
            models=_models_of(judgement),
            decision=judgement.prediction.decision,
            subject=self._subject(judgement.sources),
            destinations=destinations,
        )

    def _subject(self, sources: Sequence[SliceSource]) -> dict[str, str | list[str]]:
        if self.trail is None:
            return {}
        first = sources[0]
        return self.trail.subject(
            study=first.study_instance_uid,
            series=first.series_instance_uid,
            instance=first.sop_instance_uid if len(sources) == 1 else None,
            accession=first.accession_number,
        )


def _models_of(judgement: Judgement) -> dict[str, str]:
    asked = (judgement.bundle, judgement.view, judgement.detector, judgement.second_look)
    return _named(*(each for each in asked if each is not None))


def _named(*bundles: Bundle | Detector | SecondLook | ViewCheck) -> dict[str, str]:
    return {f"{each.manifest.name}/{each.manifest.version}": each.digest for each in bundles}
