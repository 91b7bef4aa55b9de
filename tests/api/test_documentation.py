"""The pages that explain the service say what is so, each thing once."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from app.api.problems import HTTP_CODES, INTERNAL, PROBLEMS
from app.api.start_page import REMEDIES, description
from app.inference.decision import NEAR_OPERATING_POINT, OUT_OF_DISTRIBUTION
from app.inference.pointed import NOT_A_NODULE
from app.main import create_app
from app.settings import Settings
from tests.conftest import REPOSITORY
from tests.fakes import arithmetic_backends


def quality_codes() -> set[str]:
    """The first argument of every QualityNote in app/."""
    codes = set()
    for path in (REPOSITORY / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "QualityNote":
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{Path(path).name}:{node.lineno}: a code is a literal"
                codes.add(str(first.value))
    return codes


def test_every_code_is_documented() -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
    codes = {kind.code for kind in (*PROBLEMS.values(), INTERNAL)} | set(HTTP_CODES.values())
    codes |= quality_codes() | {NOT_A_NODULE, OUT_OF_DISTRIBUTION, NEAR_OPERATING_POINT}
    assert len(codes) > 40
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_the_page_says_of_every_error_what_to_do() -> None:
    kinds = {kind.code: kind for kind in (*PROBLEMS.values(), INTERNAL)}
    assert {*kinds, *HTTP_CODES.values()} == REMEDIES.keys()
    page = description()
    for code, remedy in REMEDIES.items():
        (row,) = re.findall(rf"^\| (\d+) \| `{code}` \| [^|]+ \| {re.escape(remedy)} \|$", page, re.MULTILINE)
        assert code not in kinds or int(row) == kinds[code].status


def document_of(settings: Settings) -> dict[str, Any]:
    app = create_app(settings, backends=arithmetic_backends())
    document = app.openapi()
    validate(document)
    return document


def test_dicomweb_and_jobs_come_last_and_only_when_they_are_on(settings: Settings, tmp_path: Path) -> None:
    without = document_of(settings)
    with_it = document_of(settings.model_copy(update={"spool_dir": tmp_path / "spool"}))
    own = list(without["paths"])
    of_spool = ("/dicom-web/", "/v1/jobs/", "/v1/pull")
    assert not [path for path in own if path.startswith(of_spool)]
    assert list(with_it["paths"])[: len(own)] == own
    assert all(path.startswith(of_spool) for path in list(with_it["paths"])[len(own) :])
    assert "/dicom-web/studies" in with_it["paths"]


def test_each_parameter_is_shown_once(settings: Settings, tmp_path: Path) -> None:
    document = document_of(settings.model_copy(update={"spool_dir": tmp_path / "spool"}))
    for path, operations in document["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            fields = content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
            names = [*(each["name"] for each in operation.get("parameters", [])), *fields]
            assert len(names) == len(set(names)), path


@pytest.mark.parametrize("host", ["testserver", "elsewhere"])
@pytest.mark.parametrize(("path", "page"), [("/docs/", "/docs"), ("/redoc/", "/redoc")])
def test_redirects_name_no_host(client: TestClient, path: str, page: str, host: str) -> None:
    answer = client.get(path, headers={"Host": host}, follow_redirects=False)
    where = answer.headers["location"]
    assert answer.is_redirect
    assert "//" not in where
    assert urljoin(f"http://here{path}", where) == f"http://here{page}"
    assert urljoin(f"http://here/prefix{path}", where) == f"http://here/prefix{page}"


@pytest.mark.parametrize("page", ["/", "/docs", "/redoc"])
def test_addresses_on_a_page_are_relative_to_it_and_lead_somewhere(client: TestClient, page: str) -> None:
    text = client.get(page).text
    addresses = re.findall(r"""(?:href=|src=|spec-url=|url: )["']([^"']+)""", text)
    assert len(addresses) >= 3
    for address in addresses:
        assert not address.startswith(("/", "http"))
        assert client.get(urljoin(page, address)).status_code == 200, address


def test_files_that_operations_offer_are_there(client: TestClient) -> None:
    offered = set(re.findall(r"\]\((docs/[^)]+)\)", client.get("/openapi.json").text))
    assert len(offered) == 2
    for address in offered:
        assert client.get(urljoin("/docs", address)).status_code == 200


def test_browsers_find_an_icon(client: TestClient) -> None:
    icon = client.get("/favicon.ico")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
    assert icon.text.startswith("<svg")


def test_operations_name_no_codes_of_others(settings: Settings) -> None:
    paths = document_of(settings)["paths"]
    operations = (
        ("/v1/predict", "post"),
        ("/v1/studies", "post"),
        ("/v1/studies/pixels", "post"),
        ("/v1/models/{name}", "get"),
    )
    predict, studies, pixels, model = (str(paths[path][method]["responses"]) for path, method in operations)
    assert not re.search("`(missing_slices|series_too_large|spool_full)`", predict)
    assert not re.search("`(roi_outside_image|frame_required|pull_off)`", studies)
    assert not re.search("`(spool_full|jobs_off)`", pixels)
    assert {code for code in ("spool_full", "jobs_off") if f"`{code}`" in studies} == {"spool_full", "jobs_off"}
    assert not re.search("`(unknown_result|unknown_job)`", model)
    assert "`roi_outside_image`" in predict
    assert "`missing_slices`" in studies


def test_every_row_of_the_dialects_is_a_test() -> None:
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs" / "dialects.md").read_text("utf-8")))
    files = ("api/test_open_inference.py", "api/test_tensorflow_serving.py", "server/test_dialects.py")
    texts = [(REPOSITORY / "tests" / file).read_text("utf-8") for file in files]
    there = {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 30
    assert named <= there
