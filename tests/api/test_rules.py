"""The file of rules, and the destinations that it or the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.api.destinations import routes_of, rules_of
from app.api.rules import Rules, read_rules
from app.errors import SettingsError
from app.settings import Settings
from tests.conftest import REPOSITORY

SECRET = "whsec_" + "c2VjcmV0" * 4


def rules_in(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text)
    return path


def settings(folder: Path, text: str, **more: Any) -> Settings:
    return Settings(spool_dir=folder / "state", rules=rules_in(folder, text), **more)


def webhook(folder: Path, url: str = "https://receiver.example", secret: str = SECRET, more: str = "") -> str:
    (folder / "secret").write_text(f"{secret}\n")
    of_it = f'kind = "webhook"\nurl = "{url}"\nsecret_file = "{folder / "secret"}"'
    return f'[[destination]]\nname = "hook"\n{of_it}\n{more}\n'


def test_the_example_is_what_the_documentation_shows_and_is_read(tmp_path: Path) -> None:
    example = (REPOSITORY / "deploy" / "rules.toml").read_text("utf-8")
    assert f"```toml\n{example}```" in (REPOSITORY / "docs" / "pacs.md").read_text("utf-8")
    (tmp_path / "pacs-token").write_text("token\n")
    (tmp_path / "worklist").write_text(f"{SECRET}\n")
    given = settings(tmp_path, example.replace("/run/secrets", str(tmp_path)))
    rules = rules_of(given)
    routes = routes_of(given, rules)
    assert [(each.destination.name, each.destination.kind, each.retry_s) for each in routes] == [
        ("pacs", "dicom", 5.0),
        ("archive", "dicom", 5.0),
        ("research", "fhir", 60.0),
        ("worklist", "json", 5.0),
        ("ris", "hl7", 5.0),
    ]
    assert routes[0].order.language == "zh"
    assert sorted(routes[0].order.parts) == ["outlines", "pictures", "report"]
    assert routes[3].order.identifiers == {"accession_number", "patient_id"}
    assert routes[4].order.message.link == "https://viewer.example.org/?StudyInstanceUIDs={study}"
    assert rules.series is not None
    assert rules.series.rank([]) is None


def test_every_key_is_in_the_example() -> None:
    example = (REPOSITORY / "deploy" / "rules.toml").read_text("utf-8")
    keys = {name for table in _tables(Rules.model_json_schema()) for name in table}
    assert [name for name in keys if f"{name} = " not in example and f"[{name}]" not in example] == ["password_file"]


def _tables(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema["properties"], *(each.get("properties", {}) for each in schema["$defs"].values())]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[serie]\n", "serie: no such key"),
        ("[series]\nbodypart = []\n", "series.bodypart: no such key"),
        ('[series]\nkernel = ["("]\n', "series.kernel.1: "),
        ("[series]\nmin_slices = 0\n", "series.min_slices: "),
        ("[results]\npictures = 0\n", "results.pictures: "),
        ('[[destination]]\nname = "a"\nkind = "dicom"\n', "destination.1: "),
        ('[[destination]]\nname = "a"\nkind = "stow"\n', "destination.1.stow.url: is missing"),
        ('[[destination]]\nname = "../a"\nkind = "fhir"\nurl = "http://a"\n', "destination.1.fhir.name: "),
        ('[[destination]]\nname = "results"\nkind = "fhir"\nurl = "http://a"\n', "names that are taken: results"),
        ('[[destination]]\nname = "a"\nkind = "fhir"\nurl = "http://a"\n' * 2, "names that are taken: a"),
        ('[[destination]]\nname = "a"\nkind = "hl7"\nurl = "http://a"\n', "destination.1.hl7.url: "),
        ('[[destination]]\nname = "a"\nkind = "hl7"\nurl = "mllp://a:1"\nobjects = []\n', "destination.1.hl7.objects"),
        ("series = \n", "no TOML"),
    ],
)
def test_a_wrong_file_stops_the_start_and_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as stopped:
        read_rules(rules_in(tmp_path, text))
    assert said in str(stopped.value)
    assert str(tmp_path / "rules.toml") in str(stopped.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://receiver.example", True),
        ("http://127.0.0.1:9000/hook", True),
        ("http://[::1]:9000/hook", True),
        ("http://localhost/hook", True),
        ("http://receiver.example", False),
        ("http://127.0.0.1.example.org", False),
        ("http://10.0.0.7", False),
    ],
)
def test_a_webhook_goes_by_https_or_stays_on_this_machine(tmp_path: Path, url: str, allowed: bool) -> None:
    path = rules_in(tmp_path, webhook(tmp_path, url))
    if allowed:
        assert read_rules(path).destination[0].name == "hook"
        return
    with pytest.raises(SettingsError, match="needs https"):
        read_rules(path)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all but long enough !!!!!!!!"])
def test_a_secret_that_signs_nothing_is_refused_without_being_shown(tmp_path: Path, secret: str) -> None:
    given = settings(tmp_path, webhook(tmp_path, secret=secret))
    with pytest.raises(SettingsError, match="hook") as stopped:
        routes_of(given, rules_of(given))
    assert secret in ("", "whsec_") or secret not in str(stopped.value)


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    given = settings(tmp_path, '[[destination]]\nname = "ris"\nkind = "hl7"\nurl = "mllp://ris:70000"\n')
    with pytest.raises(SettingsError, match="ris"):
        routes_of(given, rules_of(given))


def test_destinations_are_named_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LUNGSCOPE_PACS_URL"):
        rules_of(settings(tmp_path, "", pacs_url="http://127.0.0.1:1"))


@pytest.mark.parametrize("kind", ["hl7", "webhook"])
def test_who_wants_no_patient_in_results_names_none_to_others(tmp_path: Path, kind: str) -> None:
    of_kind = {
        "hl7": '[[destination]]\nname = "ris"\nkind = "hl7"\nurl = "mllp://ris:2575"\n',
        "webhook": webhook(tmp_path, more='identifiers = ["patient_id"]'),
    }
    with pytest.raises(SettingsError, match="LUNGSCOPE_DEIDENTIFY"):
        rules_of(settings(tmp_path, of_kind[kind], deidentify=True))
    assert rules_of(settings(tmp_path, webhook(tmp_path), deidentify=True)).destination


def test_without_a_file_the_settings_are_the_rules(tmp_path: Path) -> None:
    given = Settings(
        spool_dir=tmp_path, pacs_url="http://127.0.0.1:1/dicom-web", fhir_url="http://127.0.0.1:2", retry_seconds=7
    )
    rules = rules_of(given)
    routes = routes_of(given, rules)
    assert rules == Rules()
    assert [(each.destination.name, each.order.kind, each.retry_s) for each in routes] == [
        ("pacs", "dicom", 7),
        ("fhir", "fhir", 7),
    ]


def test_rules_need_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_RULES", str(rules_in(tmp_path, "")))
    with pytest.raises(SettingsError, match="LUNGSCOPE_SPOOL_DIR"):
        Settings.load()
