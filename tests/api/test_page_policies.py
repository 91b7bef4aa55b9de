"""What a browser may do with our answers."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.fakes import arithmetic_backends


def policy(client: TestClient, path: str) -> dict[str, list[str]]:
    given = client.get(path).headers["content-security-policy"]
    return {name: sources for name, *sources in (part.split() for part in given.split(";"))}


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/no/such/path", "/metrics", "/openapi.json"])
def test_what_is_no_page_loads_and_runs_nothing_and_stands_in_no_frame(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert policy(client, path) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_runs_what_stands_in_it_and_nothing_that_is_put_there(client: TestClient, path: str) -> None:
    allowed = policy(client, path)
    assert allowed["default-src"] == allowed["frame-ancestors"] == allowed["base-uri"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    scripts = re.findall(r"<script>(.*?)</script>", client.get(path).text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert allowed["script-src"] == ["'self'", *(f"'sha256-{digest}'" for digest in digests)]


def test_the_viewer_runs_files_of_the_service_alone_and_asks_nobody_else(client: TestClient) -> None:
    allowed = policy(client, "/")
    assert allowed["default-src"] == allowed["frame-ancestors"] == allowed["base-uri"] == ["'none'"]
    assert allowed["script-src"] == allowed["connect-src"] == allowed["style-src"] == ["'self'"]
    page = client.get("/").text
    assert not re.findall(r"<script(?![^>]* src=)|<style| style=", page)


def test_the_viewer_stands_in_frames_of_those_who_are_named(settings: Settings) -> None:
    hosts = "https://pacs.example.org, https://*.example.net:8443"
    named = Settings.model_validate({**settings.model_dump(), "frame_hosts": hosts})
    with TestClient(create_app(named, backends=arithmetic_backends())) as client:
        assert policy(client, "/")["frame-ancestors"] == ["https://*.example.net:8443", "https://pacs.example.org"]
        assert policy(client, "/docs")["frame-ancestors"] == ["'none'"]


@pytest.mark.parametrize("host", ["pacs.example.org", "https://pacs.example.org; script-src *", "https://*", "*"])
def test_what_is_no_origin_is_not_let_into_the_policy(settings: Settings, host: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({**settings.model_dump(), "frame_hosts": host})


def test_files_of_the_viewer_are_asked_about_each_time(client: TestClient) -> None:
    """Its modules are of one version: none of an older one may be taken from a cache."""
    for name in ("main.js", "style.css", "cornerstone.js", "LICENCES.txt"):
        answer = client.get(f"/viewer/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        assert client.get(f"/viewer/{name}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_assets_may_be_cached_and_are_guarded_all_the_same(client: TestClient) -> None:
    answer = client.get("/docs/assets/swagger/swagger-ui.css")
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" in answer.headers
    assert answer.headers.get("cache-control") != "no-store"


def test_no_page_has_a_handler_in_an_attribute(client: TestClient) -> None:
    """Such a script has no digest and would not run."""
    for path in ("/", "/docs", "/redoc"):
        assert not re.search(r"<[^>]+\son[a-z]+=", client.get(path).text)
