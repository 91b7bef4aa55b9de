"""The Mayo model: the probability that a solitary nodule of 4 to 30 mm is malignant.

Swensen et al. 1997, Arch Intern Med 157:849 (doi 10.1001/archinte.1997.00440290031002). Its intercept is -6.8272 there;
table 2 of PMC6717521 prints -6.872, a digit less, which would lower a probability by 1.1 points at most.
"""

from __future__ import annotations

from typing import Final

from app.guidelines.assessment import Assessment, Probability, not_for
from app.guidelines.case import Case, Nodule
from app.guidelines.logistic import SIZE, either, lobe, none, probability

NAME: Final = "mayo"
SOURCE: Final = "Mayo model, Swensen et al. 1997; doi 10.1001/archinte.1997.00440290031002"

INTERCEPT: Final = -6.8272
AGE: Final = 0.0391  # a year
EVER_SMOKED: Final = 0.7917
PAST_CANCER: Final = 1.3388  # outside the chest, more than five years ago
DIAMETER: Final = 0.1274  # a mm
SPICULATION: Final = 1.0407
UPPER_LOBE: Final = 0.7838
RANGE_MM: Final = (4.0, 30.0)


def assess(case: Case) -> Assessment:
    """The probability of the only nodule; nothing where there are several, or cancer was found lately."""
    if case.context.known_cancer == "recent":
        return not_for(
            NAME, SOURCE, "the model is not made for patients with cancer of the lung or of the last five years"
        )
    how_many = case.how_many()
    if how_many is not None and how_many[0] > 1:
        return not_for(NAME, SOURCE, "the model is made for a solitary nodule")
    found = tuple(_risk(nodule, case) for nodule in case.nodules)
    return Assessment(NAME, SOURCE, True, None, None, (), probabilities=found)


def _risk(nodule: Nodule, case: Case) -> Probability:
    known = case.context
    if known.age_years is None:
        return none(nodule, "age_years")
    if nodule.classes == ("calcified",):
        return none(nodule, "calcified")
    if not RANGE_MM[0] <= nodule.longest_mm.value <= RANGE_MM[1]:
        return none(nodule, "size_range")
    upper, of_lobe = lobe(case, nodule)
    terms = {
        "age": (AGE * known.age_years,),
        "smoking": either(EVER_SMOKED, None if known.smoking is None else known.smoking != "never"),
        "known_cancer": either(PAST_CANCER, None if known.known_cancer is None else known.known_cancer == "past"),
        SIZE: tuple(DIAMETER * mm for mm in (nodule.longest_mm.value, nodule.longest_mm.low, nodule.longest_mm.high)),
        "spiculation": either(SPICULATION, nodule.spiculated),
        "upper_lobe": either(UPPER_LOBE, upper),
    }
    missing = [name for name in ("smoking", "known_cancer") if len(terms[name]) > 1]
    missing += [*of_lobe, *(["spiculation"] if nodule.spiculated is None else [])]
    missing += (
        ["number_of_nodules"] if case.how_many() in (None, (1, len(case.nodules))) and case.how_many() != (1, 1) else []
    )
    return probability(nodule, INTERCEPT, terms, missing)
