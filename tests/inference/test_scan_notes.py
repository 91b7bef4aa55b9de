"""What stands beside a decision for a scan: figures with their number and interval, or that there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.inference.bundle import Manifest, read_verified
from app.inference.detector import DetectorManifest
from app.inference.model import Model
from app.inference.scan_notes import scan_notes
from app.inference.suspicion import SecondLook, SuspicionManifest
from benchmarks.serving.service import MODELS


def measured_with(second_look: SecondLook, classifier_digest: str | None) -> SecondLook:
    manifest = second_look.manifest.model_copy(update={"classifier_digest": classifier_digest})
    return replace(second_look, manifest=manifest)


def said(second_look: SecondLook, model: Model) -> dict[str, str]:
    return {note.code: note.message for note in scan_notes(second_look.manifest.slice_point, second_look, model)}


def test_figures_have_their_number_and_interval(second_look: SecondLook, model: Model) -> None:
    messages = said(second_look, model)
    assert "90% (95 % interval 80% to 95%) of 40 such nodules" in messages["nodules_may_be_missed"]
    assert "0.05 false alarm(s) a slice" in messages["nodules_may_be_missed"]
    assert "measured on 3 scans" in messages["study_level_not_validated"]


@pytest.mark.parametrize("own", [True, False])
def test_figures_are_those_of_the_classifier_that_is_served_or_are_not_given(
    second_look: SecondLook, model: Model, own: bool
) -> None:
    digest = model.bundle.digest if own else "sha256:" + "0" * 64
    message = said(measured_with(second_look, digest), model)["nodules_may_be_missed"]
    assert ("90%" in message) is own
    assert ("another classifier" in message) is not own


def test_the_shipped_figures_name_the_shipped_classifier_and_filter() -> None:
    look, _ = read_verified(MODELS / "nodule-suspicion" / "1", SuspicionManifest)
    assert look.classifier_digest == read_verified(MODELS / "nodule-classifier" / "1", Manifest)[1]
    assert look.filter_digest == read_verified(MODELS / "nodule-detector" / "1", DetectorManifest)[1]
