"""Callers over HTTP: keys, tokens, hosts, pace and share."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.security.keys import new_key
from app.settings import Settings
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.fakes import ArithmeticBackend, arithmetic_backends, write_models
from tests.security.provider import AUDIENCE, ISSUER, Provider


@contextmanager
def serving(folder: Path, backend: ArithmeticBackend | None = None, **settings: Any) -> Iterator[TestClient]:
    write_models(folder)
    given = Settings(**{"models_dir": folder, "threads": 1, **settings})
    app = create_app(given, backends=arithmetic_backends(backend or ArithmeticBackend()))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def keys_file(folder: Path, *lines: str) -> Path:
    path = folder / "keys.txt"
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path


def test_a_key_that_is_taken_out_is_refused_with_the_next_request(tmp_path: Path) -> None:
    (old, old_line), (new, new_line) = new_key("router", "predict"), new_key("router", "predict")
    path = keys_file(tmp_path, old_line)
    with serving(tmp_path, keys_file=path) as client:
        assert client.get("/v1/models", headers=bearer(old)).status_code == 200
        assert client.get("/v1/models", headers=bearer(new)).status_code == 401
        keys_file(tmp_path, old_line, new_line)
        assert [client.get("/v1/models", headers=bearer(key)).status_code for key in (old, new)] == [200, 200]
        keys_file(tmp_path, new_line)
        assert [client.get("/v1/models", headers=bearer(key)).status_code for key in (old, new)] == [401, 200]


@pytest.mark.parametrize(
    ("shown", "challenge"),
    [({}, "Bearer"), (bearer("wrong"), 'Bearer error="invalid_token"'), ({"Authorization": "Basic x"}, "Bearer")],
)
def test_401_says_how_to_ask(tmp_path: Path, shown: dict[str, str], challenge: str) -> None:
    with serving(tmp_path, api_token="t" * 16) as client:
        answer = client.get("/v1/models", headers=shown)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authorised")
    assert answer.headers["www-authenticate"] == challenge
    assert answer.headers["content-type"] == "application/problem+json"


def test_keys_the_token_and_tokens_of_a_provider_work_side_by_side(tmp_path: Path) -> None:
    key, line = new_key("router", "predict")
    provider = Provider()
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(provider.key_set())
    of_tokens: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwks": str(jwks)}
    with serving(tmp_path, keys_file=keys_file(tmp_path, line), api_token="t" * 16, **of_tokens) as client:
        good = provider.token(scope="lungscope:reports")
        for shown in (key, "t" * 16, good):
            assert client.get("/v1/models", headers=bearer(shown)).status_code == 200
        assert client.post("/v1/predict", content=b"x", headers=bearer(good)).status_code == 403
        over = provider.token(exp=time.time() - 3600)
        assert client.get("/v1/models", headers=bearer(over)).status_code == 401


def test_while_tokens_cannot_be_checked_others_are_served(tmp_path: Path) -> None:
    of_tokens: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwks": str(tmp_path / "missing")}
    with serving(tmp_path, api_token="t" * 16, **of_tokens) as client:
        waits = client.get("/v1/models", headers=bearer(Provider().token()))
        assert client.get("/v1/models", headers=bearer("t" * 16)).status_code == 200
        declared = client.get("/openapi.json").json()["paths"]["/v1/models"]["get"]["responses"]
    assert (waits.status_code, waits.json()["code"]) == (503, "identity_unavailable")
    assert waits.headers["retry-after"]
    assert "`identity_unavailable`" in declared["503"]["description"]


def test_the_log_names_the_caller_and_never_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key, line = new_key("router", "predict")
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, keys_file=keys_file(tmp_path, line)) as client:
        client.get("/v1/models", headers=bearer(key))
        client.get("/v1/models", headers=bearer(key + "x"))
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "lungscope.access"]
    named = [fields.get("caller") for fields in lines if fields["route"] == "/v1/models"]
    assert named == ["router", None]
    assert key not in json.dumps([record.__dict__ for record in caplog.records], default=str)


def test_a_caller_who_asks_too_often_waits_and_another_does_not(tmp_path: Path) -> None:
    (one, line), (other, other_line) = new_key("one", "predict"), new_key("other", "predict")
    path = keys_file(tmp_path, line, other_line)
    with serving(tmp_path, keys_file=path, caller_rate=0.0001, caller_burst=3) as client:
        answers = [client.get("/v1/models", headers=bearer(one)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["code"] == "too_many_requests"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 10_000
        assert client.get("/v1/models", headers=bearer(other)).status_code == 200
        assert client.get("/health/live").status_code == 200


def test_where_nobody_has_a_name_the_pace_is_that_of_the_address(tmp_path: Path) -> None:
    with serving(tmp_path, caller_rate=0.0001, caller_burst=2) as client:
        assert [client.get("/v1/models").status_code for _ in range(3)] == [200, 200, 429]
        assert "429" in client.get("/openapi.json").json()["paths"]["/v1/models"]["get"]["responses"]


def test_one_caller_cannot_have_all_places(tmp_path: Path, suspicious: bytes) -> None:
    (one, line), (other, other_line) = new_key("one", "predict"), new_key("other", "predict")
    backend = ArithmeticBackend()
    bounds = {"queue_limit": 2, "max_series": 1, "caller_share": 0.5}  # of one thread, two in the queue, one series
    with serving(tmp_path, backend, keys_file=keys_file(tmp_path, line, other_line), **bounds) as client:
        statuses: list[int] = []

        def judge(key: str) -> None:
            answer = client.post("/v1/predict", params=ON_NODULE, content=suspicious, headers=bearer(key))
            statuses.append(answer.status_code)

        backend.hold()
        threads = [threading.Thread(target=judge, args=(one,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        quota = client.app.state.services.quota  # type: ignore[attr-defined]  # typed as bare ASGI
        while quota._at_work["one"] < 2:
            pass
        third = client.post("/v1/predict", params=ON_NODULE, content=suspicious, headers=bearer(one))
        threads.append(threading.Thread(target=judge, args=(other,)))
        threads[-1].start()
        while quota._at_work["other"] < 1:
            pass
        backend.release()
        for thread in threads:
            thread.join()
        assert (third.status_code, third.json()["code"]) == (429, "too_many_requests")
        assert third.headers["retry-after"] == "1"
        assert statuses == [200, 200, 200]
        assert not quota._at_work


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "evil.example", 421),
        ({}, "127.0.0.1:8000", 200),
        ({}, "lungscope:8000", 200),
        ({"open": True}, "evil.example", 200),
        ({"trusted_hosts": frozenset({"lungs.example"})}, "lungs.example", 200),
        ({"trusted_hosts": frozenset({"lungs.example"})}, "other.example", 421),
        ({"trusted_hosts": frozenset({"lungs.example"}), "open": True}, "other.example", 421),
    ],
)
def test_only_the_own_names_are_answered(tmp_path: Path, settings: dict[str, Any], host: str, status: int) -> None:
    with serving(tmp_path, **settings) as client:
        answer = client.get("/health/live", headers={"Host": host})
    assert answer.status_code == status
    if status == 421:
        assert answer.json()["code"] == "unknown_host"
        assert host not in answer.text
