"""Brock and Mayo: published checks, each term by itself, and ranges where something is not known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from app.guidelines import brock, mayo
from app.guidelines.assessment import Probability
from app.guidelines.case import Case, Context
from app.inference.prediction import Measured
from tests.guidelines.cases import ALL_KNOWN, nodule, scan


def logit(p: float | None) -> float:
    assert p is not None
    return math.log(p / (1 - p))


def of_brock(case: Case) -> Probability:
    return brock.assess(case).probabilities[0]


def of_mayo(case: Case) -> Probability:
    return mayo.assess(case).probabilities[0]


def test_a_man_of_62_with_one_solid_nodule_of_8_mm_in_an_upper_lobe() -> None:
    found = of_brock(scan(nodule(8.0, upper_lobe=True)))
    assert found.value == pytest.approx(0.033, abs=0.0005)
    assert found.low == found.high == found.value
    assert found.missing == ("lobe_estimated",)


def test_brock_as_re_centred_in_another_paper() -> None:
    """PMC6717521 table 2: 0.2761 + 0.0287 age - 5.3854 (d / 10)^-0.5 - 0.0824 count, and the same other terms."""
    for age, mm, count in ((50, 5.0, 1), (62, 8.0, 3), (75, 22.0, 8)):
        x = 0.2761 + 0.0287 * age - 5.3854 * (mm / 10) ** -0.5 - 0.0824 * count
        case = scan(nodule(mm), context=replace(ALL_KNOWN, age_years=age, nodules=count))
        assert logit(of_brock(case).value) == pytest.approx(x, abs=0.001)


@pytest.mark.parametrize(
    ("context", "changed", "term"),
    [
        ({"sex": "female"}, {}, 0.6011),
        ({"family_history": True}, {}, 0.2961),
        ({"emphysema": True}, {}, 0.2953),
        ({"age_years": 72}, {}, 0.287),
        ({"nodules": 5}, {}, -0.3296),
        ({"upper_lobe": True}, {}, 0.6581),
        ({}, {"spiculated": True}, 0.7729),
        ({}, {"classes": ("part_solid",)}, 0.3770),
        ({}, {"classes": ("non_solid",)}, -0.1276),
    ],
)
def test_each_term_of_brock(context: dict[str, Any], changed: dict[str, Any], term: float) -> None:
    plain = logit(of_brock(scan(nodule(10.0))).value)
    other = logit(of_brock(scan(nodule(10.0, **changed), context=replace(ALL_KNOWN, **context))).value)
    assert other - plain == pytest.approx(term, abs=1e-6)


def test_what_is_not_known_makes_a_range_of_brock() -> None:
    known = logit(of_brock(scan(nodule(8.0))).value)
    doubtful = nodule(8.0, upper_lobe=None, spiculated=None)
    found = of_brock(scan(doubtful, context=Context(age_years=62, sex="male")))
    assert found.value is None
    assert logit(found.low) == pytest.approx(known)
    assert logit(found.high) == pytest.approx(known + 0.2961 + 0.2953 + 0.6581 + 0.7729)
    assert set(found.missing) == {"family_history", "emphysema", "lobe", "spiculation"}
    sized = of_brock(scan(nodule(8.0, longest_mm=Measured(8.0, 7.0, 9.0))))
    assert sized.low is not None
    assert sized.high is not None
    assert sized.value is not None
    assert sized.low < sized.value < sized.high


def test_brock_needs_an_age_and_no_calcium() -> None:
    assert of_brock(scan(nodule(8.0), context=Context(sex="male"))).missing == ("age_years",)
    assert of_brock(scan(nodule(8.0, "calcified"))).missing == ("calcified",)
    unseen = of_brock(scan(nodule(8.0), whole_lungs=False))
    assert (unseen.value, "number_of_nodules" in unseen.missing) == (of_brock(scan(nodule(8.0))).value, True)


def test_mayo_by_its_equation() -> None:
    case = scan(nodule(8.0, upper_lobe=True))
    assert logit(of_mayo(case).value) == pytest.approx(-6.8272 + 0.0391 * 62 + 0.1274 * 8 + 0.7838)


@pytest.mark.parametrize(
    ("context", "changed", "term"),
    [
        ({"age_years": 72}, {}, 0.391),
        ({"smoking": "former"}, {}, 0.7917),
        ({"smoking": "current"}, {}, 0.7917),
        ({"known_cancer": "past"}, {}, 1.3388),
        ({"upper_lobe": True}, {}, 0.7838),
        ({}, {"spiculated": True}, 1.0407),
        ({}, {"longest_mm": Measured(20.0, 20.0, 20.0)}, 1.274),
    ],
)
def test_each_term_of_mayo(context: dict[str, Any], changed: dict[str, Any], term: float) -> None:
    plain = logit(of_mayo(scan(nodule(10.0))).value)
    other = logit(of_mayo(scan(nodule(10.0, **changed), context=replace(ALL_KNOWN, **context))).value)
    assert other - plain == pytest.approx(term, abs=1e-6)


def test_what_is_not_known_makes_a_range_of_mayo() -> None:
    known = logit(of_mayo(scan(nodule(8.0))).value)
    found = of_mayo(scan(nodule(8.0), context=Context(age_years=62)))
    assert found.value is None
    assert (logit(found.low), logit(found.high)) == pytest.approx((known, known + 0.7917 + 1.3388))
    assert set(found.missing) == {"smoking", "known_cancer", "lobe_estimated"}


@pytest.mark.parametrize(("mm", "given"), [(3.9, False), (4.0, True), (30.0, True), (30.1, False)])
def test_mayo_is_for_nodules_of_4_to_30_mm(mm: float, given: bool) -> None:
    assert (of_mayo(scan(nodule(mm))).value is not None) == given


def test_mayo_is_for_one_nodule_and_no_recent_cancer() -> None:
    assert not mayo.assess(scan(nodule(8.0), nodule(9.0))).applies
    assert not mayo.assess(scan(nodule(8.0), context=replace(ALL_KNOWN, known_cancer="recent"))).applies
    doubtful = mayo.assess(scan(nodule(8.0), nodule(5.0, counts=False)))
    assert "number_of_nodules" in doubtful.probabilities[0].missing
    assert of_mayo(scan(nodule(8.0), context=Context())).missing == ("age_years",)
