"""What is said of nodules in two scans, and when nothing may be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.comparison.compare import Comparison, Place, compare
from app.comparison.matching import MAX_APART_MM, matches
from app.comparison.words import LOOKED_WORDS, NOT_COMPARED_WORDS, VERDICT_WORDS, verdict_words
from app.errors import DifferentPatients, PriorAfterCurrent
from app.inference.prediction import Finding
from tests.comparison.lungs import pose
from tests.comparison.scans import ANNA, at, found, scan

APEX, BASE, LEFT = (-80.0, 10.0, 80.0), (-60.0, 30.0, -70.0), (90.0, 20.0, 0.0)
MOTION = ((3.0, -2.0, 5.0), (9.0, -6.0, 17.0))


def said(comparison: Comparison) -> dict[tuple[int | None, int | None], str]:
    """Verdicts by the ids of both findings."""
    return {
        (n.current.id if n.current else None, n.prior.id if n.prior else None): n.verdict for n in comparison.nodules
    }


def codes(comparison: Comparison) -> set[str]:
    return {note.code for note in comparison.notes}


def test_one_scan_twice_is_stable() -> None:
    same = scan(found(1, APEX, 400.0), found(2, BASE, 90.0), day="2026-03-14", series="1.2.3")
    comparison = compare(same, same)
    assert said(comparison) == {(1, 1): "stable", (2, 2): "stable"}
    assert [n.change.ratio.value for n in comparison.nodules if n.change] == [1.0, 1.0]
    assert {n.no_doubling for n in comparison.nodules} == {"same_day"}
    assert codes(comparison) == {"same_series", "same_day"}
    assert comparison.alignment is not None
    assert comparison.alignment.shift_mm < 0.1


def test_a_nodule_that_doubles_in_a_hundred_days() -> None:
    """Found again where a patient lies otherwise, with other numbers."""
    motion = pose(*MOTION)
    prior = scan(found(1, APEX, 400.0), found(2, LEFT, 300.0), day="2026-01-01")
    current = scan(
        *(found(1, at(LEFT, motion), 310.0), found(2, at(APEX, motion), 800.0)),
        rotation_deg=MOTION[0],
        shift_mm=MOTION[1],
        day="2026-04-11",
    )
    comparison = compare(current, prior)
    assert said(comparison) == {(1, 2): "stable", (2, 1): "grew"}
    grown = comparison.nodules[1]
    assert grown.doubling is not None
    assert grown.doubling.days.value == pytest.approx(100)
    assert grown.doubling.days.low < 100 < grown.doubling.days.high
    assert grown.doubling.paces == ("at_most_400_days",)
    assert grown.apart_mm is not None
    assert grown.apart_mm < 3
    assert (comparison.interval.days, comparison.interval.source) == (100, "StudyDate")


def test_new_and_gone_say_where_to_look() -> None:
    motion = pose(*MOTION)
    prior = scan(found(1, APEX, 400.0), found(2, BASE, 90.0, "low"), day="2026-01-01")
    current = scan(
        *(
            found(1, at(LEFT, motion), 310.0, "open"),
            found(2, at(BASE, motion), 90.0, "low"),
            found(3, LEFT, 9.0, "low"),
        ),
        rotation_deg=MOTION[0],
        shift_mm=MOTION[1],
        day="2026-04-11",
    )
    comparison = compare(current, prior)
    assert said(comparison) == {(1, None): "new", (2, 2): "stable", (None, 1): "gone"}
    assert comparison.left_out == (1, 0)
    new, _, gone = comparison.nodules
    assert new.expected is not None
    assert new.expected.point_mm == pytest.approx(LEFT, abs=3)
    assert new.expected.index == pytest.approx((0 + 180) / 2.5, abs=1)
    assert new.expected.instance_uid == f"1.2.{new.expected.index}"
    assert gone.expected is not None
    assert gone.expected.point_mm == pytest.approx(at(APEX, motion), abs=3)


def test_what_a_search_has_missed_is_measured_where_the_other_scan_shows_it() -> None:
    asked: list[tuple[Place, Finding]] = []

    def look(place: Place, nodule: Finding) -> Finding | None:
        asked.append((place, nodule))
        return found(1, (place.point_mm[0] + 3, *place.point_mm[1:]), 200.0, "low")

    prior = scan(found(1, BASE, 90.0), day="2026-01-01", look=look)
    comparison = compare(scan(found(1, APEX, 400.0), found(2, BASE, 90.0), day="2026-04-11"), prior)
    missed, _ = comparison.nodules
    assert [nodule.id for _, nodule in asked] == [1]
    assert missed.prior is not None
    assert (missed.verdict, missed.looked_in, missed.prior.id) == ("grew", "prior", 2)  # after those of the search
    assert missed.change is not None
    assert missed.change.ratio.value == pytest.approx(2)
    assert missed.doubling is not None
    assert missed.doubling.days.value == pytest.approx(100)
    assert missed.apart_mm == pytest.approx(3)
    assert missed.expected == asked[0][0]
    assert "search_missed" in codes(comparison)
    (back,) = compare(scan(day="2026-04-11", look=look), scan(found(1, APEX, 400.0), day="2026-01-01")).nodules
    assert (back.verdict, back.looked_in, back.current is not None) == ("shrank", "current", True)


def test_one_nodule_is_not_seen_twice() -> None:
    """Neither is what has a partner taken for another's, nor one place for two."""

    def look(_place: Place, _nodule: Finding) -> Finding:
        return found(1, BASE, 90.0, "low")

    near = (BASE[0] + 10.0, *BASE[1:])
    current = scan(found(1, BASE, 90.0), found(2, near, 90.0), day="2026-04-11")
    taken = compare(current, scan(found(1, BASE, 90.0), day="2026-01-01", look=look))
    assert said(taken) == {(1, 1): "stable", (2, None): "new"}
    once = compare(current, scan(day="2026-01-01", look=look))
    assert said(once) == {(1, 1): "stable", (2, None): "new"}
    assert {n.looked_in for n in once.nodules} == {"prior", None}
    assert not {n.looked_in for n in taken.nodules} - {None}


def test_what_the_other_scan_does_not_show_is_neither_new_nor_gone() -> None:
    short = scan(day="2026-01-01", slices=60)  # up to 30 mm below the middle
    comparison = compare(scan(found(1, APEX, 400.0), found(2, BASE, 90.0), day="2026-04-11"), short)
    assert said(comparison) == {(1, None): "not_compared", (2, None): "new"}
    assert comparison.nodules[0].reason == "outside_other_scan"


def test_what_was_not_judged_or_measured_is_not_compared() -> None:
    current = scan(found(1, APEX, 400.0), found(2, LEFT, 400.0), day="2026-04-11")
    unmeasured = compare(current, scan(found(7, APEX, None), found(8, LEFT, 0.0, share=0.0), day="2026-01-01"))
    assert said(unmeasured) == {(1, 7): "not_compared", (2, 8): "not_compared"}
    assert {n.reason for n in unmeasured.nodules} == {"not_measured"}
    rejected = compare(current, scan(decision="rejected", lungs=None, day="2026-01-01"))
    assert {n.reason for n in rejected.nodules} == {"scan_rejected"}
    assert rejected.alignment is None
    assert "lungs_not_aligned" in codes(rejected)


def test_lungs_that_do_not_fit_leave_every_verdict_open() -> None:
    current = scan(found(1, APEX, 400.0), day="2026-04-11")
    assert current.lungs is not None
    holes = current.lungs.mask.copy()
    holes[:, ::2] = False
    other = scan(found(1, APEX, 100.0), day="2026-01-01", lungs=replace(current.lungs, mask=holes))
    comparison = compare(current, other)
    assert comparison.alignment is not None
    assert not comparison.alignment.is_good
    assert said(comparison) == {(1, None): "not_compared", (None, 1): "not_compared"}
    assert {n.reason for n in comparison.nodules} == {"lungs_not_aligned"}


def test_a_prior_that_is_later_is_refused() -> None:
    with pytest.raises(PriorAfterCurrent, match="100 days later"):
        compare(scan(day="2026-01-01"), scan(day="2026-04-11"))


def test_without_dates_there_is_a_verdict_but_no_doubling_time() -> None:
    for day in (None, "2026-01-01"):
        comparison = compare(scan(found(1, APEX, 800.0)), scan(found(1, APEX, 400.0), day=day))
        (nodule,) = comparison.nodules
        assert (nodule.verdict, nodule.doubling, nodule.no_doubling) == ("grew", None, "dates_missing")
        assert codes(comparison) == {"dates_missing"}
    shrunk = compare(scan(found(1, APEX, 300.0), day="2026-04-11"), scan(found(1, APEX, 400.0), day="2026-01-01"))
    assert (shrunk.nodules[0].verdict, shrunk.nodules[0].no_doubling) == ("shrank", "no_growth")


@pytest.mark.parametrize(
    ("name", "words"), [("PatientID", "Patient ID"), ("PatientBirthDate", "birth date"), ("PatientSex", "sex")]
)
def test_two_patients_are_refused_without_a_word_of_who_they_are(name: str, words: str) -> None:
    other = scan(patient={**ANNA, name: "berta"})
    with pytest.raises(DifferentPatients, match=words) as refused:
        compare(scan(), other)
    assert not {"berta", *ANNA.values()} & set(str(refused.value).replace(".", " ").split())


def test_numbers_of_two_hospitals_contradict_nothing_and_silence_is_remarked_on() -> None:
    here, there = ({**ANNA, "PatientID": number, "IssuerOfPatientID": number} for number in ("1", "2"))
    assert "patient_not_stated" not in codes(compare(scan(patient=here, lungs=None), scan(patient=there)))
    assert "patient_not_stated" in codes(compare(scan(patient={}, lungs=None), scan(patient=ANNA)))
    with pytest.raises(DifferentPatients):
        compare(scan(patient={**here, "PatientSex": "m"}), scan(patient=there))


def test_scans_that_were_made_otherwise_are_remarked_on() -> None:
    comparison = compare(scan(kernel="B30f", slice_mm=1.0, lungs=None), scan(kernel="B70f", slice_mm=2.5))
    assert {"kernels_differ", "slices_differ"} <= codes(comparison)
    alike: Any = {"kernel": "B30f", "slice_mm": 2.5, "lungs": None}
    assert not {"kernels_differ", "slices_differ"} & codes(compare(scan(**alike), scan(**alike)))


def test_places_are_paired_as_near_as_can_be_and_no_further_than_the_limit() -> None:
    """The nearest pair first would leave one of 9 mm for the others."""
    (first, second) = matches([(0.0, 0.0, 0.0), (4.0, 0.0, 0.0)], [(3.0, 0.0, 0.0), (9.0, 0.0, 0.0)])
    assert (first.current, first.prior, second.current, second.prior) == (0, 0, 1, 1)
    assert (first.others, second.others) == (2, 2)
    (near,) = matches([(0.0, 0.0, 0.0), (8.0, 0.0, 0.0)], [(9.0, 0.0, 0.0), (19.0, 0.0, 0.0)])
    assert (near.current, near.prior) == (1, 0)  # one pair of a millimetre, not two of a centimetre
    assert matches([(0.0, 0.0, 0.0)], [(MAX_APART_MM, 0.0, 0.0)])
    assert not matches([(0.0, 0.0, 0.0)], [(MAX_APART_MM + 0.1, 0.0, 0.0)])
    assert not matches([], [(0.0, 0.0, 0.0)])


def test_every_verdict_has_words_in_both_languages() -> None:
    for verdict in VERDICT_WORDS:
        assert verdict_words(verdict, None, None, "en") != verdict_words(verdict, None, None, "zh")
    for part in LOOKED_WORDS:
        assert verdict_words("grew", None, part, "en") == f"grew (missed by the search of the {part} scan)"
        assert verdict_words("grew", None, part, "zh").startswith("增大（")
    for reason in NOT_COMPARED_WORDS:
        assert verdict_words("not_compared", reason, None, "en").startswith("not compared: ")
        assert verdict_words("not_compared", reason, None, "zh").startswith("未比较：")
