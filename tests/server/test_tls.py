"""https by the service itself, under both servers: certificates of the service and of its clients."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app import cli
from app.api.routes.docs import EXAMPLE_SERIES, EXAMPLE_SLICE
from app.errors import SettingsError
from app.server.tls import require_certificate, tls_options
from benchmarks.serving.service import PATIENCE_S, Service
from tests.servers import OURS

ROI = "roi=148,240"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


Issuer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def make(folder: Path, name: str, issuer: Issuer | None = None) -> tuple[Pair, Issuer]:
    """A certificate for 127.0.0.1, signed by itself or by an issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False
        )
    made = builder.sign(key if issuer is None else issuer[1], SHA256())
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    pair.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair, (made, key)


@dataclass(frozen=True)
class Pairs:
    """An authority, a service and a client that it has signed, and a stranger."""

    authority: Pair
    service: Pair
    client: Pair
    stranger: Pair


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("certificates")
    authority, issuer = make(folder, "authority")
    return Pairs(
        authority,
        make(folder, "service", issuer)[0],
        make(folder, "client", issuer)[0],
        make(folder, "stranger")[0],
    )


@pytest.fixture(scope="module")
def guarded(server: str, pairs: Pairs) -> Iterator[Service]:
    """The service with two workers, which asks for client certificates."""
    environment = {
        "LUNGSCOPE_SERVER": server,
        "LUNGSCOPE_TLS_CERTIFICATE": str(pairs.service.certificate),
        "LUNGSCOPE_TLS_KEY": str(pairs.service.key),
        "LUNGSCOPE_TLS_CLIENT_CA": str(pairs.authority.certificate),
    }
    service = Service(workers=2, environment=environment)
    for _ in range(2):  # each worker
        service.wait_until_ready()
    yield service
    service.process.terminate()
    assert service.end() == 0


def pool(pairs: Pairs, client: Pair | None) -> urllib3.PoolManager:
    shown = {} if client is None else {"cert_file": str(client.certificate), "key_file": str(client.key)}
    return urllib3.PoolManager(ca_certs=str(pairs.authority.certificate), timeout=PATIENCE_S, retries=False, **shown)  # type: ignore[arg-type]  # its keywords are of several types


def test_who_has_a_certificate_of_the_authority_is_served(guarded: Service, pairs: Pairs) -> None:
    address = f"https://127.0.0.1:{guarded.port}"
    with pool(pairs, pairs.client) as client:
        assert client.request("GET", f"{address}/health/live").status == 200
        for _ in range(8):
            answer = client.request("POST", f"{address}/v1/predict?{ROI}", body=EXAMPLE_SLICE.read_bytes())
            assert answer.status == 200
            assert answer.json()["findings"]
        series = client.request("POST", f"{address}/v1/studies", body=EXAMPLE_SERIES.read_bytes())
        assert series.status == 200
        redirect = client.request("GET", f"{address}/docs/", redirect=False)
        assert redirect.headers["location"] == "../docs"


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_who_has_none_gets_no_word(guarded: Service, pairs: Pairs, who: str) -> None:
    shown = pairs.stranger if who == "stranger" else None
    with pool(pairs, shown) as client, pytest.raises(urllib3.exceptions.HTTPError):
        client.request("GET", f"https://127.0.0.1:{guarded.port}/health/live")


def test_nothing_is_spoken_but_tls(guarded: Service) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), PATIENCE_S) as plain:
        plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(guarded: Service, pairs: Pairs, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=pairs.authority.certificate)
    context.load_cert_chain(pairs.client.certificate, pairs.client.key)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", guarded.port), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")


@OURS
def test_a_client_that_ends_its_side_early_ends_the_connection_alone(guarded: Service, pairs: Pairs) -> None:
    context = ssl.create_default_context(cafile=pairs.authority.certificate)
    context.load_cert_chain(pairs.client.certificate, pairs.client.key)
    for _ in range(4):
        with (
            socket.create_connection(("127.0.0.1", guarded.port), PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            body = EXAMPLE_SLICE.read_bytes()
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            with suppress(OSError):  # reset by a server that has seen the end
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
    with pool(pairs, pairs.client) as client:
        assert client.request("GET", f"https://127.0.0.1:{guarded.port}/health/live").status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("wrong", ["key", "certificate", "authority"])
def test_what_cannot_be_used_is_said_before_anything_is_loaded(
    pairs: Pairs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: str,
    workers: str,
) -> None:
    spoilt = tmp_path / "spoilt.pem"
    spoilt.write_text("no certificate")
    files = {
        "CERTIFICATE": spoilt if wrong == "certificate" else pairs.service.certificate,
        "KEY": pairs.stranger.key if wrong == "key" else pairs.service.key,
        "CLIENT_CA": spoilt if wrong == "authority" else pairs.authority.certificate,
    }
    for name, path in files.items():
        monkeypatch.setenv(f"LUNGSCOPE_TLS_{name}", str(path))
    assert cli.main(["serve", "--port", "0", "--workers", workers]) == cli.CANNOT_START
    (line,) = capsys.readouterr().err.splitlines()
    assert "LUNGSCOPE_TLS_CERTIFICATE" in line


def test_an_encrypted_key_does_not_wait_for_a_password(pairs: Pairs, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key

    key = load_pem_private_key(pairs.service.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(SettingsError, match="unencrypted"):
        require_certificate(pairs.service.certificate, locked, None)


def test_without_a_certificate_there_is_no_tls() -> None:
    require_certificate(None, None, None)
    assert tls_options(None, None, None) == {}
