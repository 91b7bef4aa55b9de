"""Series mode on planted spheres, with models whose answers are arithmetic: malignancy = (centre HU + 1000) / 2000."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.inference.bundle import load_bundle
from app.inference.detector import Detector
from app.inference.model import Model
from app.inference.prediction import Prediction
from app.inference.series import STAGES, Cancelled, diagnose_volume
from app.inference.suspicion import SecondLook
from tests.fakes import ArithmeticBackend, arithmetic_detector, arithmetic_look, write_bundle
from tests.inference.volumes import chest_volume

LEFT, RIGHT = (70.0, 120.0, 8.0), (185.0, 130.0, 9.0)
SUSPICIOUS, BENIGN = (16.0, 400.0), (12.0, -300.0)  # probabilities 0.7 and 0.35
Judge = Callable[..., Prediction]


@pytest.fixture
def judge(model: Model, detector: Detector, second_look: SecondLook) -> Judge:
    def run(*args: object, **kwargs: object) -> Prediction:
        volume = chest_volume(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they are
        return diagnose_volume(volume, model, detector, second_look, lambda _stage, _done, _of: None, lambda: False)

    return run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """A series with a suspicious and a benign sphere."""
    folder = tmp_path_factory.mktemp("models")
    model = Model.load(load_bundle(write_bundle(folder)), ArithmeticBackend())
    volume = chest_volume({LEFT: SUSPICIOUS, RIGHT: BENIGN})
    detector = arithmetic_detector(folder)
    second_look = arithmetic_look(folder, detector)
    return diagnose_volume(volume, model, detector, second_look, lambda _stage, _done, _of: None, lambda: False)


def codes(prediction: Prediction) -> set[str]:
    return {note.code for note in prediction.quality}


def test_one_sphere_is_one_finding_with_its_slices(planted: Prediction) -> None:
    finding, _ = planted.findings
    assert finding.slice is not None
    assert finding.slice.index in (7, 8, 9)
    assert finding.slice.sop_instance_uid == f"1.2.3.{finding.slice.index}"
    # A sphere of 16 mm reaches 8 mm, that is three slices of 2.5 mm, to either side.
    shown = [ref.index for ref in finding.slices]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert {6, 7, 8, 9, 10} <= set(shown) <= set(range(4, 13))
    assert math.dist(finding.center_px, LEFT[:2]) < 1.5
    assert finding.diameter_mm == pytest.approx(16, abs=2)


def test_position_is_in_patient_millimetres(planted: Prediction) -> None:
    finding, _ = planted.findings
    assert finding.slice is not None
    column, row = finding.center_px
    expected = (-100 + column * 1.4, -50 + row * 1.4, 30 + finding.slice.index * 2.5)
    assert finding.center_mm == pytest.approx(expected)
    assert finding.center_mm == pytest.approx((-100 + 70 * 1.4, -50 + 120 * 1.4, 30 + 8 * 2.5), abs=3)


def test_several_findings_make_one_decision(planted: Prediction) -> None:
    prediction = planted
    first, second = prediction.findings
    assert (first.id, second.id) == (1, 2)
    assert first.probability == pytest.approx(0.7, abs=0.01)
    assert second.probability == pytest.approx(0.35, abs=0.01)
    assert (first.suspicion, second.suspicion) == ("suspected", "low")
    assert prediction.probability == first.probability, "the decision rests on the finding that weighs most"
    assert prediction.decision == "cancer_suspected"
    assert prediction.series is not None
    assert (prediction.series.slices, prediction.series.slice_spacing_mm) == (16, 2.5)
    assert [key.finding_ids for key in prediction.series.key_slices] == [(1,), (2,)]
    assert [key.slice for key in prediction.series.key_slices] == [first.slice, second.slice]
    assert {"study_level_not_validated", "nodules_may_be_missed"} <= codes(prediction)


def test_findings_on_one_slice_share_a_key_slice(judge: Judge) -> None:
    prediction = judge({LEFT: SUSPICIOUS, (185.0, 130.0, 8.0): SUSPICIOUS})
    assert prediction.series is not None
    assert len(prediction.findings) == 2
    slices = {finding.slice for finding in prediction.findings}
    assert len(prediction.series.key_slices) == len(slices)
    assert sorted(n for key in prediction.series.key_slices for n in key.finding_ids) == [1, 2]


def test_the_largest_sections_carry_the_probability(judge: Judge) -> None:
    # Both caps of a benign sphere are suspicious: small sections, and most of them.
    column, row, middle = LEFT
    plain = judge({LEFT: (20.0, -300.0)})
    capped = judge(
        {LEFT: (20.0, -300.0), (column, row, middle - 3): (5.0, 400.0), (column, row, middle + 3): (5.0, 400.0)}
    )
    (alone,), (mixed,) = plain.findings, capped.findings
    assert alone.probability is not None
    assert mixed.probability is not None
    assert alone.probability < mixed.probability < (0.35 + 0.7) / 2


@pytest.mark.parametrize("slice_mm", [0.8, 1.25, 5.0])
def test_distance_between_slices_does_not_change_the_nodule(judge: Judge, slice_mm: float) -> None:
    slices = round(45 / slice_mm)
    middle = float(slices // 2)
    (finding,) = judge({(70.0, 120.0, middle): (20.0, 400.0)}, slices=slices, slice_mm=slice_mm).findings
    assert finding.probability == pytest.approx(0.7, abs=0.01)
    assert finding.diameter_mm == pytest.approx(20, abs=2)
    extent_mm = len(finding.slices) * slice_mm
    assert extent_mm == pytest.approx(20, abs=max(4, 2 * slice_mm))


def test_clean_lungs_are_normal(judge: Judge) -> None:
    prediction = judge(whole=True)
    assert (prediction.decision, prediction.findings, prediction.prediction_set) == ("normal", (), ("normal",))
    assert prediction.probability is None
    assert prediction.series is not None
    assert prediction.series.key_slices == ()


def test_series_without_lung_is_rejected(judge: Judge) -> None:
    prediction = judge(lungs=False)
    assert (prediction.decision, prediction.probability) == ("rejected", None)
    assert prediction.reasons == ("no_lung",)


def test_finding_that_cannot_be_judged_bars_normal(model: Model, detector: Detector, second_look: SecondLook) -> None:
    strict = model.manifest.model_copy(
        update={"out_of_distribution": model.manifest.out_of_distribution.model_copy(update={"threshold": 1e-6})}
    )
    bundle = type(model.bundle)(model.bundle.path, strict, model.bundle.digest)
    volume = chest_volume({LEFT: BENIGN}, whole=True)
    prediction = diagnose_volume(
        volume, Model(bundle, model.backend), detector, second_look, lambda _stage, _done, _of: None, lambda: False
    )
    assert (prediction.decision, prediction.reasons) == ("indeterminate", ("out_of_distribution",))
    (finding,) = prediction.findings
    assert (finding.probability, finding.traits, len(finding.outline_px)) == (None, (), 0)
    assert finding.slice is not None


def test_progress_goes_through_the_stages_in_order(model: Model, detector: Detector, second_look: SecondLook) -> None:
    steps: list[tuple[str, int, int]] = []
    volume = chest_volume({LEFT: SUSPICIOUS, RIGHT: BENIGN})
    prediction = diagnose_volume(volume, model, detector, second_look, lambda *step: steps.append(step), lambda: False)
    stages = [stage for stage, _, _ in steps]
    assert list(dict.fromkeys(stages)) == list(STAGES)
    assert stages == sorted(stages, key=STAGES.index)
    for stage in STAGES:
        done = [d for s, d, _ in steps if s == stage]
        assert done == sorted(done)
        assert done[-1] == next(of for s, _, of in reversed(steps) if s == stage)
    assert set(prediction.timing.stages_ms) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_cancelling_stops_before_the_next_batch(
    model: Model, detector: Detector, second_look: SecondLook, stage: str
) -> None:
    reached: list[str] = []
    with pytest.raises(Cancelled):
        diagnose_volume(
            chest_volume({LEFT: SUSPICIOUS, RIGHT: BENIGN}),
            model,
            detector,
            second_look,
            lambda name, _done, _of: reached.append(name),
            lambda: bool(reached) and reached[-1] == stage,
        )
    assert reached.count(stage) == 1
    assert reached[-1] == stage


def test_what_the_filter_refuses_never_reaches_the_model(
    model: Model, detector: Detector, second_look: SecondLook, backend: ArithmeticBackend
) -> None:
    high = detector.manifest.series_threshold.model_copy(update={"score": 1000.0})
    refusing = replace(detector, manifest=detector.manifest.model_copy(update={"series_threshold": high}))
    backend.batches.clear()
    volume = chest_volume({LEFT: SUSPICIOUS})
    prediction = diagnose_volume(volume, model, refusing, second_look, lambda _stage, _done, _of: None, lambda: False)
    assert (prediction.findings, backend.batches) == ((), [])
