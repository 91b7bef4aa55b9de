"""Bills of materials, licences, advisories, and the threat model that names settings and tests."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from app.settings import Settings
from benchmarks import advisories
from benchmarks.bill_of_materials import bill
from benchmarks.licences import LOCKS, listed, page
from tests.test_packaging import pins

REPOSITORY = Path(__file__).resolve().parents[1]
# What may stand as the licence of a package of the small install; GPL may not.
PERMITTED = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|0BSD|Zlib|CC0|Unlicense|ISC|HPND", re.IGNORECASE
)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_bill_of_materials_is_that_of_the_lock(lock: str) -> None:
    text = (REPOSITORY / "requirements" / f"{lock}.cdx.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    written = json.loads(text)
    components = {(each["name"], each["version"]) for each in written["components"]}
    assert components == {(name, version) for name, versions in pins(lock).items() for version in versions}
    assert written["serialNumber"] == bill(lock)["serialNumber"], "run `make sbom` and commit the result"
    assert all(each["externalReferences"][0]["hashes"] for each in written["components"])


def test_the_bill_says_who_asks_for_whom() -> None:
    asks = {each["ref"]: each["dependsOn"] for each in bill("serve")["dependencies"]}
    names = {ref.partition("@")[0]: {on.partition("@")[0] for on in depends} for ref, depends in asks.items()}
    assert "pkg:pypi/starlette" in names["pkg:pypi/fastapi"]
    assert {"pkg:pypi/fastapi", "pkg:pypi/highdicom", "pkg:pypi/openvino"} <= names["lungscope"]
    assert "pkg:pypi/pydantic-core" not in names["lungscope"]


def test_the_list_of_licences_is_that_of_the_locks() -> None:
    rows = re.findall(r"^\| ([a-z0-9.-]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|", written_page(), re.MULTILINE)
    for lock in LOCKS:
        named = {(name, version) for name, version, _, locks in rows if lock in locks.split(", ")}
        wanted = {(name, version) for name, versions in pins(lock).items() for version in versions}
        assert named == wanted, "run `make licences` and commit the result"
    assert all(licence not in ("not said", "") for _, _, licence, _ in rows)


def test_every_package_has_a_licence_that_lets_it_be_served() -> None:
    for package in listed():
        assert PERMITTED.search(package.licence), f"{package.name}: {package.licence}"
    assert page(listed()).count("\n| ") >= 40


def written_page() -> str:
    return (REPOSITORY / "docs" / "licences.md").read_text("utf-8")


VULNERABLE = {"name": "numpy", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0"]}]}
FINE = {"name": "fastapi", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "uvloop", "skip_reason": "Dependency not found"}


def of_pypi(path: Path, service: str) -> Sequence[advisories.Package] | None:
    """A database that cannot be reached, and one that knows."""
    if service == "osv":
        return None
    return [VULNERABLE] if path.name == "canary.txt" else [FINE, UNKNOWN, VULNERABLE]


def of_a_mirror(_path: Path, _service: str) -> Sequence[advisories.Package] | None:
    """An index that has packages and no advisories, not even those of the canary."""
    return [FINE]


def test_advisories_are_dated_and_name_what_is_to_be_updated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "advisories.json"
    assert advisories.main(["--out", str(out)], of_pypi) == 1
    written = json.loads(out.read_text("utf-8"))
    assert datetime.fromisoformat(written["date"]).tzinfo == UTC
    assert (written["service"], written["unknown"]) == ("pypi", ["uvloop"])
    assert written["vulnerable"] == [
        {
            "name": "numpy",
            "version": "1.0",
            "locks": list(advisories.LOCKS),
            "advisories": [{"id": "PYSEC-1", "fixed_in": ["2.0"]}],
        }
    ]
    assert "numpy 1.0" in capsys.readouterr().err


@pytest.mark.parametrize("audit", [of_a_mirror, lambda _path, _service: None])
def test_without_a_database_that_knows_the_last_result_stays_and_that_is_said(
    audit: advisories.Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "advisories.json"
    assert advisories.main(["--out", str(out)], audit) == 0
    assert "NOT AUDITED" in capsys.readouterr().err
    assert json.loads(out.read_text("utf-8"))["not_audited"]
    out.write_text('{"date": "2026-01-01T00:00:00+00:00", "service": "osv"}')
    before = out.read_bytes()
    assert advisories.main(["--out", str(out)], audit) == 0
    assert "the result of 2026-01-01" in capsys.readouterr().err
    assert advisories.main(["--out", str(out), "--strict"], audit) == 1
    assert out.read_bytes() == before


def test_the_threat_model_names_settings_and_tests_that_exist() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text("utf-8")
    for path in set(re.findall(r"`(tests/[a-z_/]+\.py)`", text)):
        assert (REPOSITORY / path).is_file(), path
    names = {name.upper() for name in Settings.model_fields}
    table = text.partition("## Threats")[2].partition("Settings are named")[0]
    for row in re.findall(r"^\| [STRIDE]\d+ \|.*$", table, re.MULTILINE):
        setting, test = row.rstrip("| ").split(" | ")[-2:]
        assert test.strip()
        for name in re.findall(r"`([A-Z_*]+)`", setting):
            assert any(known == name or (name.endswith("*") and known.startswith(name[:-1])) for known in names), name
    for name in set(re.findall(r"LUNGSCOPE_([A-Z_]+)", text)):
        assert name in names, name
