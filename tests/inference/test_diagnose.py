"""The use case with a model whose answers are arithmetic: malignancy = (centre HU + 1000) / 2000."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.errors import RoiOutsideImage
from app.imaging.ct import CTSlice, SliceSource
from app.inference.decision import decide
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.inference.prediction import Prediction
from app.inference.suspicion import SecondLook
from tests.fakes import ArithmeticBackend
from tests.inference.slices import CORONAL, chest

IN_LUNG = (75, 125)


def codes(prediction: Prediction) -> set[str]:
    return {note.code for note in prediction.quality}


def test_roi_on_a_nodule_is_judged(model: Model, detector: Detector, second_look: SecondLook) -> None:
    prediction = diagnose(chest({IN_LUNG: (20, 400)}), (75.0, 125.0), model, detector, second_look)
    (finding,) = prediction.findings
    assert prediction.decision == "cancer_suspected"
    assert prediction.prediction_set == ("cancer_suspected",)
    assert prediction.probability == pytest.approx(0.7, abs=1e-3)
    assert finding.probability == prediction.probability
    assert prediction.reasons == ()
    assert finding.id == 1
    assert finding.center_px == (75.0, 125.0)


def test_diameter_outline_and_position_are_in_the_source(
    model: Model, detector: Detector, second_look: SecondLook
) -> None:
    prediction = diagnose(chest({IN_LUNG: (20, 400)}), (75.0, 125.0), model, detector, second_look)
    (finding,) = prediction.findings
    assert finding.diameter_mm == pytest.approx(20, abs=1.5)
    radii_mm = np.hypot(*(finding.outline_px - (75.0, 125.0)).T) * 1.4
    assert radii_mm.mean() == pytest.approx(10, abs=1.0)
    assert finding.center_mm == pytest.approx((-100 + 75 * 1.4, -50 + 125 * 1.4, 30))
    left, top, right, bottom = finding.evidence.rectangle_px
    assert (right - left) * 1.4 == pytest.approx(48 * 0.7)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((75, 125))


def test_traits_follow_the_manifest(model: Model, detector: Detector, second_look: SecondLook) -> None:
    (finding,) = diagnose(chest({IN_LUNG: (20, 400)}), (75.0, 125.0), model, detector, second_look).findings
    assert [trait.name for trait in finding.traits] == [trait.name for trait in model.manifest.traits]
    assert [trait.value for trait in finding.traits] == [1, 2, 3, 4, 5, 1, 2]


@pytest.mark.parametrize(
    ("hu", "decision", "prediction_set"),
    [
        (400, "cancer_suspected", ("cancer_suspected",)),  # 0.7
        (-300, "normal", ("normal",)),  # 0.35
        (40, "indeterminate", ()),  # 0.52: neither label is within its quantile of 0.45
    ],
)
def test_decision_needs_the_set_and_the_operating_point_to_agree(
    model: Model, detector: Detector, second_look: SecondLook, hu: float, decision: str, prediction_set: tuple[str, ...]
) -> None:
    prediction = diagnose(chest({IN_LUNG: (20, hu)}), (75.0, 125.0), model, detector, second_look)
    assert prediction.decision == decision
    assert prediction.prediction_set == prediction_set


def test_set_that_disagrees_with_the_operating_point_is_indeterminate(model: Model) -> None:
    assert decide(0.7, 9.0, model.manifest.conformal, 0.8) == ("indeterminate", ("cancer_suspected",))
    assert decide(0.9, 9.0, model.manifest.conformal, 0.8) == ("cancer_suspected", ("cancer_suspected",))


@pytest.mark.parametrize(
    ("roi", "code"),
    [
        ((5.0, 5.0), "roi_in_air"),
        ((128.0, 180.0), "roi_on_bone"),
        ((128.0, 70.0), "roi_outside_lung"),
    ],
)
def test_roi_that_cannot_be_a_nodule_is_rejected(
    model: Model, detector: Detector, second_look: SecondLook, roi: tuple[float, float], code: str
) -> None:
    prediction = diagnose(chest(), roi, model, detector, second_look)
    assert prediction.decision == "rejected"
    assert prediction.probability is None
    assert {code, "not_a_nodule"} <= set(prediction.reasons)
    assert code in codes(prediction)
    (finding,) = prediction.findings
    assert (finding.probability, finding.traits, len(finding.outline_px)) == (None, (), 0)


def test_roi_in_plain_lung_is_not_a_nodule_for_the_network(
    model: Model, detector: Detector, second_look: SecondLook
) -> None:
    prediction = diagnose(chest(), (75.0, 125.0), model, detector, second_look)
    assert prediction.decision == "rejected"
    assert prediction.reasons == ("not_a_nodule",)


@pytest.mark.parametrize("roi", [(-1.0, 10.0), (10.0, 255.6), (300.0, 0.0), (math.nan, 0.0)])
def test_roi_outside_the_image(
    model: Model, detector: Detector, second_look: SecondLook, roi: tuple[float, float]
) -> None:
    with pytest.raises(RoiOutsideImage) as caught:
        diagnose(chest(), roi, model, detector, second_look)
    assert "column 0 to 255" in caught.value.expected


def test_strange_patch_is_out_of_distribution(model: Model, detector: Detector, second_look: SecondLook) -> None:
    # A mean of -960 HU is 0.96 from the training data; the threshold is 0.95.
    emphysema = chest({IN_LUNG: (60, -985), (75, 124): (5, -600)})
    prediction = diagnose(emphysema, (75.0, 124.0), model, detector, second_look)
    assert prediction.decision == "rejected"
    assert "out_of_distribution" in prediction.reasons


def test_tilted_slice_is_rejected_and_thick_one_is_remarked(
    model: Model, detector: Detector, second_look: SecondLook
) -> None:
    tilted = diagnose(chest({IN_LUNG: (20, 400)}, orientation=CORONAL), (75.0, 125.0), model, detector, second_look)
    assert (tilted.decision, tilted.reasons) == ("rejected", ("not_axial",))
    assert tilted.findings[0].probability is None
    thick = diagnose(chest({IN_LUNG: (20, 400)}, thickness_mm=8), (75.0, 125.0), model, detector, second_look)
    assert thick.decision == "cancer_suspected"
    assert "thick_slice" in codes(thick)


def test_slice_without_roi_finds_its_nodules_and_says_how(
    model: Model, detector: Detector, second_look: SecondLook
) -> None:
    prediction = diagnose(chest({(60, 110): (16, 400), (190, 140): (12, 300)}), None, model, detector, second_look)
    for planted in ((60, 110), (190, 140)):
        assert min(math.dist(f.center_px, planted) for f in prediction.findings) < 2
    assert all(f.detector_score is not None and f.detector_score >= 0 for f in prediction.findings)
    assert [f.id for f in prediction.findings] == list(range(1, len(prediction.findings) + 1))
    scores = [f.suspicion_score for f in prediction.findings if f.suspicion_score is not None]
    assert scores == sorted(scores, reverse=True)
    assert [f.suspicion for f in prediction.findings[:2]] == ["suspected", "suspected"]
    assert (prediction.decision, prediction.probability) == ("cancer_suspected", prediction.findings[0].probability)
    assert {"nodules_may_be_missed", "study_level_not_validated"} <= codes(prediction)


def test_one_nodule_is_one_finding(model: Model, detector: Detector, second_look: SecondLook) -> None:
    prediction = diagnose(chest({(75, 110): (28, 300)}), None, model, detector, second_look)
    near = [f for f in prediction.findings if math.dist(f.center_px, (75, 110)) * 1.4 < 14]
    assert len(near) == 1


def test_candidates_go_through_the_model_in_one_batch(
    model: Model, detector: Detector, second_look: SecondLook, backend: ArithmeticBackend
) -> None:
    backend.batches.clear()
    diagnose(chest({(60, 110): (16, 400), (190, 140): (12, 300)}), None, model, detector, second_look)
    assert len(backend.batches) == 1


def test_clean_lungs_are_normal(model: Model, detector: Detector, second_look: SecondLook) -> None:
    prediction = diagnose(chest(), None, model, detector, second_look)
    assert prediction.decision == "normal"
    assert (prediction.probability, prediction.prediction_set) == (None, ("normal",))
    assert all(finding.suspicion == "low" for finding in prediction.findings)


def test_slice_without_lung_is_rejected(model: Model, detector: Detector, second_look: SecondLook) -> None:
    prediction = diagnose(chest(lungs=False), None, model, detector, second_look)
    assert (prediction.decision, prediction.reasons, prediction.findings) == ("rejected", ("no_lung",), ())


def test_roi_on_a_slice_without_lung_is_rejected(model: Model, detector: Detector, second_look: SecondLook) -> None:
    head = chest({IN_LUNG: (20, 60)}, lungs=False)
    prediction = diagnose(head, (75.0, 125.0), model, detector, second_look)
    assert (prediction.decision, prediction.findings[0].probability) == ("rejected", None)
    assert "no_lung" in prediction.reasons


def test_roi_far_from_the_lungs_is_rejected(model: Model, detector: Detector, second_look: SecondLook) -> None:
    body = chest({(128, 70): (9, -600)})
    prediction = diagnose(body, (128.0, 70.0), model, detector, second_look)
    assert {"roi_outside_lung", "not_a_nodule"} <= set(prediction.reasons)


def test_narrow_view_of_one_lung_is_judged_with_a_remark(
    model: Model, detector: Detector, second_look: SecondLook
) -> None:
    whole = chest({IN_LUNG: (20, 400)})
    hu = np.ascontiguousarray(whole.hu[90:160, 40:110])
    view = CTSlice(hu, (1.4, 1.4), SliceSource(kind="array", rows=70, columns=70))
    prediction = diagnose(view, (35.0, 35.0), model, detector, second_look)
    assert prediction.decision == "cancer_suspected"
    assert "narrow_view" in codes(prediction)


def test_findings_beyond_the_training_data_bar_normal(
    model: Model, detector: Detector, second_look: SecondLook
) -> None:
    strict = model.manifest.model_copy(
        update={
            "out_of_distribution": model.manifest.out_of_distribution.model_copy(update={"threshold": 1e-6}),
        }
    )
    bundle = type(model.bundle)(model.bundle.path, strict, model.bundle.digest)
    prediction = diagnose(chest({(60, 110): (16, -300)}), None, Model(bundle, model.backend), detector, second_look)
    assert prediction.decision == "indeterminate"
    assert prediction.reasons == ("out_of_distribution",)
    assert all(f.probability is None for f in prediction.findings)


def test_prediction_cannot_contradict_itself(model: Model, detector: Detector, second_look: SecondLook) -> None:
    good = diagnose(chest({IN_LUNG: (20, 400)}), (75.0, 125.0), model, detector, second_look)
    fields = {name: getattr(good, name) for name in Prediction.__slots__}
    with pytest.raises(ValueError, match="of a finding that was judged"):
        Prediction(**{**fields, "findings": ()})
    with pytest.raises(ValueError, match="has a reason"):
        Prediction(**{**fields, "decision": "rejected", "probability": None})
    with pytest.raises(ValueError, match="any other has none"):
        Prediction(**{**fields, "reasons": ("no_lung",)})
    with pytest.raises(ValueError, match="of a finding"):
        Prediction(**{**fields, "probability": None, "findings": ()})
