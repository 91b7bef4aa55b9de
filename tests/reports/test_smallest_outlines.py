"""Every rendering of findings whose outline is one pixel, nothing, or lies beyond the image."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from app.imaging.read import read_slice
from app.inference.bundle import Bundle
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.judgement.answers import json_answer
from app.judgement.formats import draw_slice
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters
from app.reports.dicom import to_bytes, write_results
from app.reports.fhir import write_bundle
from app.reports.report import Report
from phantoms.slices import dicom
from tests.fakes import arithmetic_detector, arithmetic_look
from tests.inference.masks import Mask, Masked, in_turn
from tests.reports.cases import series_report, slice_report
from tests.reports.written import Make

Points = NDArray[np.float64]
OUTLINES: dict[str, Points] = {
    "none": np.empty((0, 2)),
    "a point": np.full((1, 2), 40.0),
    "a point many times": np.full((5, 2), 40.0),
    "a line": np.array([[40.0, 40.0], [44.0, 40.0], [48.0, 40.0]]),
    "a quarter of a pixel": np.array([[40.0, 40.0], [40.0, 40.25], [40.25, 40.25]]),
    "at the corner": np.array([[-0.4, -0.4], [-0.4, 0.4], [0.4, 0.4], [0.4, -0.4]]),
    "beyond the image": np.array([[-9.0, -9.0], [-9.0, -5.0], [-5.0, -5.0]]),
}


def render(report: Report) -> None:
    """In every format; what is read back has all its elements."""
    for instance in write_results(report, draw_slice):
        assert pydicom.dcmread(BytesIO(to_bytes(instance))).SOPInstanceUID
    assert write_bundle(report)["entry"]
    assert write_bundle(report, transaction=True)["entry"]
    for shown in report.slices():
        assert draw_slice(report, shown).any()
    identifier = "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11"
    judgement = Judgement(
        report.image, Parameters(explain=True), report.prediction, report.bundle, None, None, {"total": 1.0}
    )
    assert identifier.encode() in json_answer(judgement, "en", identifier)


@pytest.mark.parametrize("outline", OUTLINES.values(), ids=OUTLINES)
@pytest.mark.parametrize("make", [slice_report, series_report])
def test_every_rendering_of_an_outline_is_written(make: Make, outline: Points, bundle: Bundle) -> None:
    report = make("cancer_suspected", bundle)
    diameter_mm = 0.5 if len(outline) else None
    findings = [replace(f, outline_px=outline, diameter_mm=diameter_mm) for f in report.prediction.findings]
    render(replace(report, prediction=replace(report.prediction, findings=tuple(findings))))


@pytest.mark.parametrize("mask", in_turn())
def test_every_rendering_of_a_judged_mask_is_written(
    mask: Mask, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    backend = Masked()
    backend.mask = mask
    hu = np.full((64, 64), 40, np.int16)
    hu[8:56, 8:56] = -850
    hu[30:34, 30:34] = 100
    data = dicom(hu, spacing_mm=2.5)
    ct_slice = read_slice(data)
    folder = tmp_path_factory.mktemp("search")
    detector = arithmetic_detector(folder)
    second_look = arithmetic_look(folder, detector)
    prediction = diagnose(ct_slice, (31.5, 31.5), Model(bundle, backend), detector, second_look)
    header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    render(Report(prediction, ct_slice, [header], bundle, datetime(2026, 3, 14, tzinfo=UTC), roi_px=(31.5, 31.5)))


@pytest.mark.parametrize("shape", [(2048, 32), (32, 2048), (1600, 40)])
def test_every_rendering_of_a_strip_is_written(shape: tuple[int, int], bundle: Bundle) -> None:
    hu = np.random.default_rng(1).integers(-1000, 100, shape).astype(np.int16)
    render(slice_report("cancer_suspected", bundle, dicom(hu, spacing_mm=0.5)))
