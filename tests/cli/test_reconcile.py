"""`lungscope jobs reconcile`: what came to the archive in an outage is asked for once, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from app.cli import CANNOT_START, OK, SOME_FAILED, main
from app.delivery.database.series_states import SeriesName, Settled
from app.reports.result import REPORT_SERIES
from app.security.pseudonyms import KEY_FILE, pseudonym
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.api.archive_peer import Archive, answer_with, serving
from tests.api.test_jobs import started
from tests.cli.test_jobs import LATER, Folder, folder

__all__ = ["folder"]
SINCE: Final = ("--since", "2026-11-30T18:00", "--until", "2026-12-01T06:00")
MISSED: Final = "1.2.1"  # a study of two series, 1.2.1.1 and 1.2.1.2
REPORTS: Final = "1.9.9"  # the series of our reports on it


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    archive = Archive()
    archive.studies[MISSED] = {"1.2.1.1": [], "1.2.1.2": [], "1.2.1.3": []}
    archive.modalities["1.2.1.3"] = "SR"
    archive.began[MISSED] = ("20261130", "230000")
    with serving(archive):
        monkeypatch.setenv("LUNGSCOPE_PULL_URL", archive.url)
        yield archive


def reconcile(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = OK, span: tuple[str, ...] = SINCE
) -> list[dict[str, Any]]:
    assert main(["jobs", "reconcile", *span, *arguments, "--all", "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def outcomes(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = OK) -> list[str]:
    return [each["outcome"] for each in reconcile(capsys, *arguments, code=code)]


def reported(archive: Archive, *series: str) -> None:
    """Reports of ours on these series of MISSED, in the archive."""
    archive.studies[MISSED][REPORTS] = []
    archive.modalities[REPORTS] = "SR"
    archive.described[REPORTS] = (REPORT_SERIES, "")
    of_series = [{"0020000E": {"vr": "UI", "Value": [uid]}} for uid in series]
    evidence = [{"00081115": {"vr": "SQ", "Value": of_series}}]
    archive.metadata[REPORTS] = [{"0040A375": {"vr": "SQ", "Value": evidence}}]


def settle(folder: Folder, series: str, verdict: Any = "judged", code: str = "") -> None:
    name = folder.spool.name_of(series)
    folder.store.received([SeriesName(name, MISSED, series)], now=0, expires_at=LATER)
    settled = Settled(name, verdict, frozenset({"a"}), code)
    folder.store.put(f"claim of {series}", [], {}, now=0, expires_at=LATER, settled=settled)


@pytest.mark.usefixtures("archive")
def test_what_is_missing_is_asked_for_once(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    (dry,) = reconcile(capsys, "--dry-run")
    hashed = pseudonym(folder.key, "study", MISSED)
    assert dry == {"study": hashed, "outcome": "missing", "series": 2}
    assert folder.store.pulls_waiting() == 0
    (asked,) = reconcile(capsys)
    assert (asked["study"], asked["outcome"], asked["series"]) == (hashed, "asked", 2)
    pull = folder.store.due_pull(LATER)
    assert pull is not None
    assert (pull.job, pull.study_uid, pull.series_uids) == (asked["job"], MISSED, ("1.2.1.1", "1.2.1.2"))
    assert outcomes(capsys) == ["waiting"]
    assert folder.store.pulls_waiting() == 1
    assert main(["jobs", "reconcile", *SINCE]) == OK
    said = capsys.readouterr()
    assert MISSED not in said.out + said.err
    assert "reconcile: 1 waiting" in said.err


def test_what_is_known_here_is_not(folder: Folder, archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    settle(folder, "1.2.1.1")
    settle(folder, "1.2.1.2", "unfit", "gantry_tilt")
    assert outcomes(capsys) == ["known"]
    assert not any(path.endswith("/metadata") for path in archive.paths())
    archive.studies[MISSED]["1.2.1.4"] = []
    assert reconcile(capsys, "--dry-run")[0]["series"] == 1
    # Noted when it came, and gone before it was judged: it has no result.
    name = folder.spool.name_of("1.2.1.4")
    folder.store.received([SeriesName(name, MISSED, "1.2.1.4")], now=0, expires_at=LATER)
    assert outcomes(capsys, "--dry-run") == ["missing"]
    folder.store.drop(Settled(name, "failed", frozenset(), "dropped"), now=0, keep_s=LATER)
    assert outcomes(capsys, "--dry-run") == ["missing"]
    with folder.spool.reception() as reception:
        with reception.open_part() as part:
            part.write(b"x")
        reception.keep("1.2.1.4", "1.2.3")
        reception.commit()
    assert outcomes(capsys) == ["known"]


def test_a_report_in_the_archive_speaks_for_its_series_alone(
    folder: Folder,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported(archive, "1.2.1.1")
    assert reconcile(capsys, "--dry-run")[0]["series"] == 1
    rules = tmp_path / "rules.toml"
    rules.write_text("[series]\n")  # one of each study
    monkeypatch.setenv("LUNGSCOPE_RULES", str(rules))
    assert outcomes(capsys) == ["reported"]
    monkeypatch.delenv("LUNGSCOPE_RULES")
    reported(archive, "1.2.1.1", "1.2.1.2")
    assert outcomes(capsys) == ["reported"]
    archive.metadata[REPORTS] = [{"0040A375": {"Value": ["odd"]}}]
    assert outcomes(capsys, code=SOME_FAILED) == ["failed"]
    assert folder.store.pulls_waiting() == 0


def test_one_result_of_a_study_is_enough_where_the_rules_say_so(
    folder: Folder,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "rules.toml").write_text('[series]\ndescription = ["lung"]\nbody_part = ["chest"]\n')
    monkeypatch.setenv("LUNGSCOPE_RULES", str(tmp_path / "rules.toml"))
    archive.described |= {"1.2.1.1": ("Head", "HEAD"), "1.2.1.2": ("Lung 1.0", "")}
    settle(folder, "1.2.1.2", "unfit", "gantry_tilt")
    assert outcomes(capsys) == ["known"]
    archive.studies[MISSED]["1.2.1.5"] = []
    assert reconcile(capsys, "--dry-run")[0]["series"] == 1
    settle(folder, "1.2.1.2")
    assert outcomes(capsys) == ["known"]
    del archive.studies[MISSED]["1.2.1.5"], archive.studies[MISSED]["1.2.1.2"]
    assert outcomes(capsys) == ["left_out"]
    (tmp_path / "rules.toml").write_text("[series]\nkernel = 7\n")
    assert main(["jobs", "reconcile", *SINCE]) == CANNOT_START


@pytest.mark.usefixtures("folder")
def test_the_span_is_that_of_the_studies_and_pages_are_turned(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.page = 2
    began = {
        "1.3.1": ("20261130", "1530"),  # too early
        "1.3.2": ("20261130", "160500"),  # within two hours
        "1.3.3": ("20261201", "075959.5"),
        "1.3.4": ("20261201", "080001"),
        "1.3.5": ("20261129", "230000"),
        "1.3.6": ("20261130", ""),
        "1.3.7": ("", ""),
    }
    archive.began = began
    archive.studies |= {study: {f"{study}.1": []} for study in began}
    archive.studies["1.3.6"] = {"1.3.6.1": []}
    archive.modalities["1.3.6.1"] = "MR"  # an archive that does not match by modality
    assert len(reconcile(capsys, "--dry-run")) == 3
    assert sum("/studies?" in path for path in archive.paths()) == 4
    assert main(["jobs", "reconcile", *SINCE, "--most", "1"]) == OK
    said = capsys.readouterr()
    assert "outcome=asked" in said.out
    assert "run it again" in said.err
    assert sorted(outcomes(capsys)) == ["asked", "asked", "waiting"]


def test_an_archive_that_fails_is_said_and_what_was_asked_for_stays(
    folder: Folder, archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.faults = [answer_with(503)]
    assert main(["jobs", "reconcile", *SINCE]) == CANNOT_START
    assert "source_failing" in capsys.readouterr().err
    archive.began["1.2.2"] = archive.began[MISSED]
    archive.studies["1.2.2"] = {"1.2.2.1": []}
    page = json.dumps(archive.studies_of({"StudyDate": ["0-9"], "offset": ["0"], "limit": ["9"]})).encode()
    series = json.dumps(archive.found(MISSED, {})).encode()
    archive.faults = [*(answer_with(200, body, "application/dicom+json") for body in (page, series)), answer_with(503)]
    assert main(["jobs", "reconcile", *SINCE]) == CANNOT_START
    assert folder.store.pulls_waiting() == 1
    assert "outcome=asked" in capsys.readouterr().out
    assert sorted(outcomes(capsys)) == ["asked", "waiting"]


@pytest.mark.parametrize("uid", ["..", "\ud800", "1\0", "1.2/../1.3", "1." * 32 + "1"])
def test_what_is_no_uid_is_asked_of_nobody(
    folder: Folder, archive: Archive, capsys: pytest.CaptureFixture[str], uid: str
) -> None:
    archive.began = {uid: ("20261130", "230000"), MISSED: ("20261130", "230000")}
    archive.studies[MISSED][uid] = []
    for _ in range(2):
        assert [(each["outcome"], each["code"]) for each in reconcile(capsys, code=SOME_FAILED)] == [
            ("failed", "source_malformed"),
            ("failed", "source_malformed"),
        ]
    assert {urlsplit(path).path for path in archive.paths()} == {
        "/dicom-web/studies",
        f"/dicom-web/studies/{MISSED}/series",
    }
    assert folder.store.pulls_waiting() == 0


@pytest.mark.parametrize("arguments", [(), ("--since", "yesterday"), (*SINCE, "--most", "0")])
@pytest.mark.usefixtures("folder", "archive")
def test_what_cannot_be_asked_is_said(arguments: tuple[str, ...]) -> None:
    assert main(["jobs", "reconcile", *arguments]) == CANNOT_START


def test_it_needs_an_archive_and_the_key(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["jobs", "reconcile", *SINCE]) == CANNOT_START
    monkeypatch.setenv("LUNGSCOPE_PULL_URL", "http://127.0.0.1:9/dicom-web")
    (folder.path / KEY_FILE).unlink()
    assert main(["jobs", "reconcile", *SINCE]) == CANNOT_START
    assert not (folder.path / KEY_FILE).exists()


def test_a_service_fetches_and_judges_what_was_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = Archive()
    study, series = derived_uid("study"), derived_uid("series")
    archive.studies[study] = {series: [slice_file(index) for index in range(SLICES)]}
    archive.began[study] = ("20261130", "230000")
    monkeypatch.setenv("LUNGSCOPE_SPOOL_DIR", str(tmp_path / "state"))
    with serving(archive), started(tmp_path, pull_url=archive.url) as client:
        monkeypatch.setenv("LUNGSCOPE_PULL_URL", archive.url)
        (asked,) = reconcile(capsys)
        eventually(lambda: client.get(f"/v1/jobs/{asked['job']}").json()["state"] == "judged")
        assert outcomes(capsys) == ["known"]
        assert sum(path.endswith(series) for path in archive.paths()) == 1
