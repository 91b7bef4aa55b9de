"""Every coded concept that a report carries, with its source.

DCM, SCT, LN and UCUM concepts are those of PS3.16. The ratings' concepts are those of the standardised LIDC annotations
(Fedorov et al. 2018, doi 10.7937/TCIA.2018.h7umfurq), so that both can be read alike; 99LIDCQIICR is their own scheme.
99LUNGSCOPE is ours, for what neither has a concept for.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from app.comparison.growth import Verdict
from app.errors import BundleError
from app.imaging.lung_frame import Laterality, Location
from app.inference.bundle import Manifest
from app.inference.prediction import AttenuationClass, Trait
from app.inference.vocabulary import Decision

LIDC_SCHEME: Final = "99LIDCQIICR"
LIDC_SCHEME_NAME: Final = "Standardized representation of the LIDC annotations"
LIDC_SCHEME_SOURCE: Final = "https://doi.org/10.7937/TCIA.2018.h7umfurq"
OWN_SCHEME: Final = "99LUNGSCOPE"
OWN_SCHEME_NAME: Final = "Lungscope"

FHIR_SYSTEMS: Final = {  # PS3.16 8 and HL7's registry of external code systems
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "RADLEX": "http://www.radlex.org",
    "SCT": "http://snomed.info/sct",
    "UCUM": "http://unitsofmeasure.org",
    LIDC_SCHEME: LIDC_SCHEME_SOURCE,
    OWN_SCHEME: "urn:lungscope:concept",
}

CT_CHEST: Final = Code("24627-2", "LN", "CT Chest")
LUNG: Final = Code("39607008", "SCT", "Lung structure")
NODULE: Final = Code("27925004", "SCT", "Nodule")
MORPHOLOGICAL_ABNORMALITY: Final = Code("49755003", "SCT", "Morphologically abnormal structure")  # CID 7150
INDETERMINATE: Final = Code("82334004", "SCT", "Indeterminate")
SUSPECTED: Final = Code("162573006", "SCT", "Suspected lung cancer")  # a situation, not the disorder itself
DISORDER: Final = Code("93880001", "SCT", "Primary malignant neoplasm of lung")  # in manifests of before; never written

LATERALITY: Final = Code("272741003", "SCT", "Laterality")
FINDING_SITE: Final = Code("363698007", "SCT", "Finding Site")
SIDES: Final[dict[Laterality, Code]] = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
}
UPPER_LOBE: Final = Code("45653009", "SCT", "Upper lobe of lung")
MIDDLE_LOBE: Final = Code("72481006", "SCT", "Middle lobe of right lung")
LOWER_LOBE: Final = Code("90572001", "SCT", "Lower lobe of lung")
ESTIMATE: Final = Code("lobe-estimate", OWN_SCHEME, "Estimate by height, fissures not seen")

OF_INTEREST: Final = Code("113000", "DCM", "Of Interest")  # CID 7010

PROBABILITY: Final = Code("111047", "DCM", "Probability of cancer")
# Readers on dcmjs compare the meanings of the next two letter by letter.
LONG_AXIS: Final = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS: Final = Code("103340004", "SCT", "Short Axis")
DIAMETER: Final = Code("81827009", "SCT", "Diameter")
MEAN: Final = Code("373098007", "SCT", "Mean")
AREA: Final = Code("42798000", "SCT", "Area")
VOLUME: Final = Code("118565006", "SCT", "Volume")
ABOVE: Final = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
BELOW: Final = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
MEDIAN_ATTENUATION: Final = Code("112182", "DCM", "Median Attenuation Coefficient")
ATTENUATION_CLASS: Final = Code("attenuation", OWN_SCHEME, "Attenuation class")
SOLID_PART: Final = Code("solid-part", OWN_SCHEME, "Mean diameter of the solid part")
DIAMETER_INTERVAL: Final = Code("mean-interval", OWN_SCHEME, "Interval of the mean diameter")
VOLUME_INTERVAL: Final = Code("volume-interval", OWN_SCHEME, "Interval of the volume")
SOLID_PART_INTERVAL: Final = Code("solid-interval", OWN_SCHEME, "Interval of the solid part's diameter")
CENTRE: Final = Code("111010", "DCM", "Center")
SLICE: Final = Code("slice", OWN_SCHEME, "Slice, counted from 1 in spatial order")
IMAGE: Final = Code("image", OWN_SCHEME, "SOP Instance UID of the slice")
CLASS_ACTIVATION: Final = Code("130402", "DCM", "Class activation")
FINDING: Final = Code("121071", "DCM", "Finding")
COMMENT: Final = Code("121106", "DCM", "Comment")
SUMMARY: Final = Code("121111", "DCM", "Summary")
CONCLUSION: Final = Code("121077", "DCM", "Conclusion")
IMAGE_LIBRARY: Final = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP: Final = Code("126200", "DCM", "Image Library Group")
MODALITY: Final = Code("121139", "DCM", "Modality")
CT: Final = Code("CT", "DCM", "Computed Tomography")
SOURCE: Final = Code("260753009", "SCT", "Source")
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")

BASIC_PROFILE: Final = Code("113100", "DCM", "Basic Application Confidentiality Profile")  # CID 7050, and the next four
CLEAN_STRUCTURED_CONTENT: Final = Code("113104", "DCM", "Clean Structured Content Option")
CLEAN_DESCRIPTORS: Final = Code("113105", "DCM", "Clean Descriptors Option")
RETAIN_DEVICE: Final = Code("113109", "DCM", "Retain Device Identity Option")
RETAIN_UIDS: Final = Code("113110", "DCM", "Retain UIDs Option")

ASSESSMENT_CATEGORY: Final = Code("111005", "DCM", "Assessment Category")
LOWEST: Final = Code("255605001", "SCT", "Minimum")  # CID 7464, and the next
HIGHEST: Final = Code("56851009", "SCT", "Maximum")
GUIDELINES: Final = Code("guidelines", OWN_SCHEME, "Guidelines and risk models, no advice to a patient")
GUIDELINE: Final = Code("guideline", OWN_SCHEME, "Guideline or risk model")
GUIDELINE_SOURCE: Final = Code("guideline-source", OWN_SCHEME, "Published table")
ASSESSED: Final = Code("assessed", OWN_SCHEME, "Finding as assessed")
POSSIBLE_CATEGORY: Final = Code("possible", OWN_SCHEME, "Category that the measurement allows")
RULE: Final = Code("rule", OWN_SCHEME, "Row of the table")
MISSING: Final = Code("missing", OWN_SCHEME, "Not assessed or not known")
NOT_MADE_FOR: Final = Code("not-made-for", OWN_SCHEME, "Why it is not made for this patient")
KNOWN: Final = Code("known", OWN_SCHEME, "Known of the patient or the scan")
MODEL_INTERVAL: Final = Code("model-interval", OWN_SCHEME, "Probability over all that is not known")
TRACKING_IDENTIFIER: Final = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID: Final = Code("112040", "DCM", "Tracking Unique Identifier")

COMPARISON: Final = Code("111424", "DCM", "Comparison to previous studies")
BASELINE: Final = Code("121079", "DCM", "Baseline")  # CID 280: the prior series
STUDY_UID: Final = Code("110180", "DCM", "Study Instance UID")
SERIES_UID: Final = Code("112002", "DCM", "Series Instance UID")
SIZE_DIFFERENCE: Final = Code("442714003", "SCT", "Difference in size")  # CID 6133
OF_VOLUMES: Final = Code("112189", "DCM", "Three-dimensional method")  # CID 6140
SIZE_INTERVAL: Final = Code("change-interval", OWN_SCHEME, "Interval of the difference in size")
DOUBLING_TIME: Final = Code("doubling-time", OWN_SCHEME, "Volume doubling time")
DOUBLING_INTERVAL: Final = Code("doubling-interv", OWN_SCHEME, "Interval of the volume doubling time")
DAYS_BETWEEN: Final = Code("128740", "DCM", "Longitudinal Temporal Offset from Event")
VERDICT: Final = Code("verdict", OWN_SCHEME, "Change since the prior series")
POSSIBLE_VERDICT: Final = Code("verdict-possible", OWN_SCHEME, "Change that the measurement allows")
PACE: Final = Code("pace", OWN_SCHEME, "Range of the volume doubling time")
NO_DOUBLING: Final = Code("no-doubling", OWN_SCHEME, "Why there is no volume doubling time")
NOT_COMPARED: Final = Code("not-compared", OWN_SCHEME, "Why it was not compared")
OWN_TRACKING_UID: Final = Code("own-tracking", OWN_SCHEME, "Tracking UID in the results of its series alone")

NOT_ATTEMPTED: Final = Code("114007", "DCM", "Measurement not attempted")  # CID 42, numeric value qualifiers
VALUE_INDETERMINATE: Final = Code("114011", "DCM", "Value indeterminate")

PERCENT: Final = Code("%", "UCUM", "Percent")
MILLIMETRE: Final = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE: Final = Code("mm2", "UCUM", "mm2")
CUBIC_MILLIMETRE: Final = Code("mm3", "UCUM", "mm3")
HOUNSFIELD: Final = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
DAY: Final = Code("d", "UCUM", "day")
NO_UNITS: Final = Code("1", "UCUM", "no units")

TRAITS: Final = {
    "subtlety": Code("C45992", "NCIt", "Subtlety score"),
    "calcification": Code("C3672", "NCIt", "Calcification"),
    "sphericity": Code("400", LIDC_SCHEME, "Sphericity"),
    "margin": Code("C25563", "NCIt", "Margin"),
    "lobulation": Code("C62175", "NCIt", "Lobular Pattern"),
    "spiculation": Code("C28749", "NCIt", "Spiculation"),
    "texture": Code("C41144", "NCIt", "Texture"),
}

ATTENUATIONS: Final[dict[AttenuationClass, Code]] = {
    "solid": Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    "part_solid": Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    "non_solid": Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
    "calcified": Code("calcified", OWN_SCHEME, "calcified pulmonary nodule"),
}

VERDICTS: Final[dict[Verdict, Code]] = {  # CID 6134 where it has one: its "new" is of mammograms alone
    "grew": Code("15454001", "SCT", "Increase in size"),
    "shrank": Code("19776001", "SCT", "Decrease in size"),
    "stable": Code("129723006", "SCT", "No significant changes in the finding"),
    "within_measurement_error": Code("within-error", OWN_SCHEME, "Changed, within the measurement error"),
    "new": Code("new", OWN_SCHEME, "New"),
    "gone": Code("gone", OWN_SCHEME, "Gone"),
    "not_compared": Code("not-comparable", OWN_SCHEME, "Not compared"),
}


def _of_five(rating: int) -> Code:
    return Code(f"00{rating}", LIDC_SCHEME, f"{rating} out of 5")


RATINGS: Final = {  # one for each whole rating, lowest first
    "subtlety": (
        Code("101", LIDC_SCHEME, "1 out of 5 (Extremely subtle)"),
        Code("102", LIDC_SCHEME, "2 out of 5 (Moderately subtle)"),
        Code("103", LIDC_SCHEME, "3 out of 5 (Fairly subtle)"),
        Code("104", LIDC_SCHEME, "4 out of 5 (Moderately obvious)"),
        Code("105", LIDC_SCHEME, "5 out of 5 (Obvious)"),
    ),
    "calcification": (
        Code("RID35453", "RADLEX", "Popcorn calcification sign"),
        Code("302", LIDC_SCHEME, "Laminated appearance"),
        Code("RID5741", "RADLEX", "Solid appearance"),
        Code("304", LIDC_SCHEME, "Non-central appearance"),
        Code("RID5827", "RADLEX", "Central calcification"),
        Code("RID28473", "RADLEX", "Absent"),
    ),
    "sphericity": (
        Code("RID5811", "RADLEX", "linear"),
        _of_five(2),
        Code("RID5800", "RADLEX", "ovoid"),
        _of_five(4),
        Code("RID5799", "RADLEX", "round"),
    ),
    "margin": (
        Code("RID5709", "RADLEX", "Indistinct margin"),
        _of_five(2),
        _of_five(3),
        _of_five(4),
        Code("RID5707", "RADLEX", "Circumscribed margin"),
    ),
    "lobulation": (
        Code("601", LIDC_SCHEME, "1 out of 5 (No lobulation)"),
        _of_five(2),
        _of_five(3),
        _of_five(4),
        Code("605", LIDC_SCHEME, "5 out of 5 (Marked lobulation)"),
    ),
    "spiculation": (
        Code("701", LIDC_SCHEME, "1 out of 5 (No spiculation)"),
        _of_five(2),
        _of_five(3),
        _of_five(4),
        Code("705", LIDC_SCHEME, "5 out of 5 (Marked spiculation)"),
    ),
    "texture": (
        Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
        _of_five(2),
        Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
        _of_five(4),
        Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    ),
}


def item(code: Code) -> Dataset:
    """The concept as an item of a sequence of codes (PS3.3 8.8)."""
    written = Dataset()
    written.CodeValue, written.CodingSchemeDesignator, written.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return written


def decision_code(decision: Decision, manifest: Manifest) -> Code:
    """What a decision is called: the bundle's own label, for either kind of abstention INDETERMINATE.

    A label that names the disorder itself is written as the suspicion of it. Raises BundleError when the manifest
    has no label for the decision.
    """
    if decision in ("indeterminate", "rejected"):
        return INDETERMINATE
    for label in manifest.labels:
        if label.finding == decision:
            code = Code(label.snomed_ct, "SCT", label.meaning)
            return SUSPECTED if code.value == DISORDER.value else code
    raise BundleError(
        found=f"no label for {decision}", expected="a label with its SNOMED CT concept", remedy="Export it again."
    )


def site_code(location: Location) -> Code:
    """The lobe that a height in the lungs makes likely, an ESTIMATE; LUNG where it makes none so."""
    match location.third, location.side:
        case "upper", _:
            return UPPER_LOBE
        case "middle", "right":  # there is none on the left
            return MIDDLE_LOBE
        case "lower", _:
            return LOWER_LOBE
    return LUNG


def rating_code(trait: Trait) -> Code | None:
    """The concept of the whole rating nearest to a trait's value; None for a trait without concepts."""
    ratings = RATINGS.get(trait.name)
    if ratings is None:
        return None
    return ratings[min(max(round(trait.value), 1), len(ratings)) - 1]
