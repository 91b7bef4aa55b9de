"""A spooled series, judged in process."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.errors import ResultNotWritten
from app.imaging.chunked import piece_of
from app.inference.series import Cancelled
from app.judgement.judge import Judge
from app.judgement.spooled import SpooledJudge
from app.main import create_app
from app.reports.dicom import WRITERS
from app.reports.report import ResultOptions
from app.reports.result import ObjectKind, ResultObject
from app.settings import Settings
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb.test_dicomweb import post, spooled
from tests.fakes import arithmetic_backends, write_models
from tests.imaging.series_files import enhanced_file, taken_files


def test_a_large_multi_frame_file_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.decoder.LARGE_BYTES", 1000)
    files = taken_files(monkeypatch)
    write_models(tmp_path)
    settings = Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", settle_seconds=0, threads=1)
    with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
        wait_until_ready(client)
        assert post(client, [enhanced_file([0.0, 1.0, 2.0])])[0] == 200
        assert eventually(lambda: not spooled(settings))
    (file,) = files
    with pytest.raises(OSError, match="released"):
        piece_of(file, 0, 1)


ARRIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FHIR: tuple[ObjectKind, ...] = ("fhir",)
BOTH: tuple[ObjectKind, ...] = ("dicom", "fhir")


def written(folder: Path, count: int) -> list[Path]:
    """The middle files of a series."""
    paths = [folder / f"{index:02d}" for index in range((SLICES - count) // 2, (SLICES + count) // 2)]
    for path in paths:
        path.write_bytes(slice_file(int(path.name)))
    return paths


@pytest.mark.parametrize("count", [1, SLICES])
def test_results_are_filed_under_their_study_and_the_same_at_a_second_attempt(
    judge: Judge, tmp_path: Path, count: int
) -> None:
    paths = written(tmp_path, count)
    first, second = (SpooledJudge(judge)(paths, ARRIVED, lambda: False, BOTH).objects for _ in range(2))
    assert [(one.uid, one.content) for one in first] == [(one.uid, one.content) for one in second]
    assert {one.kind for one in first} == set(BOTH)
    assert {one.study_uid for one in first} == {derived_uid("study")}
    (bundle,) = (one for one in first if one.kind == "fhir")
    assert bundle.series_uid == derived_uid("series")
    told = json.loads(bundle.content)
    assert (told["type"], all("request" in entry for entry in told["entry"])) == ("transaction", True)
    assert "2026-01-02" in bundle.content.decode()


def test_results_are_of_the_kinds_that_are_wanted(judge: Judge, tmp_path: Path) -> None:
    paths = written(tmp_path, 1)
    for kind in BOTH:
        assert {one.kind for one in SpooledJudge(judge)(paths, ARRIVED, lambda: False, (kind,)).objects} == {kind}


def test_nothing_that_can_be_written_is_an_error(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in WRITERS:
        monkeypatch.setitem(WRITERS, kind, lambda *_: 1 / 0)
    paths = written(tmp_path, 1)
    assert {one.kind for one in SpooledJudge(judge)(paths, ARRIVED, lambda: False, BOTH).objects} == {"fhir"}
    with pytest.raises(ResultNotWritten):
        SpooledJudge(judge)(paths, ARRIVED, lambda: False, BOTH[:1])


def presented(objects: Sequence[ResultObject]) -> list[dict[str, Any]]:
    """The papers in the bundle that is among some result objects."""
    (bundle,) = (one for one in objects if one.kind == "fhir")
    forms: list[dict[str, Any]] = json.loads(bundle.content)["entry"][0]["resource"].get("presentedForm", [])
    return forms


def test_a_bundle_holds_the_case_report_where_the_site_says_so(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, own = written(tmp_path, 1), Judge(judge.registry, judge.metrics, 100, results=ResultOptions(fhir_pdf=True))
    first, second = (SpooledJudge(own)(paths, ARRIVED, lambda: False, FHIR) for _ in range(2))
    (form,) = presented(first.objects)
    assert b64decode(form["data"]).startswith(b"%PDF")
    assert presented(second.objects) == [form]
    monkeypatch.setattr("app.judgement.formats.font_bytes", lambda: 1 / 0)
    without = SpooledJudge(own)(paths, ARRIVED, lambda: False, FHIR)
    assert (presented(without.objects), without.unwritten) == ([], ("pdf",))
    assert not presented(SpooledJudge(judge)(paths, ARRIVED, lambda: False, FHIR).objects)


def test_a_spooled_series_can_be_cancelled(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        SpooledJudge(judge)(written(tmp_path, SLICES), ARRIVED, lambda: True, BOTH)
