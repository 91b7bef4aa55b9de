"""QIDO-RS without HTTP: what matches (PS3.4 C.2.2.2), which page of it, and what is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.dicomweb.queries import MAX_LIMIT, Level, Query, search
from app.errors import InvalidParameter

ROOT = "http://x/dicom-web"


def instance(uid: str, modality: str = "SR", study: str = "1.2", series: str = "1.3", **more: Any) -> str:
    """One instance as DICOM JSON; `more` by tag with an x before it."""
    told: dict[str, Any] = {
        "00080060": {"vr": "CS", "Value": [modality]},
        "0020000D": {"vr": "UI", "Value": [study]},
        "0020000E": {"vr": "UI", "Value": [series]},
        "00080018": {"vr": "UI", "Value": [uid]},
        "00081030": {"vr": "LO", "Value": ["CHEST [LOW]"]},
        "00080020": {"vr": "DA", "Value": ["20260102"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00200013": {"vr": "IS", "Value": [1]},
        "00204000": {"vr": "LT", "Value": ["a comment"]},
    }
    return json.dumps(told | {tag.removeprefix("x"): element for tag, element in more.items()})


STORED = [
    instance("1.4", "SR"),
    instance("1.5", "OT", series="1.31"),
    instance("1.6", "OT", series="1.31"),
    instance("1.7", "SEG", study="1.22", series="1.32", x00080020={"vr": "DA", "Value": []}),
]


def found(level: Level, *parameters: tuple[str, str]) -> list[dict[str, Any]]:
    return search(STORED, Query.parse(parameters), level, ROOT)


def uids(*parameters: tuple[str, str]) -> list[str]:
    return [one["00080018"]["Value"][0] for one in found("instances", *parameters)]


ALL = ["1.4", "1.5", "1.6", "1.7"]
DATED = ["1.4", "1.5", "1.6"]


@pytest.mark.parametrize(
    ("name", "value", "matching"),
    [
        ("Modality", "OT", ["1.5", "1.6"]),
        ("00080060", "OT", ["1.5", "1.6"]),
        ("Modality", "", ALL),
        ("SOPInstanceUID", "1.4,1.7", ["1.4", "1.7"]),
        ("SOPInstanceUID", "1.4\\1.7", ["1.4", "1.7"]),
        ("SOPInstanceUID", "1", []),
        ("PatientName", "doe^*", ALL),
        ("PatientName", "Doe^J?ne", ALL),
        ("StudyDescription", "chest*", []),
        ("StudyDescription", "CHEST [[]LOW]", []),
        ("StudyDescription", "CHEST [LOW]", ALL),
        ("StudyDate", "20260102", DATED),
        ("StudyDate", "20260101-20260102", DATED),
        ("StudyDate", "20260102-20260103", DATED),
        ("StudyDate", "-20260101", []),
        ("StudyDate", "20260103-", []),
        ("StudyDate", "-20260102", DATED),
    ],
)
def test_what_matches(name: str, value: str, matching: list[str]) -> None:
    assert uids((name, value)) == matching


def test_everything_asked_must_match() -> None:
    assert uids(("Modality", "OT"), ("SOPInstanceUID", "1.4,1.5")) == ["1.5"]


def test_a_study_matches_when_one_of_its_instances_does() -> None:
    (study,) = found("studies", ("SOPInstanceUID", "1.6"))
    assert study["0020000D"]["Value"] == ["1.2"]


def test_a_study_is_known_by_any_of_its_modalities() -> None:
    for modality in ("SR", "OT"):
        (study,) = found("studies", ("ModalitiesInStudy", modality))
        assert study["0020000D"]["Value"] == ["1.2"]
    assert not found("studies", ("ModalitiesInStudy", "MR"))


def test_a_page_begins_at_its_offset_and_has_its_length() -> None:
    assert uids(("offset", "1"), ("limit", "2")) == ["1.5", "1.6"]
    assert uids(("limit", "1")) == ["1.4"]
    assert uids(("limit", "0")) == []
    assert uids(("offset", "3")) == ["1.7"]
    assert uids(("offset", "9")) == []
    assert uids(("offset", "9" * 20)) == uids(("offset", "9" * 5000)) == []
    assert len(uids(("limit", "9" * 5000))) == len(uids())
    assert Query.parse([]).limit == Query.parse([("limit", "100000")]).limit == MAX_LIMIT


def test_studies_and_series_count_what_is_in_them() -> None:
    first, other = found("studies")
    assert first["00080061"]["Value"] == ["OT", "SR"]
    assert (first["00201206"]["Value"], first["00201208"]["Value"]) == ([2], [3])
    assert (other["00201206"]["Value"], other["00201208"]["Value"]) == ([1], [1])
    assert [one["00201209"]["Value"] for one in found("series")] == [[1], [2], [1]]


def test_each_level_is_retrieved_under_its_own_address() -> None:
    address = f"{ROOT}/studies/1.2"
    assert found("studies")[0]["00081190"]["Value"] == [address]
    assert found("series")[0]["00081190"]["Value"] == [f"{address}/series/1.3"]
    assert found("instances")[0]["00081190"]["Value"] == [f"{address}/series/1.3/instances/1.4"]


def test_further_attributes_are_told_to_who_asks() -> None:
    comment, number = "00204000", "00200013"
    assert not {comment, number} & found("studies")[0].keys()
    assert number in found("instances")[0]
    assert comment in found("studies", ("includefield", "ImageComments"))[0]
    both = found("studies", ("includefield", "ImageComments,00200013"))[0]
    assert {comment, number} <= both.keys()
    assert {comment, number} <= found("studies", ("includefield", "all"))[0].keys()
    assert comment in found("studies", ("ImageComments", "a*"))[0], "what was asked for is told"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NoSuchKeyword", "1"),
        ("00091001", "1"),
        ("0020000G", "1"),
        ("00400275.00080050", "1"),
        ("fuzzymatching", "true"),
        ("includefield", "NoSuchKeyword"),
    ],
)
def test_what_is_unknown_is_ignored(name: str, value: str) -> None:
    assert uids((name, value), ("Modality", "OT")) == ["1.5", "1.6"]


@pytest.mark.parametrize(("name", "value"), [("limit", "-1"), ("offset", "many")])
def test_a_page_that_is_no_number_is_refused_without_its_value(name: str, value: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        Query.parse([(name, value)])
    assert value not in (refused.value.found or "")
