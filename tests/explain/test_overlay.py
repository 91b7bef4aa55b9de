"""Evidence, outline and diameter are drawn where the nodule is, whatever the geometry of the sent image."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.explain.canvas import Magnification, to_png
from app.explain.marks import draw_sides, side_letters
from app.explain.overlay import draw, draw_anatomy, findings_on, magnification
from app.explain.palette import FAINT
from app.explain.window import LUNG
from app.imaging.ct import Orientation, QualityNote
from app.imaging.raster import fill
from app.inference.model import Model
from app.inference.prediction import NEUTRAL_EVIDENCE, Finding, Prediction, SliceRef, evidence_on
from tests.explain import planted as geometry
from tests.explain.planted import NODULE_MM, Planted, plant, point_at

ANISOTROPIC_MM: Final = (1.1, 0.6)
PLANTED: Final = {
    "as it is": plant(),
    "mirrored": geometry.mirrored(plant()),
    "upside down": geometry.upside_down(plant()),
    "rotated": geometry.rotated(plant()),
    "anisotropic": plant(ANISOTROPIC_MM),
    "rotated, anisotropic": geometry.rotated(plant(ANISOTROPIC_MM)),
    "cropped": geometry.cropped(plant()),
    "cropped, mirrored, anisotropic": geometry.mirrored(geometry.cropped(plant(ANISOTROPIC_MM))),
}
CASES: Final = pytest.mark.parametrize("name", PLANTED)
MODEL_LINE: Final = "arithmetic 1"
WIDTH_PX: Final = 512


def cell_mm(prediction: Prediction, planted: Planted) -> tuple[float, float]:
    """(across, down) size of one cell of the network's own grid."""
    (finding,) = prediction.findings
    left, top, right, bottom = finding.evidence.rectangle_px
    height, width = finding.evidence.values.shape
    return (right - left) / width * planted.spacing_mm[1], (bottom - top) / height * planted.spacing_mm[0]


def centroid(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(column, row) of the middle of what speaks for suspicion."""
    rows, columns = np.indices(weights.shape)
    total = float(weights.sum())
    return np.array([float((columns * weights).sum()) / total, float((rows * weights).sum()) / total])


@CASES
def test_evidence_lands_on_the_planted_nodule(model: Model, name: str) -> None:
    planted = PLANTED[name]
    prediction = point_at(planted, model)
    evidence = evidence_on(prediction.findings, planted.hu.shape)
    off = (centroid(np.maximum(evidence - NEUTRAL_EVIDENCE, 0)) - planted.nodule_px) * planted.spacing_mm[::-1]
    assert (np.abs(off) <= cell_mm(prediction, planted)).all(), off
    # The place pointed at is further away than that, so a map drawn around it would fail.
    away = np.subtract(planted.roi_px, planted.nodule_px) * planted.spacing_mm[::-1]
    assert np.abs(away).max() > max(cell_mm(prediction, planted))


@CASES
def test_picture_is_coloured_on_the_nodule_and_grey_beyond_the_patch(model: Model, name: str) -> None:
    planted = PLANTED[name]
    prediction = replace_outline(point_at(planted, model))
    rgb = draw(planted.ct_slice, prediction, model=MODEL_LINE, min_width_px=WIDTH_PX).astype(np.int16)
    scale = magnification(planted.ct_slice, WIDTH_PX)
    orange = rgb[..., 0] - rgb[..., 2]
    column, row = np.round(scale.to_picture(np.array([planted.nodule_px]))[0]).astype(int)
    reach = 3 * scale.factor  # within the nodule in every geometry
    assert orange[row - reach : row + reach, column - reach : column + reach].max() > 20  # grey is 0, blue negative
    rows, columns = planted.hu.shape
    shown = orange[: rows * scale.factor, : columns * scale.factor][:: scale.factor, :: scale.factor]
    neutral = evidence_on(prediction.findings, planted.hu.shape) == NEUTRAL_EVIDENCE
    assert neutral.any()
    assert (shown[neutral] == 0).all()


def replace_outline(prediction: Prediction) -> Prediction:
    """The same without the lines, which are drawn over the colours."""
    (finding,) = prediction.findings
    bare = replace(finding, outline_px=np.empty((0, 2)), diameter_mm=None)
    return replace(prediction, findings=(bare,))


@CASES
def test_outline_encloses_the_planted_nodule(model: Model, name: str) -> None:
    planted = PLANTED[name]
    (finding,) = point_at(planted, model).findings
    nodule, outlined = planted.hu > 0, fill(finding.outline_px, planted.hu.shape)
    overlap = 2 * (nodule & outlined).sum() / (nodule.sum() + outlined.sum())
    assert overlap > 0.85


def test_outline_is_a_light_line_and_the_axes_are_drawn_as_measured(model: Model) -> None:
    planted = PLANTED["anisotropic"]
    prediction = point_at(planted, model)
    (finding,) = prediction.findings
    assert finding.size is not None
    scale = magnification(planted.ct_slice, WIDTH_PX)
    rgb = draw(planted.ct_slice, prediction, model=MODEL_LINE, min_width_px=WIDTH_PX)
    on_line = np.round(scale.to_picture(finding.outline_px)).astype(int)
    assert (rgb[on_line[:, 1], on_line[:, 0]].min(axis=1) > 150).mean() > 0.9
    for ends in (finding.size.axes.long_px, finding.size.axes.short_px):
        first, last = scale.to_picture(np.array(ends))
        along = np.linspace(first, last, 50)[5:-5]  # between the ends, where the outline is
        columns, rows = np.round(along).astype(int).T
        beside = np.max([rgb[rows + down, columns].min(axis=1) for down in (-1, 0, 1)], axis=0)
        assert (beside > 150).mean() > 0.8  # but where the other axis crosses
        length_mm = np.hypot(*(np.subtract(*ends) * planted.spacing_mm[::-1]))
        assert length_mm == pytest.approx(NODULE_MM, abs=1.0)


def test_a_small_nodule_is_not_hidden_by_its_axes(model: Model) -> None:
    planted = PLANTED["as it is"]
    prediction = point_at(planted, model)
    (finding,) = prediction.findings
    assert finding.size is not None
    (column, row), length = finding.center_px, 3.0
    for_short, for_long = ((column, row - 1), (column, row + 1)), ((column - length, row), (column + length, row))
    size = replace(finding.size, axes=replace(finding.size.axes, long_px=for_long, short_px=for_short))
    plain = replace_finding(prediction, replace(finding, outline_px=finding.outline_px + 30.0, size=None))
    small = replace_finding(prediction, replace(finding, outline_px=finding.outline_px + 30.0, size=size))
    at = (round(3 * row), slice(round(3 * (column - length)), round(3 * (column + length))))
    drawn = [draw(planted.ct_slice, each, model=MODEL_LINE, min_width_px=WIDTH_PX)[at] for each in (plain, small)]
    assert (drawn[0] == drawn[1]).all()


def replace_finding(prediction: Prediction, finding: Finding) -> Prediction:
    return replace(prediction, findings=(finding,))


@pytest.mark.parametrize("assumed", [False, True])
def test_scale_has_the_length_it_states(model: Model, assumed: bool) -> None:
    planted = PLANTED["anisotropic"]
    prediction = point_at(planted, model)
    if assumed:
        prediction = replace(prediction, quality=(QualityNote("spacing_assumed", "warning", "…"),))
    scale = magnification(planted.ct_slice, WIDTH_PX)
    rgb = draw(planted.ct_slice, prediction, model=MODEL_LINE, min_width_px=WIDTH_PX)
    bottom, left = planted.hu.shape[0] * scale.factor - 10, 10
    white = (rgb == 255).all(axis=-1)
    across, down = longest_run(white[bottom]), longest_run(white[:bottom, left])
    per_row, per_column = planted.spacing_mm
    expected = (20, 20) if assumed else (20 / per_column, 20 / per_row)
    assert (across, down) == pytest.approx([length * scale.factor for length in expected], abs=4)


def longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0


def test_nothing_is_coloured_where_nothing_was_judged(model: Model) -> None:
    planted = PLANTED["as it is"]
    prediction = point_at(planted, model, probability=None)
    rgb = draw_anatomy(planted.ct_slice, prediction, prediction.findings, min_width_px=WIDTH_PX)
    assert (rgb[..., 0] == rgb[..., 2]).all()


def test_what_does_not_count_is_faint_and_without_colours(model: Model) -> None:
    planted = PLANTED["as it is"]
    prediction = point_at(planted, model)
    (finding,) = prediction.findings
    faint = replace(finding, suspicion="low")
    rgb = draw_anatomy(planted.ct_slice, prediction, [faint], min_width_px=WIDTH_PX)
    assert (rgb[..., 0] == rgb[..., 2]).all()
    on_line = np.round(magnification(planted.ct_slice, WIDTH_PX).to_picture(finding.outline_px)).astype(int)
    assert rgb[on_line[:, 1], on_line[:, 0]].max() <= max(FAINT)


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        (None, (("R?", "L?"), ("A?", "P?"))),
        (Orientation((1, 0, 0), (0, 1, 0)), (("R", "L"), ("A", "P"))),
        (Orientation((-1, 0, 0), (0, -1, 0)), (("L", "R"), ("P", "A"))),
        (Orientation((0, -1, 0), (1, 0, 0)), (("P", "A"), ("R", "L"))),
    ],
)
def test_letters_say_where_the_patient_s_sides_are(
    orientation: Orientation | None, letters: tuple[tuple[str, str], tuple[str, str]]
) -> None:
    assert side_letters(orientation) == letters
    rgb = np.zeros((200, 300, 3), np.uint8)
    draw_sides(rgb, orientation, 13)
    assert rgb[80:120, :30].any()
    assert rgb[80:120, -30:].any()
    assert not rgb[:60].any()


def test_pixels_of_the_slice_stay_where_they_are(model: Model) -> None:
    planted = PLANTED["cropped"]
    pointed = point_at(planted, model)
    prediction = replace(pointed, decision="normal", probability=None, findings=())
    scale = magnification(planted.ct_slice, WIDTH_PX)
    rgb = draw(planted.ct_slice, prediction, model=MODEL_LINE, min_width_px=WIDTH_PX)
    rows, columns = planted.hu.shape
    shown = rgb[: rows * scale.factor : scale.factor, : columns * scale.factor : scale.factor]
    top = rows // 2  # the scale is drawn below
    unmarked = slice(columns // 8, columns // 3)  # between the letters at the borders and at the top
    assert (shown[:top, unmarked] == LUNG.grey(planted.hu)[:top, unmarked, None]).all()


def test_magnification_maps_there_and_back() -> None:
    scale = Magnification(3)
    points = np.array([[0.0, 0.0], [10.25, 4.0]])
    assert scale.to_picture(points)[0] == pytest.approx((1, 1))  # the middle of the first 3 x 3
    assert scale.to_image(scale.to_picture(points)) == pytest.approx(points)


def test_png_is_wide_enough_to_read_and_a_slice_of_a_series_has_its_own_findings(model: Model) -> None:
    planted = PLANTED["as it is"]
    prediction = point_at(planted, model)
    (finding,) = prediction.findings
    on_slice = replace(prediction, findings=(replace(finding, slice=SliceRef(4, "1.2.3")),))
    assert findings_on(on_slice, SliceRef(4, "1.2.3")) == on_slice.findings
    assert findings_on(on_slice, SliceRef(5, "1.2.4")) == ()
    drawn = draw(planted.ct_slice, on_slice, model=MODEL_LINE, language="zh", min_width_px=900)
    picture = Image.open(BytesIO(to_png(drawn)))
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    assert picture.width == 1000  # 200 pixels, five times
    assert (np.asarray(picture) == drawn).all()


def test_of_several_findings_each_has_its_number_and_the_legend_the_words(model: Model) -> None:
    planted = PLANTED["as it is"]
    prediction = point_at(planted, model)
    (finding,) = prediction.findings
    apart = replace(finding, id=2, outline_px=finding.outline_px + np.array([0.0, 40.0]), center_px=(20.0, 100.0))
    one = draw(planted.ct_slice, prediction, model=MODEL_LINE, min_width_px=WIDTH_PX)
    two = draw(
        planted.ct_slice, replace(prediction, findings=(finding, apart)), model=MODEL_LINE, min_width_px=WIDTH_PX
    )
    rows = planted.hu.shape[0] * magnification(planted.ct_slice, WIDTH_PX).factor
    assert len(two) > len(one)
    # Beside the first outline the words are gone; around the second there are lines.
    assert (one[: rows // 2] != two[: rows // 2]).any()
    assert (one[rows // 2 : rows] != two[rows // 2 : rows]).any()
