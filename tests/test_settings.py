"""Settings of callers: secrets from files, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings import Settings

SECRETS = (
    *("API_TOKEN", "PACS_TOKEN", "PACS_PASSWORD", "FHIR_TOKEN", "FHIR_PASSWORD", "PULL_TOKEN", "PULL_PASSWORD"),
    "DATABASE_URL",
)


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "secret").write_text("  a secret of some length\n")
    monkeypatch.setenv("LUNGSCOPE_SPOOL_DIR", str(tmp_path))
    monkeypatch.setenv(f"LUNGSCOPE_{name}_FILE", str(tmp_path / "secret"))
    secret = getattr(Settings.load(), name.lower())
    assert secret.get_secret_value() == "  a secret of some length"


def test_a_secret_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("t" * 16)
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN", "u" * 16)
    with pytest.raises(SettingsError, match="both LUNGSCOPE_API_TOKEN and LUNGSCOPE_API_TOKEN_FILE"):
        Settings.load()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_that_cannot_be_read_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match="LUNGSCOPE_API_TOKEN_FILE"):
        Settings.load()


def test_a_short_secret_from_a_file_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("short\n")
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match="too short"):
        Settings.load()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"JWT_ISSUER": "https://id.example"}, "LUNGSCOPE_JWT_AUDIENCE"),
        ({"JWKS": "https://id.example/jwks", "JWT_AUDIENCE": "lungscope"}, "LUNGSCOPE_JWT_ISSUER"),
        ({"JWT_ISSUER": "", "JWT_AUDIENCE": "", "JWKS": ""}, "LUNGSCOPE_JWT_ISSUER"),
        ({"TLS_KEY": __file__}, "LUNGSCOPE_TLS_CERTIFICATE"),
        ({"TLS_CLIENT_CA": __file__}, "LUNGSCOPE_TLS_CERTIFICATE"),
        ({"KEYS_FILE": "/nowhere/keys"}, "LUNGSCOPE_KEYS_FILE"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,proxy.example"}, "LUNGSCOPE_TRUSTED_PROXIES"),
        ({"CALLER_SHARE": "0"}, "LUNGSCOPE_CALLER_SHARE"),
        ({"ROOT_PATH": "lungscope"}, "LUNGSCOPE_ROOT_PATH"),
        ({"ROOT_PATH": "/lungscope/"}, "LUNGSCOPE_ROOT_PATH"),
        ({"CORS_ORIGINS": "https://viewer.example/ohif"}, "LUNGSCOPE_CORS_ORIGINS"),
        ({"CALLER_RATE": "-1"}, "LUNGSCOPE_CALLER_RATE"),
        ({"MAX_PICTURES": "0"}, "LUNGSCOPE_MAX_PICTURES"),
        ({"FHIR_PATIENT_SYSTEM": "our hospital"}, "LUNGSCOPE_FHIR_PATIENT_SYSTEM"),
        ({"CALLER_BURST": "0"}, "LUNGSCOPE_CALLER_BURST"),
        ({"DATABASE_URL": "postgresql://host/database"}, "LUNGSCOPE_DATABASE_URL"),
    ],
    ids=str,
)
def test_what_would_guard_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"LUNGSCOPE_{name}", value)
    with pytest.raises(SettingsError, match=named):
        Settings.load()


def test_lists_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_TRUSTED_HOSTS", "lungs.example, *.clinic.example")
    monkeypatch.setenv("LUNGSCOPE_TRUSTED_PROXIES", "10.0.0.0/8,fd00::1")
    settings = Settings.load()
    assert settings.trusted_hosts == {"lungs.example", "*.clinic.example"}
    assert settings.trusted_proxies == {"10.0.0.0/8", "fd00::1"}
    monkeypatch.setenv("LUNGSCOPE_TRUSTED_PROXIES", "")
    assert Settings.load().trusted_proxies == set()
