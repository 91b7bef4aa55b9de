"""The dependencies of the routes: the objects built in `app.main`, the authorised client, and its language."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.api.negotiation import preferred_language
from app.api.uploads.body import BodyLimit
from app.delivery.worker import Delivery
from app.inference.engine import Engine, SeriesLane, SeriesSlot
from app.inference.registry import ModelRegistry
from app.inference.vocabulary import Language
from app.judgement.judge import Judge
from app.security.token_check import require_token
from app.settings import KILOBYTE, MEGABYTE, Settings
from app.telemetry import Metrics
from app.text.reader import ReportReader


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that live as long as the process."""

    settings: Settings
    registry: ModelRegistry
    judge: Judge
    engine: Engine
    lane: SeriesLane
    metrics: Metrics
    delivery: Delivery | None = None
    reader: ReportReader = field(default_factory=ReportReader)

    @property
    def slice_limit(self) -> BodyLimit:
        """The limits of a body with one slice."""
        settings = self.settings
        return BodyLimit(settings.max_body_mb * MEGABYTE, "LUNGSCOPE_MAX_BODY_MB", settings.upload_patience_seconds)

    @property
    def study_limit(self) -> BodyLimit:
        """The limits of a body with a series."""
        settings = self.settings
        return BodyLimit(settings.max_study_mb * MEGABYTE, "LUNGSCOPE_MAX_STUDY_MB", settings.upload_patience_seconds)

    @property
    def report_limit(self) -> BodyLimit:
        """The limits of a body with a report."""
        settings = self.settings
        return BodyLimit(settings.max_report_kb * KILOBYTE, "LUNGSCOPE_MAX_REPORT_KB", settings.upload_patience_seconds)


async def services(request: Request) -> Services:
    """The objects built at start-up."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


bearer = HTTPBearer(auto_error=False, description="The token that the operator of this service has set.")


async def authorise(
    services: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Raise NotAuthorised unless the client may use /v1."""
    token = services.settings.api_token
    if token is not None:
        require_token(credentials.credentials if credentials else "", token.get_secret_value())


async def series_slot(services: ServicesDep) -> AsyncIterator[SeriesSlot]:
    """A place for one series until its answer is sent; raises ModelLoading, or Overloaded when no place is free."""
    services.registry.models()
    with services.lane.slot() as slot:
        yield slot


SlotDep = Annotated[SeriesSlot, Depends(series_slot)]


async def language(
    accept_language: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Language:
    """The language of the words in `display`."""
    return preferred_language(accept_language)


LanguageDep = Annotated[Language, Depends(language)]
