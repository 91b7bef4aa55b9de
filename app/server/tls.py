"""https by the server itself: a certificate, and certificates that clients must show."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from app.errors import SettingsError


def tls_options(certificate: Path | None, key: Path | None, client_ca: Path | None) -> dict[str, Any]:
    """uvicorn's settings for TLS 1.2 and later, as OpenSSL's defaults are; none without a certificate.

    With `client_ca` a connection ends in its handshake unless the client has a certificate of one of these authorities.
    """
    if certificate is None:
        return {}
    return {
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
        "ssl_ca_certs": client_ca,
        "ssl_cert_reqs": ssl.CERT_NONE if client_ca is None else ssl.CERT_REQUIRED,
    }


def require_certificate(certificate: Path | None, key: Path | None, client_ca: Path | None) -> None:
    """Raise SettingsError for files with which no connection could be made: else every worker would find out alone."""
    server_context(certificate, key, client_ca)


def server_context(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    """A context as uvicorn makes it of `tls_options`; none without a certificate. Raises SettingsError for files with
    which no connection could be made."""
    if certificate is None:
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # An encrypted key would have OpenSSL ask for a password at a terminal that nobody watches.
        context.load_cert_chain(certificate, key, password="")
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SettingsError(
            found=f"a certificate, key or authority that cannot be used ({getattr(error, 'reason', None) or error})",
            expected="LUNGSCOPE_TLS_CERTIFICATE with LUNGSCOPE_TLS_KEY, unencrypted PEM, and LUNGSCOPE_TLS_CLIENT_CA",
            remedy="Check them: openssl x509 -in CERTIFICATE -noout -text; openssl pkey -in KEY -noout.",
        ) from None
    return context
