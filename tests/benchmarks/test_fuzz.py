"""Mutants are made of files that can be read, and the verdict sees what is wrong with an answer."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from benchmarks.fuzz import sources
from benchmarks.fuzz.archives import zipped
from benchmarks.fuzz.bodies import form
from benchmarks.fuzz.mutants import PATHS, Door, Mutant
from benchmarks.fuzz.tree import taken_apart
from benchmarks.fuzz.verdict import DICOM_JSON, EVENTS, PROBLEM, Contract, Reply
from phantoms.series import NODULE
from phantoms.slices import PixelCoding, dicom, small

READ: Final = ("ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "ExplicitVRBigEndian", "signed", "JPEG2000Lossless")
DECLARED: Final[dict[str, Any]] = {"responses": {str(status): {} for status in (200, 202, 400, 422, 500, 503)}}
CONTRACT: Final = Contract({"paths": {path: {"post": DECLARED} for path in PATHS.values()}})
FHIR: Final = "application/fhir+json"


def faults(status: int, kind: str, content: bytes, accept: str | None = None, door: Door = "predict") -> list[str]:
    sent = Mutant(1, 1, door, accept, (), PATHS[door], {}, b"")
    return CONTRACT.faults(sent, Reply(status, kind, content))


def problem(status: int, **changes: Any) -> bytes:
    return json.dumps({"status": status, "code": "malformed_dicom", **changes}).encode()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_what_is_not_changed_is_written_as_it_was(syntax: UID) -> None:
    data = dicom(small(), PixelCoding(transfer_syntax=syntax))
    assert taken_apart(data).written() == data


@pytest.mark.parametrize("name", READ)
def test_the_files_that_mutants_are_made_of_can_be_read(name: str) -> None:
    column, row = map(int, NODULE.centre_px)
    assert read_slice(sources.slices()[name].written()).hu[row, column] == pytest.approx(NODULE.hu, abs=60)


def test_so_can_multi_frame_images_pictures_and_containers() -> None:
    for file in sources.enhanced().values():
        assert read_slice(file.written(), ReadOptions(frame=3)).hu.shape == (128, 128)
    for data in sources.pictures().values():
        assert read_slice(data, ReadOptions(frame=1)).hu.shape == (128, 128)
    assert b"PK\x01\x02" in zipped([b"data"]).written()
    assert form([b"data"], "file").written().endswith(b"\r\ndata\r\n--mutant--\r\n")


@pytest.mark.parametrize(
    ("status", "kind", "content", "accept"),
    [
        (200, "application/json", b"{}", None),
        (200, FHIR, b'{"a": "\xc3\xa4"}', FHIR),
        (422, PROBLEM, problem(422), "application/dicom"),
        (200, EVENTS, b'{"event": "progress"}\n{"event": "result"}\n', EVENTS),
        (200, EVENTS, b'{"event": "problem", "status": 422}\n', EVENTS),
        (200, "image/png", b"\x89PNG\r\n\x1a\n...IEND\xaeB`\x82", "image/png"),
        (200, "text/html; charset=utf-8", b"<!DOCTYPE html><html></html>", "text/html"),
        (200, "application/pdf", b"%PDF-1.4\n%%EOF\n", "application/pdf"),
    ],
)
def test_an_answer_of_the_contract(status: int, kind: str, content: bytes, accept: str | None) -> None:
    assert not faults(status, kind, content, accept, "studies" if kind == EVENTS else "predict")


@pytest.mark.parametrize(
    ("status", "kind", "content", "accept", "found"),
    [
        (0, "", b"ConnectionResetError", None, "no answer: ConnectionResetError"),
        (500, PROBLEM, problem(500), None, "status 500"),
        (501, PROBLEM, problem(501), None, "status 501"),
        (422, PROBLEM, problem(400), None, "status 422 without a problem that says so"),
        (422, PROBLEM, problem(422, code=None), None, "status 422 without a problem that says so"),
        (400, "text/plain", b"Invalid", None, "an answer that cannot be read: JSONDecodeError"),
        (200, "application/json", b'{"a": NaN}', None, "an answer that cannot be read: ValueError"),
        (200, "application/json", b"{}", FHIR, f"application/json for Accept {FHIR}"),
        (200, FHIR, '{"a": "\ufffd"}'.encode(), FHIR, f"a character that stands for none in {FHIR}"),
        (200, FHIR, b'{"a": "\\u0000"}', FHIR, f"a character that stands for none in {FHIR}"),
        (200, EVENTS, b'{"event": "problem", "status": 500}\n', EVENTS, "status 500 at the end of the events"),
        (200, EVENTS, b'{"event": "progress"}\n', EVENTS, "events without an end"),
        (200, "application/pdf", b"%PDF-1.4\n", "application/pdf", "no whole application/pdf"),
        (200, "text/html", b"<!DOCTYPE html>", "text/html", "no whole text/html"),
    ],
)
def test_one_that_is_not(status: int, kind: str, content: bytes, accept: str | None, found: str) -> None:
    assert faults(status, kind, content, accept, "studies" if kind == EVENTS else "predict") == [found]


def test_an_answer_to_stow_is_a_data_set_or_a_problem() -> None:
    assert not faults(202, DICOM_JSON, b'{"00081190": {"vr": "UR"}}', door="stow")
    assert not faults(400, PROBLEM, problem(400), door="stow")
    assert faults(200, "text/html", b"{}", door="stow") == ["text/html for Accept None"]
