"""The guard at the door, as the settings want it: who may call, how often, and by which names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.security.callers import Callers, keys_of_token
from app.security.hosts import TrustedHosts
from app.security.key_sets import AddressSource, FileSource, KeySet
from app.security.keys import KeyFile
from app.security.quota import Pace, Quota
from app.security.tokens import TokenRules, Tokens
from app.settings import Settings

ADDRESS: Final = "://"


def who_may_call(settings: Settings) -> Callers:
    """Everybody with the token, a key or a token of the provider; without any of them, anybody. Raises SettingsError.

    A client certificate is asked for by the server, before there is a request.
    """
    token = settings.api_token
    return Callers(
        keys_of_token(None if token is None else token.get_secret_value()),
        None if settings.keys_file is None else KeyFile(settings.keys_file),
        _tokens(settings),
    )


def _tokens(settings: Settings) -> Tokens | None:
    issuer, audience, jwks = settings.jwt_issuer, settings.jwt_audience, settings.jwks
    if issuer is None or audience is None or jwks is None:
        return None
    rules = TokenRules(issuer, audience, settings.jwt_leeway_seconds, settings.jwt_scope_claim)
    source = AddressSource(jwks, settings.ca_file) if ADDRESS in jwks else FileSource(Path(jwks))
    return Tokens(rules, KeySet(source))


def quota(callers: Callers, settings: Settings) -> Quota:
    """The bounds on one caller in one worker. Without names only the pace counts, for each address: those of a hospital
    may all come through one proxy."""
    pace = Pace(settings.caller_rate, settings.caller_burst) if settings.caller_rate else None
    places = settings.threads + settings.queue_limit + settings.max_series
    return Quota(pace, max(1, int(places * settings.caller_share)) if callers.guarded else None)


def refused_with(callers: Callers, settings: Settings) -> tuple[int, ...]:
    """The statuses with which a caller may be refused, for the OpenAPI document."""
    if not callers.guarded:
        return (429,) if settings.caller_rate else ()
    return (401, 403, 429, 503) if callers.tokens is not None else (401, 403, 429)


def trusted_hosts(settings: Settings) -> TrustedHosts:
    """The names in Host that are answered."""
    return TrustedHosts(settings.trusted_hosts, guarded=settings.guarded or settings.open)
