"""`lungscope jobs`: what waits, what an operator does about it, and how a case is found."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from app.cli import CANNOT_START, OK, SOME_FAILED, main
from app.delivery.database.pulls import Pull
from app.delivery.database.series_states import Case, SeriesName, Settled
from app.delivery.database.store import ResultStore
from app.delivery.database.submissions import Submission
from app.delivery.spool.spool import Spool, SpoolLimits
from app.reports.result import ResultObject
from app.security.pseudonyms import KEY_FILE, load_key, pseudonym
from phantoms.slices import derived_uid, dicom, small

LATER = 4e9
SERIES, STUDY, ACCESSION = derived_uid("series"), derived_uid("study"), "A-17"


class Folder:
    """The folder of a service that is not running."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.spool = Spool(path / "spool", SpoolLimits(1 << 30, 24, 3, 30, 24))
        self.store = ResultStore(path / "results.sqlite3")
        self.name = self.spool.name_of(SERIES)
        self.key = load_key(path)

    def receive(self) -> None:
        """One slice, as STOW-RS brings it."""
        self.store.received([SeriesName(self.name, STUDY, SERIES)], now=time.time(), expires_at=LATER)
        case = Case(self.name, pseudonym(self.key, "study", STUDY), pseudonym(self.key, "accession", ACCESSION))
        self.store.note_cases([case], expires_at=LATER)
        with self.spool.reception() as reception:
            with reception.open_part() as part:
                part.write(dicom(small()))
            reception.keep(SERIES, "1.2.3")
            reception.commit()

    def owe(self, *uids: str) -> None:
        """Results for the PACS."""
        objects = [ResultObject(uid, "dicom", STUDY, "1.9", "{}", b"x") for uid in uids]
        self.store.put("claim", objects, {"dicom": ["pacs"]}, now=0, expires_at=LATER)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("LUNGSCOPE_SPOOL_DIR", str(tmp_path / "state"))
    return Folder(tmp_path / "state")


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = OK) -> list[dict[str, Any]]:
    assert main(["jobs", *arguments, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def states(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    return {job["id"]: job["state"] for job in told(capsys, "list", *arguments)}


def test_all_that_waits_is_listed(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert states(capsys) == {}
    folder.receive()
    folder.owe("2.25.1", "2.25.2")
    folder.store.postpone("pacs", "2.25.1", 1e9)
    folder.store.settle("pacs", "2.25.2", refused=True, code="AE")
    assert told(capsys, "list") == [
        {"id": folder.name, "state": "waiting", "series": folder.name},
        {
            "id": "pacs:2.25.1",
            "state": "delivering",
            "destination": "pacs",
            "attempts": 1,
            "due_at": "2001-09-09T01:46:40Z",
        },
        {"id": "pacs:2.25.2", "state": "refused", "destination": "pacs", "code": "AE"},
    ]
    assert states(capsys, "--destination", "pacs") == {"pacs:2.25.1": "delivering", "pacs:2.25.2": "refused"}
    assert main(["jobs", "list"]) == OK
    assert "id=pacs:2.25.2  state=refused" in capsys.readouterr().out


def test_what_is_to_be_fetched_is_listed_and_dropped(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list"]) == OK
    assert capsys.readouterr().err == "lungscope: list: nothing waits\n"
    folder.store.ask(Submission("job-1", "", "received", "", 1e9, ()), Pull("job-1", STUDY), expires_at=LATER)
    folder.store.begin_pull("job-1")
    folder.store.postpone_pull("job-1", 1e9, "source_unreachable")
    fetching = {"id": "job-1", "state": "fetching", "attempts": 1, "due_at": "2001-09-09T01:46:40Z"}
    assert told(capsys, "list") == [fetching | {"code": "source_unreachable"}]
    assert main(["jobs", "drop", "job-1"]) == OK
    assert states(capsys) == {}


def test_a_refused_result_is_sent_again_or_given_up(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.owe("2.25.1", "2.25.2")
    for uid in ("2.25.1", "2.25.2"):
        folder.store.settle("pacs", uid, refused=True, code="AE")
    assert main(["jobs", "retry", "pacs:2.25.1"]) == OK
    assert folder.store.waiting("pacs") == 1
    assert main(["jobs", "drop", "--destination", "pacs"]) == OK
    assert folder.store.waiting("pacs") == 0
    assert states(capsys) == {}
    assert states(capsys, "--all") == {"pacs:2.25.1": "given_up", "pacs:2.25.2": "given_up"}
    assert main(["jobs", "retry", "--destination", "pacs"]) == OK
    assert folder.store.waiting("pacs") == 0
    assert main(["jobs", "retry", "pacs:2.25.2"]) == OK
    assert folder.store.waiting("pacs") == 1


def test_a_series_in_quarantine_is_judged_again(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.receive()
    for _ in range(2):
        claim = folder.spool.claim(LATER)
        assert claim is not None
        claim.begin()
        claim.set_apart("the process that judged it ended, three times")
        (job,) = told(capsys, "list")
        assert (job["state"], job["series"]) == ("quarantined", folder.name)
        assert main(["jobs", "retry", job["id"]]) == OK
        assert states(capsys) == {folder.name: "waiting"}
    claim = folder.spool.claim(LATER)
    assert claim is not None
    assert (claim.attempts, len(claim.paths)) == (0, 1)
    assert claim.paths[0].read_bytes() == dicom(small())
    claim.release()


def test_what_waits_is_dropped_and_said_to_have_been(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.receive()
    claim = folder.spool.claim(LATER)
    assert claim is not None
    assert states(capsys) == {folder.name: "judging"}
    assert main(["jobs", "drop", folder.name]) == SOME_FAILED
    claim.set_apart("it failed")
    (job,) = told(capsys, "list")
    assert main(["jobs", "drop", job["id"]]) == OK
    folder.receive()
    assert main(["jobs", "drop", folder.name]) == OK
    assert states(capsys) == {}
    (status,) = folder.store.statuses(STUDY, folder.spool.places())
    assert (status.state, status.code) == ("failed", "dropped")


def test_what_was_judged_with_others_is_not_forgotten_by_dropping_a_late_one(folder: Folder) -> None:
    settled = Settled(folder.name, "judged", frozenset({"a", "b"}))
    folder.receive()
    folder.store.put("claim", [], {}, now=0, expires_at=LATER, settled=settled)
    assert main(["jobs", "drop", folder.name]) == OK
    known = folder.store.known(folder.name)
    assert known is not None
    assert known.instances >= {"a", "b"}
    assert known.judged


@pytest.mark.parametrize(("option", "value"), [("--accession", ACCESSION), ("--study", STUDY)])
def test_a_case_is_found_by_its_number_which_stands_nowhere(
    folder: Folder, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    folder.receive()
    (found,) = told(capsys, "find", option, value)
    assert (found["series"], found["state"]) == (folder.name, "waiting")
    hashed = pseudonym(folder.key, option[2:], value)
    assert hashed in (found["study"], found["accession"])
    assert ACCESSION not in json.dumps(found)
    assert told(capsys, "find", option, "another", code=SOME_FAILED) == []
    assert main(["jobs", "find", option, f" {value} "]) == OK
    assert hashed in capsys.readouterr().err


def test_the_key_is_private_and_stays(folder: Folder) -> None:
    path = folder.path / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(folder.path) == folder.key
    path.unlink()
    assert main(["jobs", "find", "--accession", ACCESSION]) == CANNOT_START
    assert not path.exists()


@pytest.mark.parametrize(
    "arguments",
    [["retry"], ["drop"], ["find"], ["find", "--accession", "1", "--study", "2"], ["list", "--folder", "/nowhere"]],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_done_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["jobs", *arguments]) == CANNOT_START
    assert capsys.readouterr().err.startswith("lungscope: Found no")
    assert main(["jobs", "retry", "pacs:2.25.9", "../etc", "0" * 32]) == SOME_FAILED


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_another_user_leaves_no_files_in_the_services_folder(folder: Folder) -> None:
    os.chown(folder.path, 65534, -1)
    assert main(["jobs", "list"]) == CANNOT_START
