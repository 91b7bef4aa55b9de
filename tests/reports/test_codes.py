"""The coded concepts are those of their dictionaries."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from app.errors import BundleError
from app.imaging.lung_frame import Laterality, Location
from app.inference.bundle import Bundle
from app.inference.prediction import Trait
from app.inference.vocabulary import TRAIT_WORDS
from app.reports import codes

# SNOMED CT's own (situation): the standard has no concept for a suspicion; what older manifests say instead; and one of
# PS3.16 that pydicom's dictionary lacks.
BEYOND_DICTIONARY = {"162573006", "93880001", "260753009"}
ALL = [code for code in vars(codes).values() if isinstance(code, Code)]


OF_PS3_16 = [c for c in ALL if c.scheme_designator in ("DCM", "SCT") and c.value not in BEYOND_DICTIONARY]


@pytest.mark.parametrize("code", OF_PS3_16, ids=lambda c: c.value)
def test_standard_concepts_are_in_pydicoms_dictionary(code: Code) -> None:
    scheme = getattr(dictionary, code.scheme_designator)
    known = (getattr(scheme, name) for name in scheme.dir())
    meanings = {each.meaning.removesuffix(" (body structure)").lower() for each in known if each.value == code.value}
    assert code.meaning.lower() in meanings


@pytest.mark.parametrize(
    ("side", "height", "site"),
    [
        ("left", 0.9, codes.UPPER_LOBE),
        ("right", 0.5, codes.MIDDLE_LOBE),
        ("left", 0.5, codes.LUNG),
        (None, 0.5, codes.LUNG),
        (None, 0.1, codes.LOWER_LOBE),
        ("right", None, codes.LUNG),
    ],
)
def test_a_lobe_is_named_where_the_height_makes_one_likely(
    side: Laterality | None, height: float | None, site: Code
) -> None:
    assert codes.site_code(Location(side, height)) == site


def test_every_scheme_has_a_fhir_system() -> None:
    ratings = [code for scale in codes.RATINGS.values() for code in scale]
    used = {code.scheme_designator for code in (*ALL, *codes.TRAITS.values(), *codes.ATTENUATIONS.values(), *ratings)}
    assert used == set(codes.FHIR_SYSTEMS)


def test_every_value_fits_its_attribute() -> None:
    """A longer one would be a Long Code Value (PS3.3 8.1), which few readers look for."""
    ratings = [code for scale in codes.RATINGS.values() for code in scale]
    assert all(len(code.value) <= 16 for code in (*ALL, *codes.ATTENUATIONS.values(), *ratings))


def test_every_trait_has_a_concept_and_one_for_each_rating() -> None:
    assert set(codes.TRAITS) == set(codes.RATINGS) == set(TRAIT_WORDS)
    for name, scale in codes.RATINGS.items():
        assert len(scale) == len(TRAIT_WORDS[name]["en"])
        assert len(set(scale)) == len(scale)


@pytest.mark.parametrize(("value", "code"), [(0.2, "101"), (1.4, "101"), (3.6, "104"), (9.0, "105")])
def test_rating_is_the_nearest_on_the_scale(value: float, code: str) -> None:
    rating = codes.rating_code(Trait("subtlety", value, (1, 5)))
    assert rating is not None
    assert rating.value == code
    assert codes.rating_code(Trait("sparkle", value, (1, 5))) is None


def test_a_suspicion_is_no_diagnosis_and_normal_is_what_the_manifest_says(bundle: Bundle) -> None:
    labels = {label.finding: label.snomed_ct for label in bundle.manifest.labels}
    assert codes.decision_code("normal", bundle.manifest).value == labels["normal"]
    suspected = codes.decision_code("cancer_suspected", bundle.manifest)
    assert (suspected.value, suspected.meaning) == ("162573006", "Suspected lung cancer")
    assert suspected.value == labels["cancer_suspected"]
    assert codes.decision_code("indeterminate", bundle.manifest) == codes.INDETERMINATE
    assert codes.decision_code("rejected", bundle.manifest) == codes.INDETERMINATE
    of_before = [label.model_copy(update={"snomed_ct": codes.DISORDER.value}) for label in bundle.manifest.labels]
    disorder = bundle.manifest.model_copy(update={"labels": tuple(of_before)})
    assert codes.decision_code("cancer_suspected", disorder) == codes.SUSPECTED
    unlabelled = bundle.manifest.model_copy(update={"labels": ()})
    with pytest.raises(BundleError, match="no label for normal"):
        codes.decision_code("normal", unlabelled)
