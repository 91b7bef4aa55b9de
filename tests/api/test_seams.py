"""What is added in one place acts everywhere: middleware, dependencies, and the OpenAPI document beside the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.middleware.cors import CORSMiddleware
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.api.contract import HEADERS, LANGUAGE
from app.api.deps import authorise
from app.api.negotiation import RECEIPT_HEADER
from app.api.routes import predict
from app.errors import InputError, InvalidParameter, NotAuthorised
from app.judgement.parameters import KNOWN, PARAMETERS, parse_parameters
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ON_NODULE
from tests.fakes import ArithmeticBackend, arithmetic_backends, write_models

TOKEN = "a" * 16
ORIGIN = "https://viewer.example"
TOLD = {name for headers in (*HEADERS.values(), LANGUAGE) for name in headers}


def serve(folder: Path, change: Callable[[FastAPI], None] = lambda _: None, **settings: Any) -> TestClient:
    """The service with a change made to its application before it starts."""
    write_models(folder)
    given_settings = Settings(models_dir=folder, threads=1, **settings)
    app = create_app(given_settings, backends=arithmetic_backends(), load_first=True)
    change(app)
    return TestClient(app)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/predict"),
        ("POST", "/v1/studies"),
        ("GET", "/v1/models"),
        ("GET", "/health/live"),
        ("GET", "/docs"),
    ],
)
def test_a_middleware_that_is_added_acts_on_every_route(tmp_path: Path, method: str, path: str) -> None:
    def add(app: FastAPI) -> None:
        app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN])

    with serve(tmp_path, add) as client:
        answer = client.request(method, path, headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_every_dependency_that_predict_declares_is_performed(tmp_path: Path, suspicious: bytes) -> None:
    declared = [below for below in _below(predict.ROUTE.dependant) if below.call is not None]
    with serve(tmp_path) as client:
        for below in declared:
            assert _is_performed(client, below, suspicious), below.call
    assert authorise in [below.call for below in declared]


def _is_performed(client: TestClient, dependant: Dependant, content: bytes) -> bool:
    performed = []

    def note(**_: object) -> object:
        performed.append(dependant)
        raise NotAuthorised(found="a test", expected="it", remedy="None.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dependant, "call", note)
        client.post("/v1/predict", params=ON_NODULE, content=content)
    return bool(performed)


def _below(dependant: Dependant) -> Iterator[Dependant]:
    for below in dependant.dependencies:
        yield below
        yield from _below(below)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    document: dict[str, Any] = serve(tmp_path_factory.mktemp("contract"), api_token=TOKEN).app.openapi()  # type: ignore[attr-defined]  # of FastAPI
    return document


def test_parameters_of_the_document_are_those_that_are_read(contract: dict[str, Any]) -> None:
    operation = contract["paths"]["/v1/predict"]["post"]
    declared = {p["name"]: p["schema"] for p in operation["parameters"] if p["in"] == "query"}
    assert set(declared) == set(KNOWN)
    for name, schema in declared.items():
        assert schema == PARAMETERS[name].schema()


TEXTS = st.one_of(
    st.text("0123456789+-.,eE _infatrueyso", max_size=12),
    st.builds(lambda a, b: f"{a},{b}", st.floats(-2000, 2000), st.floats(-2000, 2000)),
    st.sampled_from(["1", "01", "0", "TRUE", "no", "1_0", "nan,1", "1e3,2", "٣", "1,2,3"]),  # a digit to Python
)


@given(name=st.sampled_from(KNOWN), text=TEXTS)
def test_what_a_pattern_does_not_fit_is_refused_and_what_is_read_fits(name: str, text: str) -> None:
    fits = re.search(f"^{PARAMETERS[name].pattern}$", text.strip(), re.ASCII) is not None
    try:
        parse_parameters({name: text})
    except InvalidParameter:
        return
    except InputError:
        pass
    assert fits or not text.strip()


def answers(client: TestClient, suspicious: bytes) -> Iterator[tuple[int, Any]]:
    """Every status that POST /v1/predict can be brought to here, and its answer."""
    token = {"Authorization": f"Bearer {TOKEN}"}
    sent: list[tuple[dict[str, str], dict[str, str], bytes]] = [
        (token, ON_NODULE, suspicious),
        (token, {"roi": "x"}, suspicious),
        ({}, ON_NODULE, suspicious),
        ({**token, "Accept": "audio/ogg"}, ON_NODULE, suspicious),
        (token, ON_NODULE, bytes(2 << 20)),
        (token, ON_NODULE, b"neither"),
        (token, ON_NODULE | {"roi": "9999,1"}, suspicious),
    ]
    for headers, parameters, body in sent:
        answer = client.post("/v1/predict", params=parameters, content=body, headers=headers)
        yield answer.status_code, answer


def test_statuses_and_headers_of_the_document_are_those_of_the_answers(
    tmp_path: Path, suspicious: bytes, contract: dict[str, Any]
) -> None:
    declared = contract["paths"]["/v1/predict"]["post"]["responses"]
    seen: set[str] = set()
    with serve(tmp_path, api_token=TOKEN, max_body_mb=1) as client:
        for status, answer in answers(client, suspicious):
            seen.add(str(status))
            told = {name for name in TOLD if name.lower() in answer.headers}
            # Receipts of JSON are in the JSON.
            assert told == set(declared[str(status)]["headers"]) - {RECEIPT_HEADER}, status
            if status != 200:
                assert f"`{answer.json()['code']}`" in declared[str(status)]["description"]
    backend = ArithmeticBackend()
    backend.hold()
    settings = Settings(models_dir=tmp_path, threads=1)
    with TestClient(create_app(settings, backends=arithmetic_backends(backend))) as client:
        loading = client.post("/v1/predict", content=suspicious)
        backend.release()
    assert loading.status_code == 503
    assert {name for name in TOLD if name.lower() in loading.headers} == set(declared["503"]["headers"])
    seen.add("503")
    # A caller with fewer scopes (403) or in a hurry (429), a slow client (408), a bug (500), a full disk (507) and the
    # bounds on heads have tests of their own.
    assert set(declared) - seen == {"403", "408", "414", "429", "431", "500", "507"}


def test_the_document_names_no_error_that_is_in_no_table(contract: dict[str, Any]) -> None:
    problem = contract["components"]["schemas"]["Problem"]
    assert set(problem["properties"]) >= {"code", "detail", "found", "expected", "remedy"}
    assert "HTTPValidationError" not in json.dumps(contract)
