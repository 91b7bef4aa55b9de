"""What is kept of a judgement beyond its answer: a line of the audit trail, and a receipt. Either may be off."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.audit.event import SERVICE, Event, Operation
from app.audit.forwarding import Forwarding
from app.audit.receipts import Judged, Notary, digest_of
from app.audit.trail import AuditTrail
from app.errors import AuditFull, AuditUnavailable
from app.imaging.ct import SliceSource
from app.imaging.volume import CTVolume
from app.inference.bundle import Bundle
from app.inference.detector import Detector
from app.inference.registry import ModelRegistry
from app.inference.sequence import NoduleSequence
from app.inference.suspicion import SecondLook
from app.inference.view import ViewCheck
from app.inference.vocabulary import Language
from app.judgement.answer_types import ComparedReportOut
from app.judgement.answers import answer
from app.judgement.conditions import conditions_of
from app.judgement.judge import Judgement
from app.judgement.parameters import parameter_texts
from app.judgement.result_digest import OF_THE_REQUEST, result_bytes, with_members

Receipt: TypeAlias = Mapping[str, Any]  # the members of `app.judgement.answer_types.ReceiptOut`


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked: the name that the operator gave, and the address; the service itself where nobody did."""

    name: str = SERVICE
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Attested:
    """An answer in JSON, and its receipt if there is a key."""

    answer: bytes
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class Records:
    """The audit trail and the notary of a service, and what sends the trail to a collector."""

    trail: AuditTrail | None = None
    notary: Notary | None = None
    forwarding: Forwarding | None = None

    @property
    def kept(self) -> bool:
        """Whether anything is kept at all."""
        return self.trail is not None or self.notary is not None

    def may_begin(self) -> bool:
        """Whether what is to be done could be put on record, or need not be."""
        return self.trail is None or not self.trail.refuses

    def require(self) -> None:
        """Raise AuditFull or AuditUnavailable where what is to be done could not be put on record."""
        if self.trail is not None:
            self.trail.require()

    def judged(
        self,
        operation: Operation,
        actor: Actor,
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
            self.trail.record(self._event(operation, actor, judgement, request_id, digest))
        return Attested(with_members(result, members), receipt)

    def judged_spooled(self, judgement: Judgement, destinations: Sequence[str]) -> None:
        """Put the judgement of a spooled series on record; raises AuditFull, AuditUnavailable."""
        if self.trail is None:
            return
        digest = digest_of(result_bytes(answer(judgement, "en", "")))
        self.trail.record(self._event("judge_spooled", Actor(), judgement, None, digest, tuple(destinations)))

    def happened(self, operation: Operation, actor: Actor, request_id: str | None, **rest: Any) -> None:
        """Put on record what is no judgement; `rest` are further members of an Event, `subject` by plain values.

        Raises AuditFull, AuditUnavailable.
        """
        if self.trail is not None:
            subject = self.trail.subject(**rest.pop("subject", {}))
            event = Event(operation, actor.name, address=actor.address, request_id=request_id, subject=subject, **rest)
            self.trail.record(event)

    def refused_request(self, actor: Actor, action: str, code: str) -> None:
        """Count a request that was refused with this code; the trail has a line a second for all of a kind."""
        if self.trail is not None:
            self.trail.refused(actor.name, action, code, actor.address)

    def delivered(self, destination: str, uid: str, outcome: str) -> None:
        """Put an attempt to deliver a result on record; `uid` is the result's. Raises AuditFull, AuditUnavailable."""
        if self.trail is not None:
            done = "done" if outcome == "delivered" else outcome
            self.trail.record(
                Event("deliver", outcome=done, subject=self.trail.subject(instance=uid), destinations=(destination,))
            )

    def start(self) -> None:
        """Begin to keep the trail, and to send it."""
        if self.trail is not None:
            self.trail.start()
        if self.forwarding is not None:
            self.forwarding.start()

    def began(self, registry: ModelRegistry) -> None:
        """Put on record that the models are ready, which they are, and what code runs them, as far as that can be."""
        if self.notary is not None:
            self.notary.prepare()
        if self.trail is not None:
            conditions = conditions_of(registry)
            models = _named(*registry.bundles, registry.view_bundle)
            with suppress(AuditFull, AuditUnavailable):
                self.trail.record(Event("start", models=models, details={**conditions.code, **conditions.settings}))

    def models_changed(self) -> None:
        """Have further receipts say what other models run on."""
        if self.notary is not None:
            self.notary.renew()

    def ended(self) -> None:
        """Put on record that the service ends, and give the trail away."""
        if self.trail is not None:
            with suppress(AuditFull, AuditUnavailable):
                self.trail.record(Event("stop"))
        if self.forwarding is not None:
            self.forwarding.close()
        if self.trail is not None:
            self.trail.close()

    def _receipt(self, judgement: Judgement, language: Language, request_id: str, digest: str) -> Receipt | None:
        if self.notary is None:
            return None
        of = "series" if isinstance(judgement.image, CTVolume) else "slice"
        texts = {**parameter_texts(judgement.parameters), "language": language, "of": of}
        settings = {"operating_point": repr(judgement.prediction.operating_point)}
        judged = Judged(request_id, judgement.input_digest or "", texts, _models_of(judgement), digest, settings)
        return self.notary.receipt(judged, time.time())

    def _event(
        self,
        operation: Operation,
        actor: Actor,
        judgement: Judgement,
        request_id: str | None,
        digest: str,
        destinations: tuple[str, ...] = (),
    ) -> Event:
        return Event(
            operation,
            actor.name,
            address=actor.address,
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
    asked = (judgement.bundle, judgement.view, judgement.detector, judgement.second_look, judgement.sequence)
    return _named(*(each for each in asked if each is not None))


def _named(*bundles: Bundle | Detector | SecondLook | ViewCheck | NoduleSequence) -> dict[str, str]:
    return {f"{each.manifest.name}/{each.manifest.version}": each.digest for each in bundles}
