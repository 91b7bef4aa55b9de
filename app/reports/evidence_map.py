"""The evidence as DICOM Parametric Map (PS3.3 A.75), on the pixels of the source."""

from __future__ import annotations

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset

from app.inference.prediction import NEUTRAL_EVIDENCE, evidence_on
from app.reports import codes
from app.reports.authorship import device, finish, identity
from app.reports.headers import has_place, reference
from app.reports.report import DISCLAIMER, Report


def write_evidence_map(report: Report) -> Dataset | None:
    """Evidence 0-1 on every slice with a judged finding, NEUTRAL_EVIDENCE elsewhere; None when nothing was judged
    or its place is unknown."""
    shown = [
        on for on in report.slices() if has_place(on, report) and any(f.probability is not None for f in on.findings)
    ]
    if not shown or report.prediction.decision == "rejected":
        return None
    mapping = RealWorldValueMapping(
        lut_label="1",
        lut_explanation="Class activation: above 0.5 speaks for suspicion",
        unit=codes.NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.CLASS_ACTIVATION,
    )
    instance = ParametricMap(
        source_images=[reference(on, report) for on in shown],
        pixel_array=np.stack([evidence_on(on.findings, on.image.hu.shape) for on in shown]),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation(window_center=NEUTRAL_EVIDENCE, window_width=1.0)],
        content_label="EVIDENCE",
        content_description=f"Evidence. {DISCLAIMER}"[:64],
        **identity(report, "map", shown[0]),
        **device(report),
    )
    return finish(instance, report, shown[0])
