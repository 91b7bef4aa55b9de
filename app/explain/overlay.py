"""One CT slice with what was found on it: evidence, outline and diameter in the slice's own pixels, and a legend."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.explain.canvas import MIN_WIDTH_PX, Magnification, Points, Rgb, draw_line, draw_text, text_size
from app.explain.legend import append_legend, draw_scale, millimetres, percent
from app.explain.palette import blend
from app.imaging.ct import CTSlice, FloatImage
from app.inference.prediction import Finding, Prediction, SliceRef, evidence_on
from app.inference.vocabulary import Language

WINDOW_CENTRE_HU: Final = -600.0  # the usual lung window
WINDOW_WIDTH_HU: Final = 1500.0
USUAL_WIDTH_PX: Final = 2 * MIN_WIDTH_PX  # a nodule of 6 mm is about 16 pixels wide
USUAL_HEIGHT_PX: Final = 8 * MIN_WIDTH_PX  # a strip enlarged to the usual width would have more rows than DICOM counts
CROSS_PX: Final = 5.0
GAP_PX: Final = 6.0  # between an outline and what is written beside it


def draw(
    ct_slice: CTSlice,
    prediction: Prediction,
    *,
    model: str,
    language: Language = "en",
    slice_ref: SliceRef | None = None,
    min_width_px: int = USUAL_WIDTH_PX,
) -> Rgb:
    """uint8 RGB (rows, columns, 3): the slice, and below it the legend.

    The slice starts in the top left corner and every pixel of it is `magnification(...)` pixels of the picture wide and
    high, so that it keeps its orientation and its pixels. `model` names the model in the legend. `slice_ref` is the
    slice of a series; None draws every finding.
    """
    scale = magnification(ct_slice, min_width_px)
    findings = findings_on(prediction, slice_ref)
    rgb = scale.enlarge(blend(window(ct_slice.hu), evidence_on(findings, ct_slice.hu.shape)))
    for finding in findings:
        _draw_finding(rgb, finding, scale, prediction, alone=len(findings) == 1)
    draw_scale(rgb, prediction, scale, language)
    return append_legend(rgb, prediction, findings, model=model, language=language)


def magnification(ct_slice: CTSlice, min_width_px: int = USUAL_WIDTH_PX) -> Magnification:
    """The smallest whole factor that makes the slice at least `min_width_px` wide; where it would be higher than
    USUAL_HEIGHT_PX, a smaller one that leaves room for words."""
    rows, columns = ct_slice.hu.shape
    wanted, least = (-(-width_px // columns) for width_px in (min_width_px, min(min_width_px, MIN_WIDTH_PX)))
    return Magnification(max(1, least, min(wanted, USUAL_HEIGHT_PX // rows)))


def findings_on(prediction: Prediction, slice_ref: SliceRef | None) -> tuple[Finding, ...]:
    """The findings to which one slice of a series belongs; all of them when it is None."""
    if slice_ref is None:
        return prediction.findings
    return tuple(f for f in prediction.findings if f.slice is not None and f.slice.index == slice_ref.index)


def window(hu: FloatImage) -> NDArray[np.uint8]:
    """HU (rows, columns) to uint8 grey values (PS3.3 C.11.2.1.2) of the lung window, air dark."""
    low = WINDOW_CENTRE_HU - WINDOW_WIDTH_HU / 2
    return np.asarray(np.round(np.clip((hu - low) / WINDOW_WIDTH_HU, 0, 1) * 255), np.uint8)


def _draw_finding(rgb: Rgb, finding: Finding, scale: Magnification, prediction: Prediction, *, alone: bool) -> None:
    """Lines and a label; among several, whose words would lie over one another, only the number in the legend."""
    size = text_size(rgb)
    label = (
        f"{finding.id}: {percent(finding.probability)}"
        if alone and finding.probability is not None
        else f"{finding.id}"
    )
    if not len(finding.outline_px) or finding.diameter_mm is None:
        centre = scale.to_picture(np.array([finding.center_px]))[0]
        _draw_cross(rgb, centre)
        draw_text(rgb, label, (float(centre[0]) + CROSS_PX + GAP_PX, float(centre[1]) - size), size)
        return
    outline = scale.to_picture(finding.outline_px)
    draw_line(rgb, outline, closed=True)
    line = scale.to_picture(_caliper(finding.outline_px, finding.diameter_mm, prediction.spacing_mm)) + np.array(
        [0.0, GAP_PX]
    )
    _draw_caliper(rgb, line)
    right, top = float(max(outline[:, 0].max(), line[1, 0])) + GAP_PX, float(outline[:, 1].min())
    draw_text(rgb, label, (right, top - size), size)
    if alone:
        draw_text(rgb, millimetres(finding.diameter_mm, prediction), (right, float(line[0, 1]) - size / 2), size)


def _caliper(outline_px: Points, diameter_mm: float, spacing_mm: tuple[float, float]) -> Points:
    """The ends (column, row) of a horizontal line as long as the diameter, under the outline's middle."""
    low, high = outline_px.min(axis=0), outline_px.max(axis=0)
    middle, half = (low[0] + high[0]) / 2, diameter_mm / spacing_mm[1] / 2
    return np.array([[middle - half, high[1]], [middle + half, high[1]]])


def _draw_caliper(rgb: Rgb, line: Points) -> None:
    left, right = line
    tick = np.array([0.0, CROSS_PX])
    draw_line(rgb, np.array([left - tick, left + tick, left, right, right - tick, right + tick]))


def _draw_cross(rgb: Rgb, at: Points) -> None:
    across, down = np.array([CROSS_PX, 0.0]), np.array([0.0, CROSS_PX])
    draw_line(rgb, np.array([at - across, at + across, at, at - down, at + down]))
