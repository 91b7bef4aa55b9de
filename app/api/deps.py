"""What routes get handed: the objects built in `app.main`, and who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.api.language import preferred_language
from app.inference.engine import Engine
from app.inference.registry import ModelRegistry
from app.inference.vocabulary import Language
from app.security import require_token
from app.settings import Settings
from app.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that lives as long as the process."""

    settings: Settings
    registry: ModelRegistry
    engine: Engine
    metrics: Metrics


def services(request: Request) -> Services:
    """The objects built at start-up."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


bearer = HTTPBearer(auto_error=False, description="The token that the operator of this service has set.")


def authorise(
    services: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Raise NotAuthorised unless the caller may use /v1."""
    token = services.settings.api_token
    if token is not None:
        require_token(credentials.credentials if credentials else "", token.get_secret_value())


def language(
    accept_language: Annotated[
        str | None, Header(description="`zh` for Chinese display words; English otherwise.")
    ] = None,
) -> Language:
    """The language of `display`."""
    return preferred_language(accept_language)


LanguageDep = Annotated[Language, Depends(language)]
