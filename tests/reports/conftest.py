"""What the tests of result objects share, and the tools of others that judge them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from app.imaging.header import quiet_pydicom
from app.inference.bundle import Bundle, load_bundle
from tests.conftest import REPOSITORY
from tests.fakes import write_bundle
from tests.reports.written import Written

FHIR_SCHEMA = Path(os.environ.get("LUNGSCOPE_FHIR_SCHEMA", REPOSITORY / "build" / "interop" / "fhir.schema.json"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "interop: needs tools of others (make interop-tools)")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="session")
def written(bundle: Bundle) -> Written:
    return Written(bundle)


@pytest.fixture(autouse=True)
def as_the_service_does() -> None:
    quiet_pydicom()


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    return tool("dciodvfy", "dicom3tools")


@pytest.fixture(scope="session")
def dsrdump() -> str:
    return tool("dsrdump", "dcmtk")


@pytest.fixture(scope="session")
def fhir_schema() -> Path:
    """HL7's R4 JSON schema."""
    if not FHIR_SCHEMA.is_file():
        absent(f"FHIR R4 schema not found: {FHIR_SCHEMA} (make interop-tools)")
    return FHIR_SCHEMA


def tool(name: str, package: str) -> str:
    """Path of a program, from a Debian package."""
    path = shutil.which(name)
    if path is None:
        absent(f"{name} not found: apt-get install {package}")
    assert path is not None
    return path


def absent(reason: str) -> None:
    """Skip, unless LUNGSCOPE_REQUIRE_INTEROP is set, as in CI."""
    if os.environ.get("LUNGSCOPE_REQUIRE_INTEROP"):
        pytest.fail(reason)
    pytest.skip(reason)
