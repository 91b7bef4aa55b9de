"""One CT slice with what was found on it: evidence, outlines and axes in the slice's own pixels; below it tiles around
the first finding, and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.explain.canvas import MIN_WIDTH_PX, Magnification, Rgb, text_size
from app.explain.legend import append_legend, draw_place, draw_scale
from app.explain.marks import draw_findings, draw_front_and_back, draw_sides, is_faint
from app.explain.palette import blend
from app.explain.tiles import Locator, draw_tiles
from app.explain.window import LUNG
from app.imaging.ct import CTSlice
from app.inference.prediction import Finding, Prediction, SliceRef, evidence_on
from app.inference.vocabulary import Language

USUAL_WIDTH_PX: Final = 2 * MIN_WIDTH_PX  # a nodule of 6 mm is about 16 pixels wide
LETTERS: Final = 1.3  # height of the patient's directions, of the words'
USUAL_HEIGHT_PX: Final = 8 * MIN_WIDTH_PX  # a strip enlarged to the usual width would have more rows than DICOM counts


def draw(
    ct_slice: CTSlice,
    prediction: Prediction,
    *,
    model: str,
    language: Language = "en",
    slice_ref: SliceRef | None = None,
    locator: Locator | None = None,
    min_width_px: int = USUAL_WIDTH_PX,
) -> Rgb:
    """uint8 RGB (rows, columns, 3): the slice, below it tiles around the finding on it that weighs most, and the
    legend.

    The slice starts in the top left corner and every pixel of it is `magnification(...)` pixels of the picture wide and
    high, so that it keeps its orientation and its pixels. `model` names the model in the legend. `slice_ref` is the
    slice of a series, of which `locator` shows where it lies; None draws every finding.
    """
    findings = findings_on(prediction, slice_ref)
    rgb = draw_anatomy(
        ct_slice, prediction, findings, language=language, slice_ref=slice_ref, min_width_px=min_width_px
    )
    leading = findings[0] if findings else None
    tiles = draw_tiles(
        ct_slice, leading, width_px=rgb.shape[1], language=language, slice_ref=slice_ref, locator=locator
    )
    return append_legend(np.concatenate([rgb, tiles]), prediction, findings, model=model, language=language)


def draw_anatomy(
    ct_slice: CTSlice,
    prediction: Prediction,
    findings: Sequence[Finding],
    *,
    language: Language = "en",
    slice_ref: SliceRef | None = None,
    min_width_px: int = USUAL_WIDTH_PX,
) -> Rgb:
    """uint8 RGB (rows, columns, 3): the slice alone, magnified, with some findings; those that do not count in the
    decision are faint, without the colours of evidence."""
    scale = magnification(ct_slice, min_width_px)
    coloured = [finding for finding in findings if not is_faint(finding)]
    rgb = scale.enlarge(blend(LUNG.grey(ct_slice.hu), evidence_on(coloured, ct_slice.hu.shape)))
    size = text_size(rgb)
    draw_sides(rgb, ct_slice.orientation, round(LETTERS * size))
    draw_front_and_back(rgb, ct_slice.orientation, round(LETTERS * size))
    draw_scale(rgb, prediction, scale, language)
    draw_place(rgb, ct_slice, prediction, slice_ref, language)
    draw_findings(rgb, findings, scale.to_picture, prediction, size)
    return rgb


def magnification(ct_slice: CTSlice, min_width_px: int = USUAL_WIDTH_PX) -> Magnification:
    """The smallest whole factor that makes the slice at least `min_width_px` wide; where it would be higher than
    USUAL_HEIGHT_PX, a smaller one that leaves room for words."""
    rows, columns = ct_slice.hu.shape
    wanted, least = (-(-width_px // columns) for width_px in (min_width_px, min(min_width_px, MIN_WIDTH_PX)))
    return Magnification(max(1, least, min(wanted, USUAL_HEIGHT_PX // rows)))


def findings_on(prediction: Prediction, slice_ref: SliceRef | None) -> tuple[Finding, ...]:
    """The findings to which one slice of a series belongs, those that weigh most first; all of them when it is
    None."""
    if slice_ref is None:
        return prediction.findings
    return tuple(f for f in prediction.findings if f.slice is not None and f.slice.index == slice_ref.index)
