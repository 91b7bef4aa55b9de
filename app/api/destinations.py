"""Where results are sent, as the settings say."""

from __future__ import annotations

from pydantic import HttpUrl, SecretStr

from app.delivery.destinations import Access, Destination, FhirDestination, StowDestination
from app.errors import SettingsError
from app.settings import Settings


def destinations_of(settings: Settings) -> list[Destination]:
    """The destinations that the settings name."""
    destinations: list[Destination] = []
    if settings.pacs_url is not None:
        destinations.append(
            StowDestination(
                _access(settings, settings.pacs_url, settings.pacs_token, settings.pacs_user, settings.pacs_password)
            )
        )
    if settings.fhir_url is not None:
        destinations.append(
            FhirDestination(
                _access(settings, settings.fhir_url, settings.fhir_token, settings.fhir_user, settings.fhir_password)
            )
        )
    if settings.deliver_dimse is not None:
        destinations.append(_dimse(settings, settings.deliver_dimse))
    return destinations


def _dimse(settings: Settings, archive: str) -> Destination:
    try:
        from app.dimse.archive import DimseDestination, Peer, archive_tls
    except ModuleNotFoundError as error:
        raise SettingsError(
            found=f"LUNGSCOPE_DELIVER_DIMSE without {error.name}",
            expected="pynetdicom",
            remedy="Install it: pip install 'lungscope[dimse]'.",
        ) from None
    tls = None
    if settings.deliver_dimse_tls:
        tls = archive_tls(settings.ca_file, settings.tls_certificate, settings.tls_key, verify=settings.verify_tls)
    return DimseDestination(Peer.parse(archive, tls), settings.dimse_title)


def _access(
    settings: Settings, url: HttpUrl, token: SecretStr | None, user: str | None, password: SecretStr | None
) -> Access:
    return Access(
        str(url),
        token.get_secret_value() if token else None,
        user,
        password.get_secret_value() if password else None,
        settings.ca_file,
        settings.verify_tls,
    )
