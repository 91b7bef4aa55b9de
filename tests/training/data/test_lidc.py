"""LIDC-IDRI as published: on generated series, and bit for bit on the one real series at hand."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import InputTooLarge
from tests.training.data import lidc_phantom
from tests.training.data.lidc_phantom import Drawn, reading_xml, write_series
from training.data import lidc_xml
from training.data.datasets import read_dataset
from training.data.development import read_development, read_nodules
from training.data.lidc_xml import Contour, parse_reading
from training.data.marks import draw, largest_region
from training.data.nodules import Dataset, DatasetMalformed, DatasetMissing, Nodule

SMALL, LARGE = (70, 116, 77, 123), (69, 115, 79, 124)  # middle (73.5, 119.5) and (74, 119.5)
ELSEWHERE = (180, 100, 186, 106)
POINT = Drawn({1: (90, 90, 90, 90)}, malignancy=None)
SESSIONS = (
    (Drawn({1: SMALL, 2: SMALL}, malignancy=2, texture=4), POINT),
    (Drawn({2: LARGE, 3: SMALL}, malignancy=5), Drawn({2: ELSEWHERE}, malignancy=1)),
    (Drawn({4: SMALL}, malignancy=3), POINT),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients as TCIA lays them out: one XML beside its images, one in the XML archive, and an X-ray's."""
    root = tmp_path_factory.mktemp("LIDC-IDRI")
    for patient in ("LIDC-A", "LIDC-B"):
        folder = root / patient / "study" / "series"
        write_series(folder, patient, seed=hash_free_seed(patient))
        place = folder if patient == "LIDC-A" else root / "tcia-lidc-xml" / "157"
        place.mkdir(parents=True, exist_ok=True)
        (place / "158.xml").write_bytes(reading_xml(patient, SESSIONS))
    (root / "LIDC-A" / "069.xml").write_text('<IdriReadMessage xmlns="http://www.nih.gov"/>')
    return root


def hash_free_seed(patient: str) -> int:
    return 10 * ord(patient[-1])


@pytest.fixture(scope="module")
def generated(tree: Path) -> Dataset:
    """The two patients, read."""
    return read_dataset(tree)


def test_marks_become_nodules_with_their_readers(generated: Dataset) -> None:
    assert generated.patients == {"LIDC-A", "LIDC-B"}
    first, *others = [n for n in generated.nodules if n.patient == "LIDC-A"]
    assert first.malignancy == (2, 5, 3)  # one nodule over slices 1 to 4, one entry for each reader
    assert first.traits == pytest.approx((3, 3, 3, 3, 3, 3, 14 / 3))
    assert [n.malignancy for n in others] == [(1,)]
    assert first.neighbours_px == ((183, 103),)
    assert [n.nodule_id for n in generated.nodules] == [1, 2, 3, 4]


def test_the_patch_is_cut_where_the_nodule_is_largest(generated: Dataset) -> None:
    nodule = generated.nodules[0]
    assert nodule.sop_uid == lidc_phantom.sop_uid("LIDC-A", 2)
    assert nodule.point_px == (74, 119)  # floor of the bounding box's middle
    hu = lidc_phantom.slice_hu(2, hash_free_seed("LIDC-A"))
    np.testing.assert_array_equal(nodule.hu, hu[119 - 35 : 119 + 36, 74 - 35 : 74 + 36])
    assert nodule.outline is not None
    assert nodule.outline.sum() == 11 * 10
    assert nodule.outline[35 - 4 : 35 + 6, 35 - 5 : 35 + 6].all()
    assert nodule.diameter_mm == pytest.approx(2 * math.sqrt(110 / math.pi) * 1.4)


def test_folds_keep_patients_together_on_every_machine(generated: Dataset) -> None:
    assert {(n.patient, n.fold) for n in generated.nodules} == {("LIDC-A", 4), ("LIDC-B", 0)}


def test_a_hole_is_cut_out() -> None:
    reading = parse_reading(reading_xml("LIDC-A", [[Drawn({0: LARGE}, hole=(72, 118, 74, 120))]]))
    assert reading is not None
    region = largest_region(map(draw, reading.marks))
    assert region.area_px == 110 - 9
    assert region.middle_px == (74, 119)


def test_readers_who_marked_neighbours_are_not_mixed(tmp_path: Path) -> None:
    near = (78, 116, 84, 123)  # overlaps the large outline, not the nodule that both readers marked
    write_series(tmp_path / "s", "LIDC-A")
    sessions = [[Drawn({2: LARGE}, 4), Drawn({2: near}, 1)], [Drawn({2: near}, 2), Drawn({2: LARGE}, 5)]]
    (tmp_path / "s" / "1.xml").write_bytes(reading_xml("LIDC-A", sessions))
    assert [n.malignancy for n in read_dataset(tmp_path).nodules] == [(4, 5), (1, 2)]


def test_a_rating_that_was_not_given_is_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "s", "LIDC-A")
    xml = reading_xml("LIDC-A", [[Drawn({2: LARGE})]]).replace(b"<margin>3</margin>", b"<margin>0</margin>")
    (tmp_path / "s" / "1.xml").write_bytes(xml)
    (nodule,) = read_dataset(tmp_path).nodules
    assert math.isnan(nodule.traits[3])
    assert not nodule.has_traits


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a/>'.encode("utf-16"), "document type"),
        (b"<LidcReadMessage", "not well-formed"),
        (f'<LidcReadMessage xmlns="{lidc_xml.NAMESPACE}"/>'.encode(), "SeriesInstanceUid"),
        (reading_xml("A", [[Drawn({0: SMALL}, malignancy=6)]]), "malignancy of '6'.*1 to 5"),
        (reading_xml("A", [[Drawn({})]]), "cannot be drawn"),
        (reading_xml("A", [[Drawn({0: SMALL})]]).replace(b"TRUE", b"MAYBE"), "inclusion"),
        (reading_xml("A", [[Drawn({0: SMALL})]]).replace(b"<xCoord>70<", b"<xCoord>x<"), "cannot be drawn"),
    ],
)
def test_xml_that_is_unsafe_or_incomplete_is_refused(xml: bytes, message: str) -> None:
    with pytest.raises(DatasetMalformed, match=message):
        parse_reading(xml)


def test_xml_beyond_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lidc_xml, "MAX_XML_BYTES", 10)
    with pytest.raises(InputTooLarge):
        parse_reading(b"<a>" + b" " * 10 + b"</a>")


def test_errors_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    write_series(tmp_path / "s", "LIDC-A", slices=2)
    (tmp_path / "s" / "1.xml").write_bytes(reading_xml("LIDC-A", [[Drawn({4: SMALL})]]))
    with pytest.raises(DatasetMalformed, match=r"LIDC-A without a DICOM file.*whole series"):
        read_dataset(tmp_path)
    (tmp_path / "s" / "2.xml").write_bytes(reading_xml("LIDC-A", [[Drawn({0: SMALL})]]))
    with pytest.raises(DatasetMalformed, match=r"another reading.*2\.xml"):
        read_dataset(tmp_path)
    (tmp_path / "s" / "2.xml").write_bytes(b"<")
    with pytest.raises(DatasetMalformed, match=r"2\.xml"):
        read_dataset(tmp_path)


def test_contours_beyond_the_slice_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "s", "LIDC-A")
    (tmp_path / "s" / "1.xml").write_bytes(reading_xml("LIDC-A", [[Drawn({0: (250, 100, 256, 110)})]]))
    with pytest.raises(DatasetMalformed, match=r"beyond the edge of 1-005\.dcm"):
        read_dataset(tmp_path)


def test_votes_are_of_the_readers_who_drew_on_the_patchs_slice(generated: Dataset) -> None:
    first = generated.nodules[0]  # on slice 2: SMALL by one reader, LARGE by another
    assert first.votes is not None
    assert first.votes.readers == 2
    assert first.votes.count[35, 35] == 2
    assert int((first.votes.count > 0).sum()) == 11 * 10


def test_readings_without_images_are_counted_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "b.xml").write_bytes(reading_xml("LIDC-B", SESSIONS))
    with pytest.raises(DatasetMissing, match=r"1 LIDC reading"):
        read_dataset(tmp_path)
    write_series(tmp_path / "s", "LIDC-A")
    (tmp_path / "s" / "a.xml").write_bytes(reading_xml("LIDC-A", SESSIONS))
    with caplog.at_level(logging.WARNING):
        assert read_dataset(tmp_path).patients == {"LIDC-A"}
    assert "1 of 2 readings" in caplog.text


@pytest.fixture(scope="module")
def published(shared_data: Path) -> list[tuple[Nodule, Nodule]]:
    """Nodules of LIDC-IDRI-0012 from DICOM and XML, each with its row of nodules.csv at the same slice and centre."""
    raw = {(n.sop_uid, n.point_px): n for n in read_dataset(shared_data / "series" / "lidc-0012").nodules}
    stored = [n for n in read_nodules(shared_data / "lidc-nodules") if n.patient == "LIDC-IDRI-0012"]
    assert len(raw) == len(stored) == 12
    assert {(n.sop_uid, n.point_px) for n in stored} == raw.keys()
    return [(raw[n.sop_uid, n.point_px], n) for n in stored]


def test_patches_of_the_real_series_are_bit_equal(published: list[tuple[Nodule, Nodule]]) -> None:
    for raw, stored in published:
        assert raw.hu.dtype == stored.hu.dtype
        np.testing.assert_array_equal(raw.hu, stored.hu)


def test_everything_tabulated_of_the_real_series_agrees(published: list[tuple[Nodule, Nodule]]) -> None:
    for raw, stored in published:
        assert raw.malignancy == stored.malignancy  # the readers and their order, too
        assert raw.traits == stored.traits
        assert round(raw.diameter_mm, 2) == stored.diameter_mm
        assert raw.spacing_mm == pytest.approx(stored.spacing_mm, abs=5e-6)
        assert (raw.patient, raw.series_uid, raw.manufacturer) == (
            stored.patient,
            stored.series_uid,
            stored.manufacturer,
        )
        assert set(raw.neighbours_px) == set(stored.neighbours_px)


def test_outlines_of_the_real_series_differ_by_half_a_pixel_only(
    published: list[tuple[Nodule, Nodule]], shared_data: Path
) -> None:
    """Ours lie on the slice's pixels. The stored ones come out bit-equal once the contour is moved so that the middle
    of its bounding box falls on pixel 35, and a half is rounded to the even neighbour on each axis."""
    reading = parse_reading((shared_data / "series" / "lidc-0012" / "readings.xml").read_bytes())
    assert reading is not None
    for raw, stored in published:
        assert raw.outline is not None
        assert stored.outline is not None
        drawn = [
            _moved_to_the_middle(contour)
            for mark in reading.marks
            for contour in mark.contours
            if contour.sop_uid == raw.sop_uid and contour.included
        ]
        assert any(np.array_equal(mask, stored.outline) for mask in drawn)
        both = np.count_nonzero(raw.outline & stored.outline)
        assert 2 * both / (raw.outline.sum() + stored.outline.sum()) > 0.87


def test_votes_of_the_real_series_are_those_of_every_readers_table(
    published: list[tuple[Nodule, Nodule]], shared_data: Path
) -> None:
    tabulated = {n.nodule_id: n for n in read_development(shared_data).nodules}
    for raw, stored in published:
        ours, theirs = raw.votes, tabulated[stored.nodule_id].votes
        assert ours is not None
        assert theirs is not None
        assert ours.readers == theirs.readers
        differing = np.abs(ours.count.astype(int) - theirs.count).sum()
        assert differing <= 0.35 * theirs.count.sum()  # half a pixel at the edge, as above


def _moved_to_the_middle(contour: Contour) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    points = np.array(contour.points_px)
    moved = np.rint(points - (points.min(axis=0) + points.max(axis=0)) / 2 + 35).astype(np.int32)
    return cv2.fillPoly(np.zeros((71, 71), np.uint8), [moved], 1).astype(bool)
