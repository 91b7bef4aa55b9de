"""The Brock (PanCan) model: the probability that a nodule of a first screening CT is cancer.

McWilliams et al. 2013 (doi 10.1056/NEJMoa1214726), full model with spiculation. Its coefficients stand re-centred in
table 2 of PMC6717521 (intercept 0.2761): -6.7892 + 62 x -0.0287 ... add up to the same.
"""

from __future__ import annotations

import math
from typing import Final

from app.guidelines.assessment import Assessment, Probability
from app.guidelines.case import Case, Nodule
from app.guidelines.logistic import SIZE, either, lobe, none, probability
from app.inference.prediction import AttenuationClass

NAME: Final = "brock"
SOURCE: Final = "Brock (PanCan) full model with spiculation, McWilliams et al. 2013; doi 10.1056/NEJMoa1214726"

INTERCEPT: Final = -6.7892
AGE: Final = (0.0287, 62.0)  # a year, counted from
FEMALE: Final = 0.6011
FAMILY_HISTORY: Final = 0.2961
EMPHYSEMA: Final = 0.2953
SIZE_TERM: Final = (-5.3854, 1.58113883)  # of the inverse square root of the longest diameter in cm, counted from
CLASS: Final[dict[AttenuationClass, float]] = {"solid": 0.0, "part_solid": 0.3770, "non_solid": -0.1276}
UPPER_LOBE: Final = 0.6581
COUNT: Final = (-0.0824, 4)  # a nodule, counted from
SPICULATION: Final = 0.7729
MIN_MM: Final = 1.0  # what is called a nodule in PanCan


def assess(case: Case) -> Assessment:
    """The probability of each nodule."""
    found = tuple(risk(nodule, case) for nodule in case.nodules)
    return Assessment(NAME, SOURCE, True, None, None, (), probabilities=found)


def risk(nodule: Nodule, case: Case) -> Probability:
    """The probability of one nodule of a case; none without an age, or of calcium.

    Where nobody knows how many nodules there are it is taken for the only one, which makes it most probable.
    """
    known = case.context
    classes = [kind for kind in nodule.classes if kind in CLASS]
    if known.age_years is None:
        return none(nodule, "age_years")
    if not classes:
        return none(nodule, "calcified")
    upper, of_lobe = lobe(case, nodule)
    least, most = case.how_many() or (1, 1)
    terms = {
        "age": (AGE[0] * (known.age_years - AGE[1]),),
        "sex": either(FEMALE, None if known.sex is None else known.sex == "female"),
        "family_history": either(FAMILY_HISTORY, known.family_history),
        "emphysema": either(EMPHYSEMA, known.emphysema),
        SIZE: tuple(_size(mm) for mm in (nodule.longest_mm.value, nodule.longest_mm.low, nodule.longest_mm.high)),
        "class": tuple(CLASS[kind] for kind in classes),
        "upper_lobe": either(UPPER_LOBE, upper),
        "count": tuple({COUNT[0] * (n - COUNT[1]): None for n in (least, most)}),
        "spiculation": either(SPICULATION, nodule.spiculated),
    }
    missing = [name for name in ("sex", "family_history", "emphysema") if len(terms[name]) > 1]
    missing += [*of_lobe, *(["spiculation"] if nodule.spiculated is None else [])]
    missing += ["class"] if len(classes) > 1 else []
    missing += ["number_of_nodules"] if case.how_many() is None or least != most else []
    return probability(nodule, INTERCEPT, terms, missing)


def _size(longest_mm: float) -> float:
    return SIZE_TERM[0] * (1 / math.sqrt(max(longest_mm, MIN_MM) / 10) - SIZE_TERM[1])
