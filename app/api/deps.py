"""The dependencies of the routes: the objects built in `app.main`, the authorised client, and its language."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request

from app.api.header_values import within_bounds
from app.api.negotiation import preferred_language
from app.api.uploads.body import BodyLimit
from app.delivery.worker import Delivery
from app.inference.arrivals import Arrivals
from app.inference.engine import Engine
from app.inference.networks import Networks
from app.inference.registry import ModelRegistry
from app.inference.series_lane import SeriesLane, SeriesSlot
from app.inference.vocabulary import Language
from app.judgement.judge import Judge
from app.judgement.records import Actor, Records
from app.security.caller import ANYBODY, Caller
from app.security.callers import Callers
from app.security.quota import Quota
from app.security.scopes import access_to
from app.settings import KILOBYTE, MEGABYTE, Settings
from app.telemetry import Metrics
from app.text.reader import ReportReader
from app.versions.versions import LoadedVersions
from app.watch.watch import Watch


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that live as long as the process."""

    settings: Settings
    registry: ModelRegistry
    judge: Judge
    engine: Engine
    lane: SeriesLane
    metrics: Metrics
    study_arrivals: Arrivals
    callers: Callers
    quota: Quota
    networks: Networks
    versions: LoadedVersions
    delivery: Delivery | None = None
    reader: ReportReader = field(default_factory=ReportReader)
    records: Records = field(default_factory=Records)
    watch: Watch | None = None

    @property
    def slice_limit(self) -> BodyLimit:
        """The limits of a body with one slice."""
        return self._limit(self.settings.max_body_mb * MEGABYTE, "LUNGSCOPE_MAX_BODY_MB", self.engine.arrivals)

    @property
    def study_limit(self) -> BodyLimit:
        """The limits of a body with a series."""
        return self._limit(self.settings.max_study_mb * MEGABYTE, "LUNGSCOPE_MAX_STUDY_MB", self.study_arrivals)

    @property
    def store_limit(self) -> BodyLimit:
        """The limits of a body that goes to the disk."""
        return self._limit(self.settings.max_study_mb * MEGABYTE, "LUNGSCOPE_MAX_STUDY_MB", Arrivals())

    @property
    def tensor_limit(self) -> BodyLimit:
        """The limits of a body with numbers in JSON: as Python objects they take twenty times the memory."""
        return self._limit(self.settings.max_json_mb * MEGABYTE, "LUNGSCOPE_MAX_JSON_MB", self.engine.arrivals)

    @property
    def report_limit(self) -> BodyLimit:
        """The limits of a body with a report."""
        return self._limit(self.settings.max_report_kb * KILOBYTE, "LUNGSCOPE_MAX_REPORT_KB", self.engine.arrivals)

    def _limit(self, most_bytes: int, setting: str, arrivals: Arrivals) -> BodyLimit:
        settings = self.settings
        return BodyLimit(
            most_bytes, setting, settings.upload_patience_seconds, settings.min_rate_kb * KILOBYTE, arrivals
        )


async def services(request: Request) -> Services:
    """The objects built at start-up."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def authorise(request: Request, services: ServicesDep) -> AsyncIterator[Caller]:
    """The caller, who may do what is asked and has a place among the requests at work until its answer is sent.

    Raises NotAuthorised, Forbidden, TooManyRequests and IdentityUnavailable.
    """
    caller = await services.callers.identify(request.headers.get("authorization", ""))
    caller.require(access_to(request.method, request.scope["route"].path))
    request.state.caller = caller
    with services.quota.place(_counted_as(caller, request)):
        yield caller


def actor_of(request: Request) -> Actor:
    """Who asked, for the audit trail; `unknown` before that has been found out."""
    caller: Caller | None = getattr(request.state, "caller", None)
    address = None if request.client is None else request.client.host
    return Actor("unknown" if caller is None else caller.name, address)


def _counted_as(caller: Caller, request: Request) -> str:
    """The name under which requests are counted: where nobody says who they are, the address."""
    if caller is not ANYBODY:
        return caller.name
    return "" if request.client is None else f"address {request.client.host}"


async def series_place(services: ServicesDep) -> AsyncIterator[TakePlace]:
    """How to take a place for one series once its files are there, which is given back when the work has ended.

    Raises ModelLoading, and Overloaded when no place is free before anything is received.
    """
    services.registry.models()
    services.lane.require_place()
    with ExitStack() as taken:
        yield lambda: taken.enter_context(services.lane.slot())


TakePlace = Callable[[], SeriesSlot]
PlaceDep = Annotated[TakePlace, Depends(series_place)]


async def language(
    accept_language: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Language:
    """The language of the words in `display`."""
    return preferred_language(within_bounds(accept_language or ""))


LanguageDep = Annotated[Language, Depends(language)]
