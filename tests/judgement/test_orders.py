"""What each destination gets of a series."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from app.errors import LeftOutByRules
from app.inference.vocabulary import DECISION_WORDS
from app.judgement.judge import Judge
from app.judgement.orders import Order
from app.judgement.selection import SeriesRules
from app.judgement.spooled import SpooledJudge
from app.reports.hl7 import MessageOptions
from app.reports.report import ResultOptions
from app.reports.result import ObjectKind, ResultObject
from phantoms.series import SLICES, slice_file
from phantoms.slices import SECRET_ID, SECRET_NAME, derived_uid

ARRIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WANTED: tuple[ObjectKind, ...] = ("dicom", "fhir", "json", "hl7")
ORDERS = (
    Order("archive", "dicom"),
    Order("chinese", "dicom", "zh", frozenset({"report", "pictures"})),
    Order("research", "fhir"),
    Order("worklist", "json", "zh", identifiers=frozenset({"accession_number"})),
    Order("ris", "hl7", message=MessageOptions(language="zh")),
)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{index:02d}" for index in range(SLICES)]
    for path in paths:
        path.write_bytes(slice_file(int(path.name), AccessionNumber="A-17"))
    return paths


def judged(judge: Judge, paths: list[Path], **more: object) -> list[ResultObject]:
    spooled = SpooledJudge(judge, orders=ORDERS, **more)  # type: ignore[arg-type]  # what the test names
    return list(spooled(paths, ARRIVED, lambda: False, WANTED).objects)


def of(objects: list[ResultObject], destination: str) -> list[ResultObject]:
    return [each for each in objects if each.to is not None and destination in each.to]


def test_each_gets_what_it_ordered_in_its_language(judge: Judge, paths: list[Path]) -> None:
    objects = judged(judge, paths)
    assert {each.part for each in of(objects, "archive")} == {"report", "key_images", "pictures", "map", "outlines"}
    assert {each.part for each in of(objects, "chinese")} == {"report", "pictures"}
    pictures = {each.uid: each.to for each in objects if each.part == "pictures"}
    each = len(pictures) // 2
    assert sorted(map(sorted, filter(None, pictures.values()))) == [["archive"]] * each + [["chinese"]] * each
    assert len({each.uid for each in objects}) == len(objects)
    assert [each.kind for name in ("research", "worklist", "ris") for each in of(objects, name)] == [
        "fhir",
        "json",
        "hl7",
    ]


def test_a_second_attempt_writes_the_same(judge: Judge, paths: list[Path]) -> None:
    first, second = judged(judge, paths), judged(judge, paths)
    assert [(each.uid, each.content) for each in first] == [(each.uid, each.content) for each in second]


def test_json_names_what_was_asked_for_and_no_patient(judge: Judge, paths: list[Path]) -> None:
    (message,) = of(judged(judge, paths), "worklist")
    told = json.loads(message.content)
    assert (told["type"], told["timestamp"]) == ("series.judged", "2026-01-02T03:04:05+00:00")
    data = told["data"]
    assert (data["study_instance_uid"], data["accession_number"]) == (derived_uid("study"), "A-17")
    assert data["result"]["display"] == DECISION_WORDS[data["result"]["decision"]]["zh"]
    assert data["report_uid"] in {each.uid for each in of(judged(judge, paths), "archive") if each.part == "report"}
    assert SECRET_ID not in message.content.decode()
    assert SECRET_NAME not in message.content.decode()


def test_hl7_is_in_the_language_of_its_receiver(judge: Judge, paths: list[Path]) -> None:
    (message,) = of(judged(judge, paths), "ris")
    decision = hl7.parse(message.content.decode()).segment("OBX")[5][0]
    assert str(decision[4]) == DECISION_WORDS[str(decision[3])]["zh"]  # type: ignore[index]  # a decision


def test_what_is_not_judged_is_said_to_whoever_is_told_of_results(judge: Judge, paths: list[Path]) -> None:
    spooled = SpooledJudge(judge, orders=ORDERS)
    result = spooled.refused(paths, ARRIVED, "gantry_tilt", "found a tilt; expected none", None)
    assert result is not None
    objects = list(result.objects)
    assert [len(of(objects, each.destination)) for each in ORDERS] == [1, 1, 0, 1, 1]
    (report,) = of(objects, "archive")
    assert dcmread(DicomBytesIO(report.content)).SOPInstanceUID == report.uid
    told = json.loads(of(objects, "worklist")[0].content)
    assert (told["type"], told["data"]["reason"]["code"]) == ("series.not_processed", "gantry_tilt")
    assert told["data"]["series_instance_uid"] == derived_uid("series")
    assert "(gantry_tilt)" in of(objects, "ris")[0].content.decode()


def test_a_message_that_cannot_be_written_costs_no_other(
    judge: Judge, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.judgement.orders.write_oru", lambda *_: 1 / 0)
    result = SpooledJudge(judge, orders=ORDERS)(paths, ARRIVED, lambda: False, WANTED)
    assert result.unwritten == ("hl7",)
    assert len(of(list(result.objects), "worklist")) == 1


def test_rules_say_how_much_is_written_and_what_is_left_out(judge: Judge, paths: list[Path]) -> None:
    with pytest.raises(LeftOutByRules, match="number of slices"):
        judged(judge, paths, rules=SeriesRules(min_slices=SLICES + 1))
    few = judged(judge, paths, rules=SeriesRules(), results=ResultOptions(max_pictures=1))
    assert len([each for each in of(few, "archive") if each.part == "pictures"]) == 1
