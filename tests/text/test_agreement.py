"""Nodules of a report beside findings, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.agreement import Agreement, Place, compare, possible_lobes, sizes_agree
from app.text.reader import ReportReader

APEX, MIDDLE, BASE = 0.9, 0.5, 0.1


def agreed(text: str, *places: Place) -> list[tuple[str, int | None, int | None]]:
    return [(each.outcome, each.mention, each.finding) for each in lines(text, *places)]


def lines(text: str, *places: Place) -> tuple[Agreement, ...]:
    return compare(ReportReader().read(text).mentions, places)


def test_the_finding_that_fits_matches_and_the_other_is_told() -> None:
    right, left = Place(2, 7.5, "right", APEX), Place(3, 5.0, "left", BASE)
    match, alone = lines("There is an 8 mm nodule in the right upper lobe.", right, left)
    assert (match.outcome, match.mention, match.finding) == ("match", 0, 2)
    assert match.basis == ("side", "size", "lobe")
    assert (
        match.message
        == "The report names an 8 mm nodule in the right upper lobe; finding 2 agrees in side, size, lobe."
    )
    assert (alone.outcome, alone.finding) == ("finding_only", 3)
    assert alone.message == "Finding 3 is not in the report."


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place(1, 8.0, "left", APEX), "side"),
        (Place(1, 30.0, "right", APEX), "size"),
        (Place(1, 8.0, "right", BASE), "lobe"),
    ],
)
def test_any_contradiction_keeps_them_apart(place: Place, why: str) -> None:
    assert agreed("An 8 mm nodule in the right upper lobe.", place) == [
        ("text_only", 0, None),
        ("finding_only", None, 1),
    ], why


def test_what_is_not_known_contradicts_nothing() -> None:
    (match,) = lines("An 8 mm nodule in the right upper lobe.", Place(1, None, None, None))
    assert (match.outcome, match.basis) == ("match", ())


def test_of_two_that_fit_the_nearer_in_size_matches() -> None:
    text = "A 12 mm nodule and a 7 mm nodule in the left lung."
    found = agreed(text, Place(1, 7.0, "left", MIDDLE), Place(2, 11.0, "left", MIDDLE))
    assert found == [("match", 0, 2), ("match", 1, 1)]


def test_plural_words_take_what_no_other_nodule_fits() -> None:
    text = "Several nodules in the left lung. A 20 mm mass in the left lung."
    places = [Place(n, 20.0 if n == 2 else 4.0, "left", MIDDLE) for n in (1, 2, 3)]
    assert agreed(text, *places) == [("match", 0, 1), ("match", 0, 3), ("match", 1, 2)]


def test_a_denied_nodule_and_a_finding_there_are_told() -> None:
    found = agreed("No nodule in the right lung.", Place(1, 6.0, "right", MIDDLE), Place(2, 6.0, "left", MIDDLE))
    assert found == [("denied", 0, 1), ("finding_only", None, 2)]


def test_a_nodule_named_again_is_not_compared() -> None:
    assert agreed("The nodule has a smooth margin.") == []


def test_the_lobe_is_coarse_and_errs_on_the_side_of_too_many() -> None:
    assert possible_lobes("right", APEX) == {"right_upper"}
    assert possible_lobes("right", MIDDLE) == {"right_upper", "right_middle", "right_lower"}
    assert possible_lobes("right", BASE) == {"right_middle", "right_lower"}
    assert possible_lobes("left", BASE) == {"left_upper", "left_lower"}
    assert len(possible_lobes(None, None)) == 5


@pytest.mark.parametrize(
    ("text_mm", "finding_mm", "agree"),
    [(8, 8, True), (8, 10, True), (8, 10.5, False), (12, 6.1, True), (12, 5.5, False), (40, 25, True)],
)
def test_sizes_agree_within_what_readers_and_shapes_differ(text_mm: float, finding_mm: float, agree: bool) -> None:
    assert sizes_agree(text_mm, finding_mm) is agree


PLACES = st.builds(
    Place,
    st.integers(1, 6),
    st.none() | st.floats(2, 60),
    st.none() | st.sampled_from(["right", "left"]),
    st.none() | st.floats(0, 1),
)
REPORTS = st.lists(
    st.sampled_from(
        [
            "An 8 mm nodule in the right upper lobe. ",
            "Multiple nodules in both lungs. ",
            "A 3 cm mass in the left lower lobe. ",
            "No nodule in the left lung. ",
            "The nodule is smooth. ",
        ]
    ),
    max_size=5,
).map("".join)


@given(REPORTS, st.lists(PLACES, max_size=6, unique_by=lambda place: place.finding))
def test_every_finding_is_told_of_once_and_every_placed_nodule_at_least_once(text: str, places: list[Place]) -> None:
    mentions = ReportReader().read(text).mentions
    found = compare(mentions, places)
    told = [each.finding for each in found if each.finding is not None]
    assert sorted(told) == sorted(place.finding for place in places)
    placed = {n for n, m in enumerate(mentions) if not m.negated and (m.size_mm or m.sides or m.lobes)}
    assert placed == {each.mention for each in found if each.outcome in ("match", "text_only")}
