"""Where results are sent, as the settings or the file of rules say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import HttpUrl, SecretStr

from app.api.rules import DestinationRule, DimseRule, FhirRule, Hl7Rule, Rules, StowRule, WebhookRule, read_rules
from app.delivery.destinations.destination import Destination
from app.delivery.destinations.dicomweb import StowDestination
from app.delivery.destinations.fhir import FhirDestination
from app.delivery.destinations.http_client import Access
from app.delivery.destinations.mllp import Endpoint, Hl7Destination
from app.errors import SettingsError
from app.judgement.orders import Order
from app.reports.hl7 import MessageOptions
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Route:
    """A destination, what it gets, and the pause in seconds after a first failure."""

    destination: Destination
    order: Order
    retry_s: float


def rules_of(settings: Settings) -> Rules:
    """The rules of the file; without one none. Raises SettingsError for a file that cannot be used, and for what
    contradicts the settings."""
    if settings.rules is None:
        return Rules()
    if settings.pacs_url or settings.fhir_url or settings.deliver_dimse:
        raise SettingsError(
            found="LUNGSCOPE_RULES beside LUNGSCOPE_PACS_URL, LUNGSCOPE_FHIR_URL or LUNGSCOPE_DELIVER_DIMSE",
            expected="destinations in one place",
            remedy="Name them in the rules, in tables [[destination]], and unset the variable.",
        )
    rules = read_rules(settings.rules)
    named = [
        each
        for each in rules.destination
        if isinstance(each, Hl7Rule) or (isinstance(each, WebhookRule) and each.identifiers)
    ]
    if settings.deidentify and named:
        raise SettingsError(
            found=f"LUNGSCOPE_DEIDENTIFY beside the destination {named[0].name}, which is told of whom a result is",
            expected="results that name no patient",
            remedy="Leave out destinations of kind hl7, and identifiers of webhooks, or the setting.",
        )
    return rules


def routes_of(settings: Settings, rules: Rules) -> list[Route]:
    """The destinations of the rules, or of the settings where there is no file of rules; raises SettingsError for one
    that cannot be used."""
    if settings.rules is not None:
        return [_route(settings, rule) for rule in rules.destination]
    routes = []
    if settings.pacs_url is not None:
        access = access_of(settings, settings.pacs_url, settings.pacs_token, settings.pacs_user, settings.pacs_password)
        routes.append(Route(StowDestination(access), Order("pacs", "dicom"), settings.retry_seconds))
    if settings.fhir_url is not None:
        access = access_of(settings, settings.fhir_url, settings.fhir_token, settings.fhir_user, settings.fhir_password)
        routes.append(Route(FhirDestination(access), Order("fhir", "fhir"), settings.retry_seconds))
    if settings.deliver_dimse is not None:
        archive = _dimse(settings, "dimse", settings.deliver_dimse, tls=settings.deliver_dimse_tls)
        routes.append(Route(archive, Order("dimse", "dicom"), settings.retry_seconds))
    return routes


def _route(settings: Settings, rule: DestinationRule) -> Route:
    retry_s = rule.retry_seconds or settings.retry_seconds
    match rule:
        case StowRule():
            destination: Destination = StowDestination(_access_by(settings, rule), rule.name)
            return Route(destination, Order(rule.name, "dicom", rule.language, rule.objects), retry_s)
        case DimseRule():
            destination = _dimse(settings, rule.name, rule.archive, tls=rule.tls)
            return Route(destination, Order(rule.name, "dicom", rule.language, rule.objects), retry_s)
        case FhirRule():
            return Route(FhirDestination(_access_by(settings, rule), rule.name), Order(rule.name, "fhir"), retry_s)
        case WebhookRule():
            order = Order(rule.name, "json", rule.language, identifiers=rule.identifiers)
            return Route(_webhook(settings, rule), order, retry_s)
        case Hl7Rule():
            message = MessageOptions(
                rule.sending_facility, rule.receiving_application, rule.receiving_facility, rule.language, rule.link
            )
            order = Order(rule.name, "hl7", rule.language, message=message)
            return Route(_hl7(settings, rule), order, retry_s)


def _webhook(settings: Settings, rule: WebhookRule) -> Destination:
    try:
        from app.delivery.destinations.webhook import WebhookDestination
    except ImportError:
        raise SettingsError(
            found=f"the destination {rule.name}, for which a package is missing",
            expected="standardwebhooks",
            remedy="Install lungscope[doors].",
        ) from None
    return WebhookDestination(rule.name, access_of(settings, rule.url), _secret(rule.secret_file) or "")


def _hl7(settings: Settings, rule: Hl7Rule) -> Destination:
    address = urlsplit(rule.url)
    access = access_of(settings, rule.url) if address.scheme == "mllps" else None
    try:
        return Hl7Destination(rule.name, Endpoint(address.hostname or "", address.port or 0, access))
    except ValueError:  # of the port
        raise SettingsError(
            found=f"a port of the destination {rule.name} that is none",
            expected="1 to 65535",
            remedy="Correct it in LUNGSCOPE_RULES.",
        ) from None


def _access_by(settings: Settings, rule: StowRule | FhirRule) -> Access:
    token, password = _secret(rule.token_file), _secret(rule.password_file)
    return Access(str(rule.url), token, rule.user, password, settings.ca_file, settings.verify_tls)


def _dimse(settings: Settings, name: str, archive: str, *, tls: bool) -> Destination:
    try:
        from app.dimse.archive import DimseDestination, Peer, archive_tls
    except ImportError:
        raise SettingsError(
            found=f"the destination {name}, for which a package is missing",
            expected="pynetdicom",
            remedy="Install lungscope[dimse].",
        ) from None
    context = None
    if tls:
        context = archive_tls(settings.ca_file, settings.tls_certificate, settings.tls_key, verify=settings.verify_tls)
    return DimseDestination(Peer.parse(archive, context), settings.dimse_title, name)


def access_of(
    settings: Settings,
    url: HttpUrl | str,
    token: SecretStr | None = None,
    user: str | None = None,
    password: SecretStr | None = None,
) -> Access:
    """How to reach a server of the operator's, with the credentials for it and the authorities of the settings."""
    return Access(
        str(url),
        token.get_secret_value() if token else None,
        user,
        password.get_secret_value() if password else None,
        settings.ca_file,
        settings.verify_tls,
    )


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            found=f"{path}, which cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}",
            expected="a file with a secret",
            remedy="Let the service's user read it.",
        ) from None
