"""Every route has its place in the one table of scopes, and asks for what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route
from starlette.testclient import TestClient

from app.api.deps import authorise
from app.main import create_app
from app.security.keys import new_key
from app.security.scopes import OPERATIONS, SCOPES, access_to
from app.settings import Settings
from tests.fakes import arithmetic_backends, write_models

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    folder = tmp_path_factory.mktemp("scopes")
    write_models(folder)
    settings = Settings(models_dir=folder, spool_dir=folder / "state", api_token=TOKEN)
    return create_app(settings, backends=arithmetic_backends())


def operations(routes: list[BaseRoute]) -> Iterator[tuple[tuple[str, str], BaseRoute]]:
    """Method and path template of every route; HEAD is asked as GET, and a mount gives files."""
    for route in routes:
        if isinstance(route, Mount):
            yield ("GET", route.path), route
        elif isinstance(route, Route):
            for method in (route.methods or set()) - {"HEAD"}:
                yield (method, route.path), route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from operations(included.routes)  # FastAPI keeps a router whole, or takes its routes out, by version
        else:
            raise AssertionError(f"a route of another kind: {route}")


def test_the_table_holds_every_route_and_no_other(app: FastAPI) -> None:
    assert {operation for operation, _ in operations(app.routes)} == set(OPERATIONS)


def test_every_route_that_is_not_open_asks_who_calls(app: FastAPI) -> None:
    for operation, route in operations(app.routes):
        asks = isinstance(route, APIRoute) and authorise in set(_calls(route.dependant))
        assert asks == (access_to(*operation) != "open"), operation


def _calls(dependant: Dependant) -> Iterator[Any]:
    for below in dependant.dependencies:
        yield below.call
        yield from _calls(below)


def test_a_route_that_the_table_has_forgotten_is_for_the_operator_alone() -> None:
    assert access_to("POST", "/v1/forgotten") == "admin"


def test_every_scope_opens_its_operations_and_no_other(tmp_path: Path) -> None:
    """Each operation asked with a key of each scope: what is refused is what the table says, before anything else."""
    write_models(tmp_path)
    keys = {scope: new_key(scope.replace(":", "-"), scope) for scope in SCOPES}
    file = tmp_path / "keys.txt"
    file.write_text("\n".join(line for _, line in keys.values()))
    file.chmod(0o600)
    settings = Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", keys_file=file)
    app = create_app(settings, backends=arithmetic_backends(), load_first=True)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        for (method, path), access in OPERATIONS.items():
            address = path.replace("{", "").replace("}", "")
            without = client.request(method, address)
            assert (without.status_code == 401) == (access != "open"), (method, path)
            for scope, (key, _) in keys.items():
                answer = client.request(method, address, headers={"Authorization": f"Bearer {key}"})
                may = access in ("open", "known", scope) or scope == "admin"
                assert (answer.status_code == 403) == (not may), (method, path, scope)
                assert answer.status_code != 401
                if not may:
                    assert answer.json()["code"] == "forbidden"
                    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


def test_the_document_says_which_scope_an_operation_needs(app: FastAPI) -> None:
    document = app.openapi()
    assert document["components"]["securitySchemes"]["Caller"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            access = access_to(method.upper(), path)
            if access == "open":
                assert "security" not in operation
                assert not {"401", "403"} & set(operation["responses"])
            else:
                assert operation["security"] == [{"Caller": [] if access == "known" else [access]}]
                assert {"401", "403", "429"} <= set(operation["responses"]), path
